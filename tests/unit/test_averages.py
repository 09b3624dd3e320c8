"""Mean pictures of a preparation: what they spare, and what they must not change."""

import numpy as np
import pytest
from msgspec.structs import replace

from gating.geometry.contours import contour_centroid
from gating.tracking.averages import Averages
from gating.tracking.bending import BendingModes
from gating.tracking.memory_learning import LEAST_FOR_MEANS, learn_memory
from gating.tracking.template_tracker import TemplateTracker
from gating.tracking.tracker import TrackerSettings
from tests.memory_bench import TARGET, breathing, cine, elapsed, held

SPACING = (1.5, 1.5)
MARGIN_PX = 4.0
NOISE = 0.5


@pytest.fixture(scope="module")
def motion():
    return held(40)


@pytest.fixture(scope="module")
def noisy(motion):
    return cine(motion, changes=0.3, noise=NOISE)


@pytest.fixture(scope="module")
def memory(noisy):
    return learn_memory(noisy, elapsed(len(noisy)), TARGET, SPACING)


def content(motion_px):
    x, y = contour_centroid(TARGET)
    return np.stack([np.full(len(motion_px), x), y + motion_px], axis=1)


def test_a_mean_is_nearer_to_the_anatomy_than_its_frame():
    motion = breathing(40, depth_px=2.0)
    frames, clean = cine(motion, noise=NOISE), cine(motion, noise=0.0)
    averages = Averages(frames, TARGET, MARGIN_PX, SPACING[0])
    mean = averages.mean(0, TARGET, content(motion), np.ones(len(motion), np.float32))
    target = np.s_[26:50, 38:60]
    errors = [np.std(picture[target].astype(float) - clean[0][target]) for picture in (frames[0], mean)]
    assert errors[1] < 0.4 * errors[0]


def test_a_frame_that_nothing_is_like_stays_as_it_is(noisy, motion):
    averages = Averages(noisy, TARGET, MARGIN_PX, SPACING[0])
    alone = averages.mean(0, TARGET, content(motion), np.full(len(noisy), -1.0, np.float32))
    np.testing.assert_array_equal(alone, noisy[0])
    assert alone.dtype == noisy.dtype


def test_a_mean_of_more_frames_computes_the_functions_no_more_often(noisy, motion, monkeypatch):
    at, calls = BendingModes.at, []
    monkeypatch.setattr(BendingModes, "at", lambda modes, places: calls.append(len(places)) or at(modes, places))

    def computed(frames):
        calls.clear()
        averages = Averages(noisy[:frames], TARGET, MARGIN_PX, SPACING[0])
        averages.mean(0, TARGET, content(motion[:frames]), np.ones(frames, np.float32))
        return len(calls)

    assert computed(30) == computed(10)


def test_a_memory_holds_the_reference_with_less_noise(memory, noisy):
    clean = cine(np.zeros(1), noise=0.0)[0]
    target = np.s_[26:50, 38:60]
    errors = [np.std(picture[target].astype(float) - clean[target]) for picture in (noisy[0], memory.mean_picture)]
    assert errors[1] < 0.7 * errors[0]


def test_less_noise_in_a_template_makes_no_frame_surer(memory, noisy):
    evidence = []
    for used in (memory, replace(memory, mean_picture=None, key_frames=())):
        tracker = TemplateTracker(TrackerSettings())
        tracker.warm_up()
        tracker.set_reference(noisy[0], TARGET, SPACING)
        tracker.use_memory(used)
        tracker.track(noisy[1], 0.25)
        evidence.append(tracker.evidence)
    mean, frame = evidence
    assert mean.cost > 0.75 * frame.cost
    assert mean.score_moved_back < frame.score_moved_back + 0.05


def test_a_target_that_noise_hides_gets_no_means():
    frames = cine(breathing(30), noise=0.8)
    hidden = learn_memory(frames, elapsed(30), TARGET, SPACING)
    assert hidden.rest_score < LEAST_FOR_MEANS
    assert hidden.mean_picture is None


def test_a_target_in_clear_pictures_gets_no_means():
    clear = learn_memory(cine(held(30), noise=0.1), elapsed(30), TARGET, SPACING)
    assert clear.rest_score > LEAST_FOR_MEANS
    assert clear.mean_picture is None
