"""The memory of a preparation: what it learns, whom it belongs to, and that a session only reads it."""

import numpy as np
import pytest

from gating.geometry.contours import contour_centroid
from gating.tracking.checked_tracker import CheckedTracker
from gating.tracking.memory import MOST_KEY_FRAMES
from gating.tracking.memory_learning import learn_memory
from gating.tracking.registry import make_tracker
from gating.tracking.tracker import TrackerSettings, TrackingError, TrackStatus
from tests.memory_bench import FRAME_S, TARGET, breathing, cine, elapsed, held, texture

SPACING = (1.5, 1.5)


def learned(frames, contour=TARGET):
    return learn_memory(frames, elapsed(len(frames)), contour, SPACING)


def tracker(reference, contour=TARGET, name="template"):
    made = CheckedTracker(make_tracker(name, TrackerSettings()))
    made.warm_up()
    made.set_reference(reference, contour, SPACING)
    return made


@pytest.fixture(scope="module")
def preparation():
    return cine(held(60), changes=0.6)


@pytest.fixture(scope="module")
def memory(preparation):
    return learned(preparation)


def test_key_frames_show_rest_and_hold(memory):
    depths = [contour_centroid(key.contour_px)[1] - contour_centroid(memory.contour_px)[1] for key in memory.key_frames]
    assert min(depths) < 11 < 29 < max(depths)


def test_contours_are_carried_to_within_a_pixel(memory):
    truth = held(60)
    x, y = contour_centroid(memory.contour_px)
    for key in memory.key_frames:
        assert contour_centroid(key.contour_px) == pytest.approx((x, y + truth[key.number]), abs=1.0)


