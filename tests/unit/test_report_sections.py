"""The parts of the report beside its trace: labels, sign-off, events, banner, distributions, marks on the frames."""

from __future__ import annotations

import re

import msgspec
import numpy as np
import pytest

from gating.analysis.motion import GatedMotion
from gating.analysis.replay_tracking import gated_motion, track_motion
from gating.geometry.plane import ImagePlane
from gating.latency.stages import LatencySummary
from gating.pages.page import UNKNOWN
from gating.report.event_table import event_table
from gating.report.html import render
from gating.report.labels import Labels
from gating.report.motion_figures import beam_on_figure, breath_phase, displacement_histogram, phase_figure
from gating.report.summary import EventLine, SessionSummary, summarise_data
from gating.session.summary_data import SessionData, read_data
from gating.settings.config import Config
from tests.motion import breathing
from tests.unit.session_bench import write_session


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SessionData:
    return read_data(write_session(tmp_path_factory.mktemp("session") / "s1.mcap"))


@pytest.fixture(scope="module")
def summary(data: SessionData) -> SessionSummary:
    return summarise_data(data)


@pytest.fixture(scope="module")
def motion() -> GatedMotion:
    return gated_motion(track_motion(*breathing(30)), Config())


def test_labels_of_the_user_stand_in_the_head_and_by_the_signatures(data, summary) -> None:
    page = render(data, summary, Labels(patient="P-<b>", plan="liver 5x10"))
    said = f"patient <b>P-&lt;b&gt;</b> &middot; plan <b>liver 5x10</b> &middot; fraction <b>{UNKNOWN}</b>"
    assert page.count(said) == 2
    sign_off = page.partition("<h2>Sign-off</h2>")[2]
    for what in ("medical physicist", "signature", "session s1", "settings abc123", "log s1.mcap"):
        assert what in sign_off, what


def test_a_label_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="patient has 65 characters; at most 64 are allowed"):
        Labels(patient="x" * 65)


def test_events_of_one_kind_are_folded_into_one_row() -> None:
    accepted = [
        EventLine(t_s=float(t), role="engine", severity="info", code="template_accepted", text=f"template of {t} s")
        for t in range(34)
    ]
    fault = EventLine(t_s=3.5, role="engine", severity="fault", code="tracker_fault", text="lost it")
    shown = event_table([*accepted[:4], fault, *accepted[4:]])
    assert shown.count("<tr>") == 3
    assert ">0.00 to 33.00<" in re.sub("</?button[^>]*>", "", shown)
    assert "33 more" in shown
    assert all(f"template of {t} s" in shown for t in range(34))
    assert "lost it" in shown


def test_budgets_that_are_exceeded_are_told_in_one_banner(data, summary) -> None:
    slow = LatencySummary(p50=500.0, p99=500.0, p999=500.0, max=500.0, n=9)
    late = msgspec.structs.replace(summary, latency_ms=dict.fromkeys(summary.latency_ms, slow))
    page = render(data, late)
    assert page.count("Over budget") == 1
    assert page.count("the budget is") == 4 * len(summary.latency_ms)


def test_the_histogram_counts_the_time_at_each_distance(motion: GatedMotion) -> None:
    figure = displacement_histogram(motion)
    assert figure is not None
    traces = {(one["name"], one["xaxis"]): np.array(one["y"]) for one in figure["data"]}
    for axis in ("x", "x2"):
        whole, beam = traces["whole session", axis], traces["beam on", axis]
        assert whole.sum() == pytest.approx(100)
        assert (beam <= whole + 1e-9).all()
        assert 0 < beam.sum() < 100


def test_the_phase_runs_from_exhale_to_exhale(motion: GatedMotion) -> None:
    inhales_s = motion.t_s[np.argsort(motion.displacement_mm[:, 2])[:10]]
    phase = breath_phase(motion, inhales_s)
    known = np.isfinite(phase)
    assert known.sum() >= 5
    np.testing.assert_allclose(phase[known], 0.5, atol=0.2)
    figure = phase_figure(motion)
    assert figure is not None
    assert {one["name"] for one in figure["data"]} == {"beam off", "beam on"}


def test_where_nothing_breathes_there_is_no_phase_plot() -> None:
    t = np.arange(0, 30, 0.2)
    assert phase_figure(gated_motion(track_motion(t, np.zeros((len(t), 3))), Config())) is None


def test_the_beam_on_time_so_far_ends_with_the_whole(summary: SessionSummary) -> None:
    figure = beam_on_figure(summary)
    assert figure is not None
    so_far = figure["data"][1]["y"]
    assert so_far == sorted(so_far)
    assert so_far[-1] == pytest.approx(summary.beam_on_s, abs=1e-3)
    assert beam_on_figure(msgspec.structs.replace(summary, beam_known_by="")) is None


def test_frames_have_orientation_letters_and_a_scale_bar(data, summary) -> None:
    page = render(data, summary)
    for mark in ('edge left">A<', 'edge right">P<', 'edge top">H<', 'edge bottom">F<', 'class="scale"', "20 mm</i>"):
        assert mark in page, mark


@pytest.mark.parametrize(
    ("columns", "rows", "letters"),
    [((1, 0, 0), (0, 0, -1), "RLHF"), ((0, 1, 0), (0, 0, -1), "APHF"), ((0, -0.8, 0.6), (1, 0, 0), "PFAHRL")],
    ids=["coronal", "sagittal", "oblique"],
)
def test_the_letters_say_where_the_edges_lie_in_the_patient(columns, rows, letters) -> None:
    plane = ImagePlane((1.0, 1.0), np.array(columns, float), np.array(rows, float), np.zeros(3))
    assert "".join(plane.edge_letters()) == letters
