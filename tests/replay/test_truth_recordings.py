"""Scenes made of real stills: the truth agrees with registration, the targets are as large and move as far as asked."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from bench.truth import people, scenarios, scene
from bench.truth.judge import Orders, judge, judge_one
from bench.truth.scenarios import SCENARIOS, Scenario
from bench.truth.scene import Scene, make_subject
from bench.truth.subjects import LOW_SIGNAL_BOXES, Named, make, recordings, scenes
from gating.geometry.contours import mask_from_contour

pytestmark = pytest.mark.usefixtures("shared_data")
CLEAR = {"snr": 400.0, "psf_mm": 0.0, "through_plane": 0.0, "ripple_mm": 0.0, "beat_mm": 0.0, "lag_s": 0.0}
SHORT = {"seconds": 6.0, "frames_per_s": 4.0}


def made(monkeypatch, person: str, **what):
    """A scene of a scenario made for the test."""
    monkeypatch.setitem(scenarios.SCENARIOS, "test", Scenario(**(SHORT | what)))
    return make_subject("test", person)


def registered(reference: np.ndarray, frame: np.ndarray, mask: np.ndarray, start_px: np.ndarray) -> np.ndarray:
    """The affine motion (2, 3) of a target, found by maximising the enhanced correlation coefficient."""
    start = np.float32([[1, 0, -start_px[0]], [0, 1, -start_px[1]]])
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 200, 1e-7)
    one, other = (image.astype(np.float32) for image in (reference, frame))
    back = cv2.findTransformECC(other, one, start, cv2.MOTION_AFFINE, stop, mask.astype(np.uint8), 3)[1]
    return cv2.invertAffineTransform(back)


def deepest(subject) -> int:
    return int(np.argmax(np.abs(subject.content_px[:, 1] - subject.content_px[0, 1])))


@pytest.mark.parametrize("person", ["KS81", "QN76", "II29", "CS31"])
def test_the_true_centre_agrees_with_registration_of_the_content(monkeypatch, person):
    subject = made(monkeypatch, person, **CLEAR, depth_mm=20.0, compression=0.12, expansion=0.06)
    frame, frames = deepest(subject), subject.case.frames
    moved = subject.content_px[frame] - subject.content_px[0]
    mask = mask_from_contour(subject.case.contour_px, frames.shape[1:])
    found = registered(frames[0], frames[frame], mask, moved + 2.0)
    centre = subject.content_px[0]
    assert found[:, :2] @ centre + found[:, 2] == pytest.approx(centre + moved, abs=0.3)


@pytest.mark.parametrize("person", ["KS81", "QN76", "II29", "CS31"])
def test_the_true_outline_agrees_with_registration_of_the_content(monkeypatch, person):
    subject = made(monkeypatch, person, **CLEAR, target="organ", organ_mm=(90.0, 170.0), compression=0.2, expansion=0.1)
    frame, frames = deepest(subject), subject.case.frames
    mask = mask_from_contour(subject.case.contour_px, frames.shape[1:])
    moved = subject.content_px[frame] - subject.content_px[0]
    found = registered(frames[0], frames[frame], mask, moved)
    carried = subject.case.contour_px @ found[:, :2].T + found[:, 2]
    assert np.hypot(*(carried - subject.contours[frame]).T).mean() < 0.3


def test_a_scene_is_the_same_for_the_same_seed_and_another_for_another(monkeypatch):
    one, again = (made(monkeypatch, "QN76") for _ in range(2))
    other = make_subject("test", "QN76", 1)
    assert np.array_equal(one.case.frames, again.case.frames)
    assert all(np.array_equal(a, b) for a, b in zip(one.contours, again.contours, strict=True))
    assert not np.array_equal(one.case.frames, other.case.frames)


@pytest.mark.parametrize("person", people.TRUNKS)
def test_the_organ_of_a_hold_is_large_and_moves_by_41_mm(monkeypatch, person):
    monkeypatch.setattr(scene.Scene, "render", lambda *_: 0)
    subject = make_subject("holds_organ", person)
    width, height = np.ptp(subject.contours[0], axis=0)
    assert 74.0 < width < 101.0
    assert 135.0 < height < 180.0
    assert 36.0 < np.ptp(subject.outline_px[:, 1]) < 46.0


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_every_scenario_keeps_its_target_in_the_frame(monkeypatch, name):
    what = SCENARIOS[name]
    monkeypatch.setattr(scene.Scene, "render", lambda *_: 0)
    for person in what.people:
        subject = make_subject(name, person, 3)
        points = np.vstack(subject.contours)
        assert points.min() > 8.0
        assert (points.max(axis=0) < np.array(what.shape[::-1]) - 8.0).all()


def test_labels_are_the_pixels_inside_the_true_outline():
    subject = make_subject("speech", "M1")
    for frame in (0, 20, 75):
        assert np.array_equal(subject.case.labels[frame], mask_from_contour(subject.contours[frame], (192, 192)))


def test_noise_around_the_target_is_as_the_scenario_says():
    low, high = (Scene(Scenario(snr=snr), "KS81", np.random.default_rng(0)) for snr in (5.0, 20.0))
    assert low.noise_sigma == pytest.approx(4.0 * high.noise_sigma)


def test_the_saturation_band_stays_while_the_anatomy_moves(monkeypatch):
    subject = made(monkeypatch, "FMLP", **CLEAR, band=True)
    bare = made(monkeypatch, "FMLP", **CLEAR)
    rows = subject.case.frames.astype(float).mean(axis=2) / (bare.case.frames.astype(float).mean(axis=2) + 1.0)
    assert len(set(np.argmin(rows[:, 60:-60], axis=1).tolist())) == 1


def test_through_plane_motion_changes_the_inside_and_not_the_truth(monkeypatch):
    clear = CLEAR | {"snr": 1e6, "stranger": True}
    plain, changed = (made(monkeypatch, "KS81", **(clear | {"through_plane": share})) for share in (0.0, 0.9))
    frame = deepest(plain)
    one, other = (subject.case.frames[frame].astype(float) for subject in (plain, changed))
    inside, outside = plain.case.labels[frame], ~plain.case.labels[frame]
    assert np.corrcoef(one[inside], other[inside])[0, 1] < 0.9
    assert np.abs(one - other)[outside].mean() < 0.02 * np.abs(one - other)[inside].mean()
    assert np.array_equal(plain.contours[frame], changed.contours[frame])


@pytest.mark.parametrize("person", ["KS81", "II29"])
def test_the_appearance_in_a_low_field_hold_changes_as_in_patients(person):
    """On a breath-hold of an MR-linac the ZNCC between two phases was 0.7, their motion undone."""
    subject = make_subject("holds_organ_0.35T", person)
    frame, frames = deepest(subject), subject.case.frames
    at_rest = np.column_stack([subject.contours[0], np.ones(len(subject.contours[0]))])
    motion = np.linalg.lstsq(at_rest, subject.contours[frame], rcond=None)[0].T
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    undone = cv2.warpAffine(frames[frame].astype(np.float32), motion, frames.shape[:0:-1], flags=how)
    inside = subject.case.labels[0]
    assert 0.5 < np.corrcoef(frames[0][inside].astype(float), undone[inside])[0, 1] < 0.85


@pytest.mark.alone
def test_150_frames_of_350_by_350_take_less_than_3_s(monkeypatch):
    people.stills_of("KS81")
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    began = time.process_time()
    made(monkeypatch, "KS81", seconds=37.5)
    took_s = time.process_time() - began
    cv2.setNumThreads(threads)
    assert took_s < 3.0


def test_every_person_is_in_a_scene_and_can_be_left_out():
    assert {named.who for named in scenes([], [], [0])} == set(people.PEOPLE)
    assert {named.who for named in scenes([], ["CS31"], [0, 1])} == {"CS31"}


def test_all_real_recordings_can_be_read():
    boxes = [named for named in recordings() if named.kind == "low_signal"]
    assert len(boxes) == len(LOW_SIGNAL_BOXES) == 8
    for named in (Named("labelled", "trackrad_example/Z_001"), Named("shifted", "KS81_1"), boxes[-1]):
        subject = make(named)
        assert len(subject.outline_px) == len(subject.content_px) == len(subject.case.frames)
        assert subject.person


def test_a_tracker_is_judged_in_processes_of_its_own():
    subjects = [Named("labelled", "trackrad_example/Z_001"), Named("scene", "speech", "M4", 1)]
    told: list[str] = []
    verdict = judge(subjects, Orders(), 2, told.append)
    assert list(verdict.rows()) == ["Z_001", "speech"]
    assert list(verdict.rows("person")) == ["Z_001", "M4"]
    assert verdict.rows("name")["speech/M4/1"]["frames"] == 149
    assert verdict.rows()["Z_001"]["dsc"] > 0.99
    assert len(told) == 2


def test_a_subject_that_a_tracker_refuses_is_named_with_its_sentence():
    one = judge_one(Named("labelled", "trackrad_example/Z_001"), Orders(tracker="nobody"))
    assert one.name == "Z_001"
    assert "nobody" in str(one.scores)
