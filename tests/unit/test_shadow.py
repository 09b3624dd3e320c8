"""Shadow mode: clocks found from the data, agreement, and every planted disagreement, with none invented."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zmq
from msgspec.structs import replace as replace_fields
from sklearn.metrics import cohen_kappa_score
from typer.testing import CliRunner

from cinegate.shadow.agreement import APART, cohens_kappa, compare
from cinegate.shadow.engine import ShadowEngine
from cinegate.shadow.live import VendorWire
from cinegate.shadow.offset import Offset, estimate_offset
from cinegate.shadow.sides import ShadowError, read_rows, read_session_side, read_vendor
from cinegate.verbs import register_verbs
from cinegate.verbs.app import app
from gating.clocks.clock import MonotonicClock
from gating.geometry.plane import ImagePlane
from gating.messages import GateCommand, GateState, SourceKind
from gating.service.pipeline import local_endpoints
from gating.session.completeness import check_completeness
from gating.session.log import SHADOW, read_session
from gating.session.log_writer import SessionWriter
from gating.targets.image import TargetImage
from gating.targets.spec import TargetSpec
from gating.wire.codec import encode, encode_frame
from gating.wire.sockets import bind, send
from tests import engine_bench, unity_files
from tests.factories import frame, stream
from tests.faults.beam_bench import gate_command
from tests.pages import fetched_addresses
from tests.patience import PATIENCE_S, wait_until
from tests.two_systems import OURS_S, THEIRS_S, Patient, moved, planted, without_positions, without_states
from tests.unit.session_bench import write_session

register_verbs()
AHEAD_S = 1.234
EQUAL_CLOCKS = Offset(seconds=0.0, by="given")


@pytest.mark.parametrize("side", [without_states, without_positions], ids=["by positions", "by gate states"])
def test_the_offset_is_found_within_its_uncertainty(side):
    errors_s, uncertain_s = [], []
    for seed in range(4):
        patient = Patient(seed)
        found = estimate_offset(patient.seen(OURS_S), side(patient.seen(THEIRS_S, ahead_s=AHEAD_S, seed=9)), 2.0)
        errors_s.append(abs(found.seconds + AHEAD_S))
        uncertain_s.append(found.uncertainty_s)
    assert sum(error <= 1.5 * uncertain for error, uncertain in zip(errors_s, uncertain_s, strict=True)) == 4
    assert np.median(uncertain_s) < (0.01 if side is without_states else 0.08)


def test_clocks_of_other_epochs_are_compared_from_their_begins():
    patient = Patient(4)
    theirs = patient.seen(THEIRS_S, seed=9)
    theirs = replace(theirs, t_s=theirs.t_s - theirs.t_s[0] + 0.7)
    found = estimate_offset(patient.seen(OURS_S), theirs, 4.0)
    assert found.seconds == pytest.approx(1.7e9 - 0.7 + 0.02, abs=0.03)


@pytest.mark.parametrize(
    ("theirs", "why"),
    [
        (Patient(1, even=True), "offsets from .* s fit"),
        (Patient(77), "not alike at any offset"),
    ],
    ids=["even breathing", "another patient"],
)
def test_an_offset_that_cannot_be_told_is_not_given(theirs, why):
    ours = (theirs if "fit" in why else Patient(1)).seen(OURS_S)
    found = estimate_offset(ours, theirs.seen(THEIRS_S, seed=9))
    assert found.seconds is None
    with pytest.raises(ShadowError, match=f"cannot be told from the data: .*{why}.*; give --offset-s"):
        compare(ours, theirs.seen(THEIRS_S), found)


def test_two_systems_that_never_change_cannot_be_aligned():
    still = replace(Patient(1).seen(OURS_S), hold=None, position_mm=np.zeros((720, 3)))
    assert estimate_offset(still, still).why == "neither motion nor changes of the gate are known of both"


def test_twenty_planted_disagreements_are_found_and_none_invented():
    patient = Patient(3, 240.0)
    ours = patient.seen(OURS_S)
    theirs, begins_s = planted(patient.seen(THEIRS_S, ahead_s=AHEAD_S, seed=9), 20)
    assert len(begins_s) == 20
    offset = estimate_offset(ours, theirs, 4.0)
    found = compare(ours, theirs, offset)
    listed_s = [one.begin_s + ours.t_s[0] for one in found.disagreements]
    assert listed_s == pytest.approx([begin_s - AHEAD_S for begin_s in begins_s], abs=0.05)
    assert all(one.duration_ms == pytest.approx(4e3 * THEIRS_S, abs=60) for one in found.disagreements)


def test_two_systems_that_agree_have_no_disagreement():
    patient = Patient(5)
    found = compare(patient.seen(OURS_S), patient.seen(THEIRS_S, seed=9), EQUAL_CLOCKS)
    assert found.disagreements == []
    assert found.short_differences > 20
    assert found.kappa > 0.85


def test_centres_that_are_apart_are_listed_beside_a_constant_bias():
    patient = Patient(6)
    ours, theirs = patient.seen(OURS_S), patient.seen(OURS_S, seed=9)
    biased = replace(theirs, position_mm=theirs.position_mm + np.array([0.0, 5.0, 0.0]))
    found = compare(ours, moved(biased, 100, 12, 8.0), EQUAL_CLOCKS)
    (one,) = found.disagreements
    assert (one.kind, one.begin_s) == (APART, pytest.approx(100 * OURS_S, abs=0.3))
    assert one.distance_mm == pytest.approx(8.0, abs=1.5)
    assert found.bias_mm == pytest.approx((0.0, 5.0, 0.0), abs=0.2)


@pytest.mark.parametrize("counts", [(40, 50, 3, 7), (1, 99, 0, 0), (0, 10, 5, 0), (30, 1, 30, 1)])
def test_kappa_is_that_of_scikit_learn(counts):
    both_on, both_hold, only_we, only_they = counts
    we = [0] * both_on + [1] * both_hold + [1] * only_we + [0] * only_they
    they = [0] * both_on + [1] * both_hold + [0] * only_we + [1] * only_they
    assert cohens_kappa(*counts) == pytest.approx(cohen_kappa_score(we, they))


@pytest.mark.parametrize("counts", [(0, 0, 0, 0), (9, 0, 0, 0), (0, 9, 0, 0)])
def test_kappa_of_one_state_alone_is_not_known(counts):
    assert cohens_kappa(*counts) is None


def test_sensitivity_of_hold_is_that_of_the_frames():
    ours = Patient(7).seen(OURS_S)
    hold = np.zeros(len(ours.t_s), bool)
    we, they = hold.copy(), hold.copy()
    we[100:200], they[150:200], they[300:350] = True, True, True
    found = compare(replace(ours, hold=we), replace(ours, hold=they), EQUAL_CLOCKS)
    assert (found.both_hold, found.only_we_hold, found.only_they_hold) == (50, 50, 50)
    assert (found.we_hold_when_they_do, found.they_hold_when_we_do) == (0.5, 0.5)


def test_of_a_system_without_gate_states_only_the_centres_are_compared():
    patient = Patient(8)
    found = compare(patient.seen(OURS_S), without_states(patient.seen(THEIRS_S, seed=9)), EQUAL_CLOCKS)
    assert (found.kappa, found.we_hold_when_they_do, found.both_on, found.disagreements) == (None, None, 0, [])
    assert found.distance_p95_mm < 3.0


def test_the_gate_of_another_engine_is_heard_on_our_wire(tmp_path):
    context = zmq.Context()
    gate, wire = bind(context, zmq.PUB, f"ipc://{tmp_path}/gate"), VendorWire(f"ipc://{tmp_path}/gate")
    states = itertools.cycle((GateState.HOLD, GateState.ON))

    def has_heard_both() -> bool:
        send(gate, encode(gate_command(1, next(states))))
        wire.take_waiting()
        with contextlib.suppress(ShadowError):
            return len(set(wire.side(None).hold.tolist())) == 2
        return False

    assert wait_until(has_heard_both)
    assert abs(wire.side(None).t_s[-1] - time.time()) < PATIENCE_S
    wire.close()
    context.destroy(linger=0)


def test_rows_hold_states_positions_and_outlines():
    plane = ImagePlane.of(stream())
    lines = ["time,state,outline_px", "2026-01-02T03:04:05+01:00,BEAM_ON,10 10 20 10 20 20 10 20",
             "2026-01-02T03:04:05.5+01:00,hold,"]  # fmt: skip
    side = read_rows("a.csv", lines, plane)
    assert side.t_s[1] - side.t_s[0] == pytest.approx(0.5)
    assert side.hold.tolist() == [False, True]
    assert side.position_mm[0] == pytest.approx(plane.to_lps_mm(15.0, 15.0))
    assert (list(side.outlines), math.isnan(side.position_mm[1, 0])) == ([0], True)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["a,b", "1,2"], "columns are a, b; known are"),
        (["time_s,state", "1,maybe", "2,on"], "line 2: 'maybe'"),
        (["time_s,state", "1,on", "nan,on"], "line 3: the time is nan"),
        (["time,state", "2026-01-02T03:04:05,on"], "line 2: the time has no zone"),
        (["time_s,state", "2,on", "1,on"], "2 rows, row 1 not later than that before"),
        (["time_s,outline_px", "1,1 2 3"], "line 2: outline_px has 3 numbers"),
        (["time_s,state", "1"], "line 2: "),
    ],
)
def test_a_row_that_cannot_be_read_is_named(lines, why):
    with pytest.raises(ShadowError, match=why):
        read_rows("a.csv", lines)


def test_frame_files_of_the_vendor_hold_outlines_and_centroids(shared_data, tmp_path):
    unity_files.session(shared_data, tmp_path / "frames", 3)
    side = read_vendor(tmp_path / "frames")
    assert side.hold is None
    assert np.diff(side.t_s) == pytest.approx([0.2, 0.2], abs=1e-5)
    assert side.located.all()
    assert sorted(side.outlines) == [0, 1, 2]


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> tuple[dict[str, object], str]:
    """A session log beside a file in which the vendor holds for half a second more."""
    folder = tmp_path_factory.mktemp("shadow")
    log = write_session(folder / "a.mcap")
    _, ours = read_session_side(log)
    hold = ours.hold.copy()
    hold[16:22] = ~hold[16:22]
    rows = [f"{t_s:.4f},{'hold' if holds else 'on'}" for t_s, holds in zip(ours.t_s, hold, strict=True)]
    (folder / "vendor.csv").write_text("\n".join(["time_s,state", *rows, "unfinished"]), "utf-8")
    arguments = ["shadow", log, "--vendor", folder / "vendor.csv", "--out", folder, "--offset-s", 0, "--json"]
    said = CliRunner().invoke(app, [str(one) for one in arguments])
    found = json.loads(said.stdout)
    return found, Path(found["page"]).read_text("utf-8")


def test_the_verb_finds_what_the_vendor_did_otherwise(compared):
    (one,) = compared[0]["disagreements"]
    assert (one["first_frame"], one["last_frame"]) == (16, 21)
    assert one["duration_ms"] == pytest.approx(750, abs=1)


def test_the_page_shows_each_disagreement_with_its_frames(compared):
    page = compared[1]
    assert [f"<figcaption>frame {number}</figcaption>" in page for number in (16, 18, 21, 5)] == [True] * 3 + [False]
    assert page.count('<polygon class="contour"') == 3
    assert fetched_addresses(page) == []


def test_a_shadow_log_needs_no_beam_interface_unless_it_names_one(tmp_path):
    for name, interface_id in (("alone.mcap", ""), ("named.mcap", "b1")):
        writer = SessionWriter(tmp_path / name, "s1", "monotonic:test", {SHADOW: "yes"})
        writer.open()
        writer.write(encode(gate_command(0, GateState.HOLD, interface_id="")), 0)
        writer.write(encode(gate_command(1, GateState.ON, interface_id=interface_id)), 1)
        writer.close()
    assert check_completeness(tmp_path / "alone.mcap").gap == ""
    assert "no state of a beam interface" in check_completeness(tmp_path / "named.mcap").gap


def test_a_live_source_is_decided_on_without_an_operator(tmp_path):
    config = replace_fields(engine_bench.CONFIG, endpoints=local_endpoints(tmp_path))
    drawn_in = frame(900)
    image = TargetImage.of(drawn_in.header, drawn_in.pixels, drawn_in.header.content_hash)
    target = TargetSpec("target", engine_bench.BOX, image=image)
    engine = ShadowEngine(config, [target], "s1", tmp_path / "a.mcap")
    context, clock = zmq.Context(), MonotonicClock()
    frames = bind(context, zmq.PUB, config.endpoints.frames)
    sent = itertools.count()

    def send_next():
        number, now_ns = next(sent), clock.now_ns()
        live = {"source_kind": SourceKind.LIVE, "publish_clock": clock.name}
        send(frames, encode(stream(source_kind=SourceKind.LIVE, nominal_interval_ns=50_000_000)))
        times = {"acquired_ns": now_ns, "acquired_on_publish_clock_ns": now_ns, "published_ns": now_ns}
        send(frames, encode_frame(frame(number, **live, **times)))
        time.sleep(0.05)

    until_s = time.monotonic() + PATIENCE_S
    engine.run(lambda: len(engine.rows) > 12 or time.monotonic() > until_s, send_next)
    context.destroy(linger=0)
    permitted = [one for one in commands(tmp_path / "a.mcap") if one.state is GateState.ON]
    assert permitted
    assert {(one.source_kind, one.interface_id) for one in permitted} == {(SourceKind.LIVE, "")}


def commands(log: Path) -> list[GateCommand]:
    return [message for _, _, message in read_session(log) if isinstance(message, GateCommand)]
