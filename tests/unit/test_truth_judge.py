"""The judge of trackers: errors of outline and content told apart, unknown figures left out, and runs compared."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import cv2
import numpy as np
import pytest

from bench.truth.pictures import draw_worst
from bench.truth.score import figures, joined, score
from bench.truth.subject import Subject
from bench.truth.table import comparison, read_earlier, table
from gating.evaluation.case import Case, CaseRun
from gating.geometry.contours import box_contour, mask_from_contour
from gating.tracking.tracker import TrackResult, TrackStatus

SHAPE, FRAMES, SPACING_MM = (80, 70), 6, 2.0
BOX = box_contour(20.0, 25.0, 24.0, 20.0)
CENTRE = (31.5, 34.5)


def subject(*, labelled: bool = True, content: bool = True) -> Subject:
    """A target that moves down by 2 px a frame."""
    down = np.array([[0.0, 2.0 * frame] for frame in range(FRAMES)])
    contours = [np.asarray(BOX + step, np.float32) for step in down] if labelled else []
    labels = np.stack([mask_from_contour(one, SHAPE) for one in contours]) if labelled else None
    pixels = np.random.default_rng(0).integers(0, 400, (FRAMES, *SHAPE)).astype(np.uint16)
    case = Case("made/up/0", pixels, np.full(FRAMES, 0.25), (SPACING_MM, SPACING_MM), BOX, labels)
    unknown = np.full((FRAMES, 2), np.nan)
    return Subject(case, "made", "up", contours, CENTRE + down if labelled else unknown,
                   CENTRE + down if content else unknown)  # fmt: skip


def tracked(off_px: float = 0.0, *, confidence: float = 0.95, centre_off_px: float | None = None) -> CaseRun:
    """Results to the right of the truth by `off_px`, in all frames."""
    results = []
    for frame in range(1, FRAMES):
        contour = BOX + np.array([off_px, 2.0 * frame], np.float32)
        x = CENTRE[0] + (off_px if centre_off_px is None else centre_off_px)
        status = TrackStatus.TRACKED if confidence >= 0.8 else TrackStatus.LOW_CONFIDENCE
        results.append(TrackResult(x, CENTRE[1] + 2.0 * frame, confidence, 0.9, status, contour, "", 1))
    now = datetime.now(UTC)
    return CaseRun(subject().case, results, np.full(FRAMES - 1, 0.002), now, now)


def test_a_perfect_tracker_has_no_errors():
    found = figures(score(tracked(), subject()))
    assert found["dsc"] == 1.0
    assert (found["outline_mm"], found["content_mm"], found["tof_points"]) == pytest.approx((0.0, 0.0, 0.0), abs=1e-4)
    assert (found["confident"], found["confident_wrong"], found["p50_ms"]) == (1.0, 0, pytest.approx(2.0))


def test_outline_and_content_are_judged_by_their_own_centres():
    found = figures(score(tracked(1.0, centre_off_px=0.25), subject()))
    assert found["outline_mm"] == pytest.approx(2.0, abs=1e-3)
    assert found["content_mm"] == pytest.approx(0.5, abs=1e-3)


def test_a_confident_frame_is_wrong_beyond_two_pixels_of_4_mm():
    assert figures(score(tracked(1.9), subject()))["confident_wrong"] == 0
    assert figures(score(tracked(2.1), subject()))["confident_wrong"] == FRAMES - 1


def test_a_doubted_frame_is_never_counted_as_wrong():
    found = figures(score(tracked(9.0, confidence=0.5), subject()))
    assert (found["confident"], found["tracked"], found["confident_wrong"]) == (0.0, 0.0, 0)


def test_a_box_is_judged_by_its_content_alone():
    scores = score(tracked(9.0, centre_off_px=0.5), subject(labelled=False))
    assert scores.judged_mm == pytest.approx(np.full(FRAMES - 1, 1.0), abs=1e-3)
    assert figures(scores)["dsc"] is None


def test_a_recording_without_truth_has_unknown_errors_not_zero():
    found = figures(score(tracked(), subject(labelled=False, content=False)))
    assert found["confident"] == 1.0
    assert {found[name] for name in ("dsc", "outline_mm", "content_mm", "confident_wrong", "tof_points")} == {None}


def test_a_contour_kept_in_the_window_hides_target_outside():
    stays = tracked()
    results = [TrackResult(*CENTRE, 0.95, 0.9, TrackStatus.TRACKED, BOX, "", 1) for _ in stays.results]
    scores = score(CaseRun(stays.case, results, stays.seconds, stays.started, stays.completed), subject())
    assert scores.tof_points[-1] == pytest.approx(-100.0 * (10.0 - 1.5) / 20.0, abs=1.5)
    assert figures(scores)["confident_tof"] == 4


def test_frames_of_the_preparation_are_not_scored():
    assert figures(score(tracked(), subject(), 3))["frames"] == 3


def test_figures_of_a_group_are_over_all_its_frames():
    both = joined([score(tracked(), subject()), score(tracked(1.0), subject(), 4)])
    assert figures(both)["outline_mm"] == pytest.approx(2.0 * 2 / 7, abs=1e-3)


def test_the_table_writes_a_dash_for_what_is_unknown():
    row = figures(score(tracked(), subject(labelled=False, content=False)))
    cells = [cell.strip() for cell in table({"one": row}).splitlines()[-1].split("|")]
    assert cells[1:4] == ["one", "5", "-"]


def test_two_runs_are_compared_where_they_differ():
    one, other = (figures(score(tracked(off), subject())) for off in (0.0, 1.0))
    last = comparison({"one": other, "new": other}, {"one": one}).splitlines()[-1]
    assert "0.00 > 2.00" in last
    assert "new" not in last


def test_a_file_that_is_no_earlier_run_is_refused_by_name(tmp_path):
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"something": 1}))
    with pytest.raises(ValueError, match=r"other\.json: is not a file that --json wrote"):
        read_earlier(path)


def test_pictures_of_the_worst_frames_show_both_contours(tmp_path):
    run, truth = tracked(5.0), subject()
    written = draw_worst(tmp_path, run, truth, score(run, truth), 1, 2)
    assert len(written) == 2
    assert written[0].stat().st_mode & 0o777 == 0o600
    colours = cv2.imread(str(written[0])).astype(int)[40:]
    spread = colours[..., 1] - colours[..., 2]
    assert spread.max() > 80
    assert spread.min() < -60
