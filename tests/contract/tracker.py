"""What every tracker must do: its own test class inherits `TrackerContract` and supplies the tracker."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gating.geometry.contours import box_contour
from gating.tracking.checked_tracker import CheckedTracker
from gating.tracking.tracker import Tracker, TrackingError, TrackResult, TrackStatus
from tests.factories import anatomy

SPACING_MM = (2.0, 2.0)
TARGET = box_contour(38, 38, 20, 20)
SHIFTS_PX = (0.0, 1.0, 3.0, 6.0, 4.0, 1.0, 0.0)
WITHIN_PX = 1.5
"""So near must the centre be: 3 mm here."""
ELAPSED_S = 0.125
SLOWEST_MS = 250.0
"""Of the processor, which others may keep busy; what the engine allows is in gating/latency/budgets.toml."""


def frames(dtype: str = "uint16") -> list[np.ndarray]:
    return [anatomy(dtype=dtype, shift=shift, seed=seed) for seed, shift in enumerate(SHIFTS_PX)]


def signature(result: TrackResult) -> tuple[Any, ...]:
    return result.x_px, result.y_px, result.confidence, result.status, result.contour_px.tobytes()


def unusable(frame: np.ndarray) -> dict[str, np.ndarray]:
    """Frames in which nothing can be found."""
    broken = frame.astype(np.float32)
    broken[50, 50] = np.nan
    endless = frame.astype(np.float32)
    endless[10, 10] = np.inf
    return {
        "another shape": frame[:-8],
        "flat": np.full_like(frame, 7),
        "black": np.zeros_like(frame),
        "saturated": np.full_like(frame, np.iinfo(frame.dtype).max),
        "one NaN": broken,
        "one infinity": endless,
        "empty": frame[:0],
    }


class TrackerContract:
    @pytest.fixture
    def make(self) -> Callable[[], Tracker]:
        raise NotImplementedError

    @pytest.fixture
    def tracker(self, make: Callable[[], Tracker]) -> CheckedTracker:
        """The tracker as the engine holds it: each result is checked, and an exception is a fault."""
        made = CheckedTracker(make())
        made.warm_up()
        made.set_reference(frames()[0], TARGET, SPACING_MM)
        return made

    def test_fulfils_the_protocol(self, make: Callable[[], Tracker]) -> None:
        assert isinstance(make(), Tracker)

    def test_a_frame_before_the_reference_is_refused(self, make: Callable[[], Tracker]) -> None:
        made = CheckedTracker(make())
        made.warm_up()
        assert made.track(frames()[0], ELAPSED_S).status is TrackStatus.REFUSED

    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
    def test_follows_a_target_in_every_type_of_pixel(self, make: Callable[[], Tracker], dtype: str) -> None:
        made = CheckedTracker(make())
        made.warm_up()
        first, *others = frames(dtype)
        made.set_reference(first, TARGET, SPACING_MM)
        for frame, shift in zip([first, *others], SHIFTS_PX, strict=True):
            frame.flags.writeable = False  # as the wire hands them over
            result = made.track(frame, ELAPSED_S)
            assert math.dist((result.x_px, result.y_px), (47.5, 47.5 + shift)) < WITHIN_PX

    @pytest.mark.parametrize("kind", unusable(frames()[0]))
    def test_a_frame_without_the_target_is_never_tracked(self, tracker: CheckedTracker, kind: str) -> None:
        result = tracker.track(unusable(frames()[0])[kind], ELAPSED_S)
        assert result.status is not TrackStatus.TRACKED
        assert result.detail

    def test_noise_is_never_tracked(self, tracker: CheckedTracker) -> None:
        noise = np.random.default_rng(5).integers(0, 1000, (96, 96)).astype(np.uint16)
        assert tracker.track(noise, ELAPSED_S).status is not TrackStatus.TRACKED

    def test_a_bad_frame_leaves_the_next_one_tracked(self, tracker: CheckedTracker) -> None:
        for bad in unusable(frames()[0]).values():
            tracker.track(bad, ELAPSED_S)
        assert tracker.track(frames()[0], ELAPSED_S).status is TrackStatus.TRACKED

    @pytest.mark.parametrize("elapsed_s", [0.0, -1.0, math.nan, math.inf, 1e9])
    def test_a_time_without_sense_is_no_fault(self, tracker: CheckedTracker, elapsed_s: float) -> None:
        assert tracker.track(frames()[0], elapsed_s).status is TrackStatus.TRACKED

    @pytest.mark.parametrize(
        ("pixels", "contour"),
        [
            pytest.param(np.full((96, 96), 5, np.uint16), TARGET, id="flat frame"),
            pytest.param(np.full((96, 96), np.nan, np.float32), TARGET, id="NaN frame"),
            pytest.param(anatomy(), TARGET + 500, id="target outside"),
            pytest.param(anatomy(), TARGET[:2], id="two points"),
            pytest.param(anatomy(), TARGET * np.nan, id="NaN contour"),
        ],
    )
    def test_a_target_that_cannot_be_tracked_is_refused(
        self, make: Callable[[], Tracker], pixels: np.ndarray, contour: np.ndarray
    ) -> None:
        made = CheckedTracker(make())
        made.warm_up()
        with pytest.raises(TrackingError, match=r"\w+ \w+"):
            made.set_reference(pixels, contour, SPACING_MM)

    def test_the_same_frames_give_the_same_results(self, make: Callable[[], Tracker]) -> None:
        runs = []
        for made in (make(), make()):
            made.warm_up()
            made.set_reference(frames()[0], TARGET, SPACING_MM)
            runs.append([signature(made.track(frame, ELAPSED_S)) for frame in frames()])
        assert runs[0] == runs[1]

    def test_a_new_reference_forgets_the_old_one(self, tracker: CheckedTracker) -> None:
        tracker.track(frames()[3], ELAPSED_S)
        moved = TARGET + np.float32([0, SHIFTS_PX[3]])
        tracker.set_reference(frames()[3], moved, SPACING_MM)
        result = tracker.track(frames()[3], ELAPSED_S)
        assert math.dist((result.x_px, result.y_px), (47.5, 47.5 + SHIFTS_PX[3])) < WITHIN_PX

    def test_leaves_the_frame_and_earlier_results_as_they_are(self, tracker: CheckedTracker) -> None:
        first, second = frames()[:2]
        before = first.tobytes()
        result = tracker.track(first, ELAPSED_S)
        said = signature(result)
        tracker.track(second, ELAPSED_S)
        assert (first.tobytes(), signature(result)) == (before, said)

    def test_what_it_does_between_frames_changes_no_result(self, make: Callable[[], Tracker]) -> None:
        runs = []
        for rehearsed in (True, False):
            made = CheckedTracker(make())
            made.warm_up()
            made.set_reference(frames()[0], TARGET, SPACING_MM)
            results = []
            for frame in frames():
                results.append(signature(made.track(frame, ELAPSED_S)))
                made.finish_frame()
                if rehearsed:
                    made.warm_caches()
            runs.append(results)
        assert runs[0] == runs[1]

    def test_confidence_falls_with_the_picture(self, tracker: CheckedTracker) -> None:
        clear, noise = frames()[0], np.random.default_rng(3).normal(0, 1, (96, 96))
        noisy = [np.clip(clear + sd * noise, 0, 65535).astype(np.uint16) for sd in (5, 800)]
        seen = [tracker.track(frame, ELAPSED_S).confidence for frame in noisy]
        assert seen[0] > seen[1]

    def test_no_frame_waits_for_what_warm_up_should_have_done(self, tracker: CheckedTracker) -> None:
        begun = [time.process_time()]
        for frame in frames():
            tracker.track(frame, ELAPSED_S)
            begun.append(time.process_time())
        slowest_s = max(after - before for before, after in itertools.pairwise(begun))
        assert slowest_s * 1e3 < SLOWEST_MS
