"""The metrics of the challenge, against brute force and hand-made cases; the runner end to end."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK
from scipy import ndimage

from cinegate.cases import read_cases
from drivers.errors import BadRecording
from drivers.recordings.trackrad import read_labels
from gating.evaluation import evaluate
from gating.evaluation.distances import frame_distances, surface_distances_mm
from gating.evaluation.masks import write_masks
from gating.evaluation.metrics import case_metrics, dice, frame_metrics, relative_d98, surface_distances
from gating.evaluation.report import worst_frames
from gating.evaluation.run import run_case
from gating.evaluation.score import predicted_masks
from gating.geometry.contours import contour_from_mask
from gating.tracking.tracker import TrackerSettings, TrackingError
from tests.pages import fetched_addresses


def disc(x, y, radius, shape=(64, 64)):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(columns - x, rows - y) <= radius


def brute_force_distances(one, other):
    edges = [np.argwhere(mask & ~ndimage.binary_erosion(mask)) for mask in (one, other)]
    apart = np.linalg.norm(edges[0][:, None] - edges[1][None], axis=2)
    to_other, to_one = apart.min(axis=1), apart.min(axis=0)
    return max(np.quantile(to_other, 0.95), np.quantile(to_one, 0.95)), to_other.mean()


@pytest.mark.parametrize("shift", [(0, 0), (3, 1), (12, -7), (30, 0)])
def test_surface_distances_agree_with_brute_force(shift):
    predicted, true = disc(20 + shift[0], 30 + shift[1], 7), disc(20, 30, 9)
    assert surface_distances(predicted, true) == pytest.approx(brute_force_distances(predicted, true), rel=1e-6)


def test_the_mean_surface_distance_looks_from_the_prediction_only():
    true = disc(20, 20, 6) | disc(50, 50, 6)
    assert surface_distances(disc(20, 20, 6), true)[1] == 0.0
    assert surface_distances(true, disc(20, 20, 6))[1] > 10.0


def test_dice_of_half_overlapping_boxes_is_one_half():
    one, other = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    one[:, :4], other[:, 2:6] = True, True
    assert dice(one, other) == 0.5


def test_a_frame_without_prediction_scores_zero_and_the_image_size():
    true = np.stack([disc(20, 20, 5, (40, 50))] * 3)
    predicted = true.copy()
    predicted[2] = False
    summary = case_metrics(frame_metrics(predicted, true))
    assert summary["dice_similarity_coefficient"] == 0.5
    assert summary["center_distance"] == summary["hausdorff_distance_95"] == 25.0


def test_the_given_first_frame_is_not_scored():
    true = np.stack([disc(20, 20, 5), disc(30, 20, 5)])
    predicted = np.stack([disc(20, 20, 5), disc(33, 24, 5)])
    assert case_metrics(frame_metrics(predicted, true))["center_distance"] == pytest.approx(5.0)


def test_frames_without_a_label_are_left_out():
    true = np.stack([disc(20, 20, 5), np.zeros((64, 64), bool), disc(20, 20, 5)])
    predicted = np.stack([disc(20, 20, 5)] * 3)
    assert case_metrics(frame_metrics(predicted, true))["dice_similarity_coefficient"] == 1.0


def test_relative_d98_is_one_for_perfect_tracking_and_small_for_a_miss():
    true = np.stack([disc(30, 30, 8)] * 5)
    assert relative_d98(true, true) == pytest.approx(1.0)
    assert relative_d98(np.stack([disc(30, 30, 8), *[disc(50, 30, 8)] * 4]), true) == pytest.approx(0.2, abs=0.06)


def test_masks_come_back_from_a_file_with_the_axes_of_the_challenge(tmp_path):
    masks = np.stack([disc(20 + 3 * frame, 30, 5, (48, 64)) for frame in range(4)])
    write_masks(tmp_path / "m.mha", masks, (1.5, 2.0))
    assert np.array_equal(read_labels(tmp_path / "m.mha"), masks)
    image = SimpleITK.ReadImage(str(tmp_path / "m.mha"))
    assert (image.GetSize(), image.GetSpacing()) == ((4, 64, 48), (1.0, 2.0, 1.5))


@pytest.fixture
def dataset(tmp_path):
    """A textured disc that moves down by 2 px per frame."""
    rng = np.random.default_rng(3)
    ground = ndimage.gaussian_filter(rng.standard_normal((96, 80)), 2.0)
    texture = ndimage.gaussian_filter(rng.standard_normal((96, 80)), 1.5) * 3
    frames, labels = [], []
    for step in range(6):
        label = disc(40, 30 + 2 * step, 9, (96, 80))
        moved = np.roll(texture, 2 * step, axis=0)
        frames.append(np.where(ndimage.binary_dilation(label, iterations=8), moved, ground))
        labels.append(label)
    case = tmp_path / "set" / "A_001"
    write_masks(case / "targets" / "A_001_labels.mha", np.stack(labels), (1.0, 1.0))
    write_masks(case / "targets" / "A_001_first_label.mha", np.stack(labels)[:1], (1.0, 1.0))
    image = SimpleITK.GetImageFromArray(np.stack(frames).transpose(1, 2, 0).astype(np.float32))
    (case / "images").mkdir()
    SimpleITK.WriteImage(image, str(case / "images" / "A_001_frames.mha"))
    (case / "frame-rate.json").write_text("8.0")
    return tmp_path / "set"


@pytest.mark.parametrize("tracker", ["template", "opencv"])
def test_evaluation_follows_a_moving_target_and_writes_what_it_found(dataset, tmp_path, tracker):
    summary = evaluate(read_cases(dataset), tmp_path / "out", tracker)
    row = summary.results[0]
    assert row["dice_similarity_coefficient"] > 0.95
    assert row["center_distance"] < 0.5
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["results"][0]["case_id"] == "A_001"
    assert len(list(csv.DictReader((tmp_path / "out" / "frames.csv").read_text().splitlines()))) == 5
    page = (tmp_path / "out" / "report.html").read_text()
    assert "A_001" in page
    assert fetched_addresses(page) == []
    [job] = json.loads((tmp_path / "out" / "predictions" / "predictions.json").read_text())
    folder = tmp_path / "out" / "predictions" / job["pk"] / "output" / job["outputs"][0]["interface"]["relative_path"]
    masks = read_labels(next(folder.glob("*.mha")))
    assert masks.shape == (6, 96, 80)
    assert np.array_equal(masks[0], next(read_cases(dataset)).labels[0])


def test_what_an_evaluation_writes_is_readable_by_its_owner_alone(dataset, tmp_path):
    evaluate(read_cases(dataset), tmp_path / "out")
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in written} == {0o600}


def test_a_later_frame_never_changes_an_earlier_answer(dataset, tmp_path):
    case = next(read_cases(dataset))
    whole = run_case(case, "template", TrackerSettings()).results
    case.frames[4:] = 0.0
    cut = run_case(case, "template", TrackerSettings()).results
    assert [(r.x_px, r.y_px, r.confidence) for r in whole[:3]] == [(r.x_px, r.y_px, r.confidence) for r in cut[:3]]


@pytest.mark.parametrize("unseen", [0.0, np.nan, np.inf])
def test_a_frame_that_cannot_be_tracked_keeps_the_mask_before(dataset, unseen):
    case = next(read_cases(dataset))
    case.frames[3] = unseen
    masks = predicted_masks(run_case(case, "template", TrackerSettings()))
    assert np.array_equal(masks[3], masks[2])
    assert not np.array_equal(masks[4], masks[3])


def test_a_frame_of_nan_in_a_file_costs_that_frame_alone(dataset, tmp_path):
    file = dataset / "A_001" / "images" / "A_001_frames.mha"
    frames = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(file)))
    frames[7, 7, 3] = np.nan
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(frames), str(file))
    summary = evaluate(read_cases(dataset), tmp_path / "out")
    assert summary.refused == {}
    assert summary.results[0]["not_tracked"] == 1
    assert summary.results[0]["dice_similarity_coefficient"] > 0.9


def test_an_untrackable_case_is_reported_and_scored_without_tracking(dataset, tmp_path):
    good = next(read_cases(dataset))
    dot = np.zeros((96, 80), bool)
    dot[40:42, 40:42] = True
    unfit = replace(good, name="dot", contour_px=contour_from_mask(dot))
    summary = evaluate([unfit, good], tmp_path / "out")
    assert summary.refused == {"dot": summary.refused["dot"]}
    assert summary.refused["dot"].startswith("dot: the target covers 4 px")
    assert [row["not_tracked"] for row in summary.results] == [5, 0]
    with pytest.raises(TrackingError, match="dot: the target covers 4 px"):
        evaluate([unfit], tmp_path / "none")


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0), (2.9, 2.9), (1.0, 3.0)])
def test_our_distances_are_mm_whatever_the_pixels(spacing_mm):
    predicted, true = disc(34, 21, 7, (40, 90)), disc(40, 20, 8, (40, 90))
    edges = [np.argwhere(mask & ~ndimage.binary_erosion(mask)) * spacing_mm for mask in (predicted, true)]
    apart = np.linalg.norm(edges[0][:, None] - edges[1][None], axis=2)
    there, back = apart.min(axis=1), apart.min(axis=0)
    hd95_mm, masd_mm = surface_distances_mm(predicted, true, spacing_mm)
    assert hd95_mm == pytest.approx(max(np.quantile(there, 0.95), np.quantile(back, 0.95)))
    assert masd_mm == pytest.approx((there.mean() + back.mean()) / 2)


def test_the_challenges_own_distance_stands_beside_ours_in_px(dataset):
    case = replace(next(read_cases(dataset)), pixel_spacing_mm=(2.9, 2.9))
    case.labels[1:] = np.roll(case.labels[1:], 4, axis=2)
    row = evaluate([case]).results[0]
    assert row["hausdorff_distance_95"] == pytest.approx(4.0, abs=0.6)
    assert row["hd95_mean_mm"] == pytest.approx(2.9 * row["hausdorff_distance_95"], rel=0.05)


def test_a_wide_image_is_not_cut_by_its_number_of_rows():
    true, predicted = np.stack([disc(70, 20, 6, (40, 90))]), np.stack([disc(74, 20, 6, (40, 90))])
    assert frame_distances(predicted, true, (1.0, 1.0)).hd95_mm[0] == pytest.approx(4.0, abs=0.1)


def test_the_worst_frames_lie_two_seconds_apart(dataset):
    case = next(read_cases(dataset))
    slow = replace(case, elapsed_s=np.r_[0.0, np.full(5, 0.9)])
    run = run_case(slow, "template", TrackerSettings())
    assert worst_frames(run, np.array([1.0, 9.0, 8.0, 7.0, 6.0]), None, 3) == [1, 4]


def test_the_page_shows_the_mean_error_and_explains_its_columns(dataset, tmp_path):
    evaluate(read_cases(dataset), tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "centre error, mean (mm)" in page
    assert 'title="Distance of the tracked centre from the true one."' in page
    assert page.count('<figure class="frame">') == 1  # six frames are less than two seconds


def test_a_folder_without_cases_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(BadRecording, match="holds no case with a target"):
        list(read_cases(tmp_path))
    with pytest.raises(BadRecording, match="is not a folder"):
        list(read_cases(tmp_path / "nowhere"))
