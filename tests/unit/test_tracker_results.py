"""A tracker whose results are logged decides as it does in the engine."""

from __future__ import annotations

import numpy as np
import pytest

from gating.analysis.tracker_results import LoggingTracker, ResultLog
from gating.tracking.checked_tracker import CheckedTracker
from gating.tracking.template_tracker import TemplateTracker
from gating.tracking.tracker import TrackerSettings, TrackResult, TrackStatus


class Rigid:
    """A tracker that draws no conclusions from what moves."""

    def warm_up(self) -> None: ...

    def set_reference(self, pixels, contour_px, pixel_spacing_mm) -> None: ...

    def track(self, pixels, elapsed_s) -> TrackResult:
        return TrackResult(0.0, 0.0, 1.0, 1.0, TrackStatus.TRACKED, np.zeros((3, 2), np.float32), "", 1)


class Watching(Rigid):
    """One that does, and counts how often it was told to forget."""

    forgotten = 0

    def forget_motion(self) -> None:
        self.forgotten += 1


def test_a_logged_tracker_forgets_what_moved_before_a_still_image():
    inner = Watching()
    CheckedTracker(LoggingTracker(inner, ResultLog())).forget_motion()
    assert inner.forgotten == 1


@pytest.mark.parametrize("inner", [Rigid(), TemplateTracker(TrackerSettings())], ids=["rigid", "no reference yet"])
def test_a_logged_tracker_that_has_nothing_to_forget_does_nothing(inner):
    CheckedTracker(LoggingTracker(inner, ResultLog())).forget_motion()
