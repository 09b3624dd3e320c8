"""What the console shows of a session, and what it takes away: contours of another frame, silence, other sessions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from cinegate.console.bands import Band, measure
from cinegate.console.patient import TextsError, load_texts, patient_update
from cinegate.console.picture import letters
from cinegate.console.protocol import GuidePatient
from cinegate.console.updates import Cursor, frame_age_ms, treat_update
from cinegate.console.view import SessionView
from gating.geometry.plane import ImagePlane
from gating.messages import BeamStatus, Event, GateState, Message, Pacing, StampMeaning
from gating.report.gate_band import gate_bands
from gating.settings.config import GatingSettings
from gating.settings.rules import BoundaryRule, CentreRule
from tests.factories import beam_status
from tests.unit.session_bench import (
    CLOCK,
    MS,
    command,
    estimate,
    make_frame,
    reference,
    session_header,
    stream_info,
)

NOW_NS = 9_000 * MS
AT = "12:00:00"
AP_BOUNDARY = ("ap", "boundary, 10 % out")
BANDS = {"GTV": [Band("boundary", "si", -3, 3), Band("centre", "si", -5, None)]}


@pytest.fixture
def view() -> SessionView:
    view = SessionView()
    for message in (session_header(), stream_info(40), reference()):
        view.hear(message, NOW_NS, AT)
    return view


def hear(view: SessionView, *messages: Message, at_ns: int = NOW_NS) -> None:
    for message in messages:
        view.hear(message, at_ns, AT)


def update(view: SessionView, cursor: Cursor | None = None, now_ns: int = NOW_NS):
    return treat_update(view, cursor or Cursor(), now_ns, CLOCK)[0]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["frame first", "estimate first"])
def test_a_picture_is_a_frame_with_its_own_contours(view, order):
    messages = make_frame(4, NOW_NS), estimate(4)
    for which in order:
        view.hear(messages[which], NOW_NS, AT)
    assert view.picture is not None
    assert [seen.frame_sequence for seen in view.picture.estimates] == [4]


def test_a_frame_without_its_contours_is_shown_without_any(view):
    hear(view, estimate(3))
    view.hear(make_frame(4, NOW_NS), NOW_NS, AT)
    assert view.picture is None
    view.complete_picture(NOW_NS + 16 * MS)
    assert view.picture is not None
    assert view.picture.estimates == ()


def test_a_frame_whose_contours_do_not_come_gives_way_to_the_next(view):
    view.hear(make_frame(4, NOW_NS), NOW_NS, AT)
    view.hear(make_frame(5, NOW_NS), NOW_NS, AT)
    hear(view, estimate(5))
    assert view.picture is not None
    assert view.picture.frame.header.sequence == 5


def test_no_plane_starves_where_planes_come_in_turn(view):
    cursor, told = Cursor(), []
    view.references.clear()
    for number in range(8):
        frame = make_frame(number, NOW_NS)
        header = replace(frame.header, plane=("sagittal", "coronal")[number % 2])
        view.hear(replace(frame, header=header), NOW_NS, AT)
        if number % 2 == 1:
            told.append(update(view, cursor)["picture"]["plane"])
    assert told == ["sagittal", "coronal", "sagittal", "coronal"]


def test_another_session_is_not_shown_while_the_first_is_heard(view):
    other = replace(command(4, 0, 1, renewal=False), session_id="s2")
    hear(view, command(4, 0, 1, renewal=False))
    hear(view, other, at_ns=NOW_NS + 1000 * MS)
    assert view.session_id == "s1"
    hear(view, other, at_ns=NOW_NS + 3000 * MS)
    assert view.session_id == "s2"
    assert view.references == {}


def test_a_wanted_session_is_never_left_for_another():
    view = SessionView("s1")
    hear(view, replace(session_header(), session_id="s2"))
    assert view.session_id == ""
    hear(view, session_header())
    assert view.session_id == "s1"


@pytest.mark.parametrize(("interval_ms", "limit_ms"), [(125, 300), (16, 300), (250, 500)])
def test_no_signal_comes_after_300_ms_or_two_slower_frames(view, interval_ms, limit_ms):
    hear(view, replace(stream_info(40), nominal_interval_ns=interval_ms * MS))
    assert update(view)["limits_ms"]["frame"] == limit_ms


def test_what_was_never_heard_has_no_age(view):
    hear(view, command(4, 0, 1, renewal=False), at_ns=NOW_NS - 40 * MS)
    ages = update(view)["ages_ms"]
    assert (ages["gate"], ages["beam"]) == (40.0, None)


def test_the_age_of_an_image_is_told_only_on_this_hosts_clock(view):
    view.hear(make_frame(4, NOW_NS - 90 * MS), NOW_NS, AT)
    hear(view, estimate(4))
    assert frame_age_ms(view, CLOCK, NOW_NS) == 90.0
    assert frame_age_ms(view, "monotonic:other", NOW_NS) is None
    arrived = make_frame(5, NOW_NS)
    header = replace(arrived.header, acquired_meaning=StampMeaning.ARRIVAL)
    view.hear(replace(arrived, header=header), NOW_NS, AT)
    hear(view, estimate(5))
    assert frame_age_ms(view, CLOCK, NOW_NS) is None


def test_a_page_is_told_only_what_is_new_to_it(view):
    cursor = Cursor()
    hear(view, estimate(4))
    first, second = update(view, cursor), update(view, cursor)
    assert len(first["samples"]) == 1
    assert first["setting"]["targets"][0]["name"] == "GTV"
    assert second["samples"] == []
    assert "setting" not in second


def test_a_target_that_is_not_found_leaves_a_gap(view):
    hear(view, replace(estimate(4), status="lost", target_out_fraction=float("nan")))
    (sample,) = update(view)["samples"]
    assert (sample.si_mm, sample.out_fraction) == (None, None)


def test_repeated_events_are_folded_and_the_newest_comes_first(view):
    cough = Event(session_id="s1", role="engine", severity="warning", code="frame_gap", text="gap", at_ns=1)
    hear(
        view,
        replace(cough, text="gap of 3 frames"),
        replace(cough, text="other"),
        replace(cough, text="gap of 5 frames"),
    )
    assert [(one.text, one.times) for one in update(view)["events"]] == [("gap of 5 frames", 2), ("other", 1)]


def test_events_that_differ_by_a_list_of_numbers_are_folded(view):
    told = Event(session_id="s1", role="engine", severity="info", code="template", text="", at_ns=1)
    hear(view, *(replace(told, text=f"templates of {ages} s") for ages in ("2, 1", "3, 2, 0", "4.5")))
    assert [(one.text, one.times) for one in update(view)["events"]] == [("templates of 4.5 s", 3)]


def test_what_two_operators_did_is_never_folded_into_one(view):
    first = Event(session_id="s1", role="engine", severity="info", code="arm", text="arm by op 1: armed", at_ns=1)
    hear(view, first, replace(first, text="arm by op 2: armed"))
    assert [one.text for one in update(view)["events"]] == ["arm by op 2: armed", "arm by op 1: armed"]


def statuses(on: str) -> Iterator[BeamStatus]:
    for number, digit in enumerate(on):
        state = GateState.ON if digit == "1" else GateState.HOLD
        yield beam_status(confirmed=state, commanded=state, sent_ns=NOW_NS + number * 100 * MS)


def test_beam_on_time_is_that_of_the_confirmed_beam_as_far_as_it_was_seen(view):
    for number in range(6):
        hear(view, command(4, 0, number, renewal=True), at_ns=NOW_NS + number * 100 * MS)
    hear(view, *statuses("011100"))
    hear(view, beam_status(sent_ns=NOW_NS + 60_000 * MS))
    figures = update(view)["figures"]
    assert figures["beam_on_s"] == pytest.approx(0.3)
    assert figures["duty_cycle"] == pytest.approx(0.6)


def test_holds_are_counted_and_timed_by_reason(view):
    for number, sequence in enumerate((0, 0, 4, 4, 8, 8, 8)):
        hear(view, command(sequence, 0, number, renewal=number % 2 == 1), at_ns=NOW_NS + number * 100 * MS)
    holds = {one["reason"]: (one["times"], one["s"]) for one in update(view)["figures"]["holds"]}
    assert holds["not_armed"] == (1, pytest.approx(0.2))


def test_only_real_time_sessions_have_latencies(view):
    hear(view, command(4, 0, 1, renewal=False))
    assert update(view)["figures"]["engine_ms"].p50 == pytest.approx(0.7)
    scaled = SessionView()
    hear(scaled, replace(command(4, 0, 1, renewal=False), pacing=Pacing.SCALED))
    assert update(scaled)["figures"]["engine_ms"].p50 is None


def test_the_console_has_the_bands_of_the_report():
    gating = GatingSettings(rules=(CentreRule(si_mm=4, ap_mm=5, shift_lps_mm=(0, 2, 1)), BoundaryRule()))
    plane, learned = ImagePlane.of(stream_info(1)), {"GTV": reference()}
    found = json.loads(measure(learned, {"GTV": stream_info(1)}, gating))["GTV"]
    drawn = [(one["rule"], one["axis"], one["low_mm"], one["high_mm"]) for one in found]
    assert ("centre", "ap", -7.0, 3.0) in drawn
    (boundary,) = [
        one for one in gate_bands("GTV", learned, plane, gating) if (one.axis, one.name[:8]) == ("ap", "boundary")
    ]
    assert ("boundary", "ap", round(boundary.low_mm, 2), round(boundary.high_mm, 2)) in drawn


def test_a_rule_that_never_objects_on_a_side_is_open_there():
    gating = GatingSettings(rules=(BoundaryRule(max_out_fraction=1.0),))
    found = json.loads(measure({"GTV": reference()}, {"GTV": stream_info(1)}, gating))["GTV"]
    assert {(one["low_mm"], one["high_mm"]) for one in found} == {(None, None)}


def test_another_site_brings_targets_of_its_own(view):
    sites = "".join(f'[[sites]]\nname = "{name}"\ntarget = "{name}.json"\nplan = "P1"\n' for name in ("lung", "liver"))
    hear(view, estimate(4), replace(session_header(), config_toml=sites, site="lung"))
    hear(view, replace(reference(), target="lung"))
    assert update(view)["setting"]["site"] == "lung"
    hear(view, replace(session_header(), config_toml=sites, site="liver", engine_id="e2"))
    told = update(view)["setting"]
    assert (told["site"], told["targets"]) == ("liver", [])
    assert told["sites"] == [{"name": "lung", "plan": "P1"}, {"name": "liver", "plan": "P1"}]


def test_bands_are_wanted_once_for_each_setting(view):
    assert view.wants_bands
    view.take_bands(BANDS)
    assert not view.wants_bands
    assert update(view)["setting"]["targets"][0]["bands"] == BANDS["GTV"]
    hear(view, replace(reference(), target="liver"))
    assert view.wants_bands


def test_orientation_letters_name_the_nearest_axes():
    sagittal = ImagePlane.of(stream_info(1))
    assert letters(sagittal) == {"left": "A", "right": "P", "top": "H", "bottom": "F"}
    turned = np.sqrt(0.5)
    oblique = replace(stream_info(1), image_orientation=(0.0, turned, -turned, 0.0, -turned, -turned))
    assert letters(ImagePlane.of(oblique))["right"] == "PF"


def test_an_image_whose_orientation_is_none_is_shown_without_letters(view):
    skewed = (0.0, 1.0, 0.0, 0.0, 1.0, 0.0)
    hear(view, replace(stream_info(40), image_orientation=skewed))
    frame = make_frame(4, NOW_NS)
    view.hear(replace(frame, header=replace(frame.header, image_orientation=skewed)), NOW_NS, AT)
    hear(view, estimate(4))
    told = update(view)
    assert set(told["picture"]["letters"].values()) == {"–"}
    assert told["setting"]["targets"][0]["axes"] == []


def test_in_3d_each_sample_has_its_bound_and_the_estimated_axis_is_known(view):
    in_3d = replace(session_header(), config_toml="[gating.three_d]\non = true\n")
    seen = replace(estimate(5), displacement_mm=(1.0, -2.0, 3.0), bound_mm=(1.5, 0.5, 0.5))
    hear(view, in_3d, seen, estimate(6))
    told = update(view)
    assert told["setting"]["in_3d"]
    assert told["setting"]["targets"][0]["axes"] == ["ap", "si"]
    bounded, without = told["samples"]
    assert (bounded.lr_mm, bounded.ap_mm, bounded.si_mm, bounded.bound_mm) == (1.0, 2.0, 3.0, (1.5, 0.5, 0.5))
    assert without.bound_mm is None


def test_the_patient_is_told_where_the_target_is_and_sees_no_anatomy(view):
    view.hear(make_frame(4, NOW_NS), NOW_NS, AT)
    hear(view, estimate(4), command(4, 0, 1, renewal=False))
    view.take_bands(BANDS)
    told = patient_update(view, GuidePatient("bar", numbers=False, message="Well done"), NOW_NS)
    assert told["marker"]["up"] == (-3, 3)
    assert told["guide"]["message"] == "Well done"
    assert "picture" not in told


def test_the_patients_texts_can_be_translated(tmp_path):
    english = (Path(__file__).parents[2] / "cinegate/console/patient_texts.toml").read_text("utf-8")
    path = tmp_path / "de.toml"
    path.write_text(english.replace('hold = "Hold"', 'hold = "Atem anhalten"'), "utf-8")
    assert load_texts(path).hold == "Atem anhalten"
    path.write_text('language = "de"', "utf-8")
    with pytest.raises(TextsError, match=r"de\.toml: Object missing required field `wait`"):
        load_texts(path)