def test_there_are_no_more_than_eight_key_frames():
    frames = np.stack([cine(np.zeros(1), seed=3)[0] // 2 + cine(np.zeros(1), seed=9 + n)[0] // 4 for n in range(24)])
    assert len(learned(frames).key_frames) <= MOST_KEY_FRAMES


def test_a_target_that_always_looks_the_same_needs_no_key_frame():
    assert learned(cine(breathing(40), noise=0.0)).key_frames == ()


def test_the_memory_of_another_picture_is_refused(memory, preparation):
    changed = preparation[0].copy()
    changed[0, 0] += 1
    with pytest.raises(TrackingError, match=f"learned from picture {memory.picture_hash}, the reference is"):
        tracker(changed).use_memory(memory)


def test_the_memory_of_another_contour_is_refused(memory, preparation):
    with pytest.raises(TrackingError, match=r"contour lies 1.00 px from the one .* 0.01 px is the limit"):
        tracker(preparation[0], TARGET + np.float32([0, 1])).use_memory(memory)


def test_the_memory_of_another_pixel_size_is_refused(memory, preparation):
    made = CheckedTracker(make_tracker("template", TrackerSettings()))
    made.set_reference(preparation[0], TARGET, (1.5, 1.6))
    with pytest.raises(TrackingError, match=r"learned at \(1.5, 1.5\) mm a pixel, the reference has \(1.5, 1.6\)"):
        made.use_memory(memory)


def test_the_memory_of_frames_of_another_shape_is_refused(memory, preparation):
    with pytest.raises(TrackingError, match=r"learned from frames of \(110, 100\) px, the reference is \(108, 100\)"):
        tracker(preparation[0][:108]).use_memory(memory)


def test_a_memory_waits_for_its_reference(memory):
    with pytest.raises(TrackingError, match="no reference has been set"):
        CheckedTracker(make_tracker("template", TrackerSettings())).use_memory(memory)


@pytest.mark.parametrize("name", ["rigid", "opencv"])
def test_a_tracker_without_the_method_cannot_use_a_memory(memory, preparation, name):
    made = tracker(preparation[0], name=name)
    assert not made.takes_memory
    with pytest.raises(TrackingError, match="cannot use a memory"):
        made.use_memory(memory)


def test_a_session_learns_nothing_beside_its_memory(memory, preparation):
    made, before = tracker(preparation[0]), memory.content_hash
    made.use_memory(memory)
    for pixels in cine(held(60), changes=0.9, seed=1):
        result = made.track(pixels, FRAME_S)
        assert made.finish_frame() == ""
        assert result.templates == 1 + len(memory.key_frames)
    assert memory.content_hash == before


def test_a_new_reference_forgets_the_memory(memory, preparation):
    made = tracker(preparation[0])
    made.use_memory(memory)
    made.set_reference(preparation[0], TARGET, SPACING)
    assert made.track(preparation[1], FRAME_S).templates == 1


def test_a_prepared_hold_is_found_where_it_is(memory, preparation):
    made = tracker(preparation[0])
    made.use_memory(memory)
    motion = held(60, depth_px=29.0)
    results = [made.track(pixels, FRAME_S) for pixels in cine(motion, changes=0.6)[1:]]
    away = [result.y_px - contour_centroid(TARGET)[1] - true for result, true in zip(results, motion[1:], strict=True)]
    assert np.abs(away).max() < 1.0


def test_evidence_tells_an_unprepared_excursion():
    memory = learned(cine(breathing(40), changes=0.3))
    assert memory.expected((0.0, 12.0))[1] == 0.0
    assert memory.expected((0.0, 45.0))[1] == pytest.approx(45 - 15, abs=2.0)


def test_a_preparation_without_a_hold_says_so():
    assert any("no breath-hold is in the preparation" in remark for remark in learned(cine(breathing(60))).remarks)


def test_a_preparation_with_a_hold_says_nothing_of_it(memory):
    assert not any("breath-hold" in remark for remark in memory.remarks)


def test_a_short_preparation_says_so():
    assert any("lasts 10 s; 30 s or more are advised" in remark for remark in learned(cine(breathing(40))).remarks)


def test_a_target_in_noise_is_said_to_be_untrackable_and_is_never_trusted():
    faint = np.stack([400 + 8 * texture(4) + 40 * texture(70 + n, scale=0.8) for n in range(30)]).astype(np.uint16)
    memory = learned(faint)
    assert any("cannot be tracked confidently" in remark for remark in memory.remarks)
    made = tracker(faint[0])
    made.use_memory(memory)
    assert all(made.track(pixels, FRAME_S).status is not TrackStatus.TRACKED for pixels in faint)


def test_too_few_frames_are_no_preparation():
    with pytest.raises(TrackingError, match="has 9 frames; 10 or more are needed"):
        learned(cine(breathing(9)))


def test_a_damaged_frame_is_no_key_frame(preparation):
    damaged = preparation.copy()
    damaged[30] = 0
    assert 30 not in [key.number for key in learned(damaged).key_frames]


def test_a_preparation_that_hardly_shows_the_target_says_so():
    frames = np.stack([cine(np.zeros(1), seed=20 + n)[0] for n in range(14)])
    frames[[0, 5, 6, 7]] = cine(np.array([0.0, 6.0, 12.0, 18.0]))
    assert any("surely" in remark for remark in learned(frames).remarks)


def test_key_frames_that_were_not_accepted_are_left_out(memory):
    dropped, *kept = [key.number for key in memory.key_frames]
    accepted = memory.without({dropped})
    assert [key.number for key in accepted.key_frames] == kept
    assert accepted.content_hash != memory.content_hash


@pytest.fixture(scope="module")
def unsure():
    """A preparation whose hold looks so different that the reference does not reach it."""
    return cine(held(60), changes=0.85)


def confident(memory, frames):
    made = tracker(frames[0])
    made.use_memory(memory)
    return [made.track(pixels, FRAME_S).status is TrackStatus.TRACKED for pixels in frames[1:]]


def test_a_key_frame_that_was_not_surely_reached_is_doubted(unsure):
    memory = learned(unsure)
    assert any("not surely carried to key frames" in remark for remark in memory.remarks)
    assert not any(confident(memory, unsure)[25:])


def test_a_key_frame_is_trusted_once_a_person_has_accepted_it(unsure):
    memory = learned(unsure)
    assert any(confident(memory.accepted({key.number for key in memory.key_frames}), unsure)[25:])


def test_a_corrected_contour_lies_on_the_new_outline(memory):
    key = memory.key_frames[-1]
    outline = key.contour_px + np.float32([2.0, 1.0])
    corrected = memory.corrected(key.number, outline).key_frames[-1]
    assert contour_centroid(corrected.contour_px) == pytest.approx(contour_centroid(outline), abs=0.3)
    assert len(corrected.contour_px) == len(key.contour_px)
    assert np.subtract(corrected.content_px, key.content_px) == pytest.approx((2.0, 1.0), abs=1e-3)
    assert memory.corrected(key.number, outline).content_hash != memory.content_hash


def test_a_key_frame_that_is_not_there_cannot_be_left_out(memory):
    with pytest.raises(TrackingError, match="key frame 999 is not in the memory; it has"):
        memory.without({999})
