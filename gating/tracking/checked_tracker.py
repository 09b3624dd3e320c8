"""The one gate between a tracker, ours or a site's, and the decision: no result passes that has not been checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from gating.errors import CinegateError
from gating.tracking.frame_views import SharedViews, SharingTracker
from gating.tracking.memory import Memory, RememberingTracker
from gating.tracking.tracker import (
    IdleTracker,
    Tracker,
    TrackingError,
    TrackResult,
    TrackStatus,
    WatchingTracker,
)

MARGIN: Final = 0.5
"""Of the image's size: a target may leave the image, but a tracker cannot find it further away than this."""
LARGEST_SCORE: Final = 1.001
"""Correlations of single precision may exceed 1 by their rounding."""
_T = TypeVar("_T")


class TrackerFault(CinegateError):
    """A tracker failed, or gave a result that cannot be one; the message is one sentence."""


def checked_maker(make_tracker: Callable[[], Tracker]) -> Callable[[], CheckedTracker]:
    """Return what makes a checked tracker out of what `make_tracker` makes.

    It raises `TrackerFault` where `make_tracker` raises anything but `TrackingError`.
    """
    return lambda: CheckedTracker(_guarded("tracker", "cannot be made", make_tracker))


class CheckedTracker:
    """A tracker whose every result is checked, and whose every exception is a `TrackerFault`.

    Parameters
    ----------
    tracker
        The tracker; the methods of `IdleTracker` and `WatchingTracker` may be missing.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._idle = tracker if isinstance(tracker, IdleTracker) else None
        self._name = f"tracker {type(tracker).__name__}"

    def warm_up(self) -> None:
        """Warm up the tracker. Raises `TrackerFault`."""
        _guarded(self._name, "failed in warm_up", self._tracker.warm_up)

    def set_reference(
        self, pixels: NDArray[Any], contour_px: NDArray[np.floating[Any]], pixel_spacing_mm: tuple[float, float]
    ) -> None:
        """Let the tracker learn the target. Raises `TrackingError` if it cannot be tracked, and `TrackerFault`."""
        learn = self._tracker.set_reference
        _guarded(self._name, "failed in set_reference", lambda: learn(pixels, contour_px, pixel_spacing_mm))

    @property
    def takes_memory(self) -> bool:
        """Whether the tracker can use a memory of a preparation."""
        return isinstance(self._tracker, RememberingTracker)

    def use_memory(self, memory: Memory) -> None:
        """Let the tracker use a memory. Raises `TrackingError` if it cannot, or not this one, and `TrackerFault`."""
        if not isinstance(self._tracker, RememberingTracker):
            raise TrackingError(f"{self._name} cannot use a memory of a preparation")
        use = self._tracker.use_memory
        _guarded(self._name, "failed in use_memory", lambda: use(memory))

    @property
    def shares_views(self) -> bool:
        """Whether the tracker can share views with others, and be used beside them in another thread."""
        return isinstance(self._tracker, SharingTracker)

    def share(self, views: SharedViews) -> None:
        """Let a tracker that shares views use these. Raises `TrackerFault`."""
        assert isinstance(self._tracker, SharingTracker)
        share = self._tracker.share
        _guarded(self._name, "failed in share", lambda: share(views))

    def track(self, pixels: NDArray[Any], elapsed_s: float) -> TrackResult:
        """Return the tracker's result for the next frame, checked. Raises `TrackerFault`."""
        try:
            result = self._tracker.track(pixels, elapsed_s)
            wrong = _wrong(result, pixels.shape)
        except MemoryError:
            raise
        except (Exception, SystemExit) as error:
            raise _fault(self._name, "failed in track", error) from error
        if wrong is not None:
            raise TrackerFault(f"{self._name}: {wrong}")
        return result

    def finish_frame(self) -> str:
        """Let the tracker do its deferred work, and return its sentence. Raises `TrackerFault`."""
        if self._idle is None:
            return ""
        sentence: object = _guarded(self._name, "failed in finish_frame", self._idle.finish_frame)
        if not isinstance(sentence, str):
            raise TrackerFault(f"{self._name}: finish_frame gave a {type(sentence).__name__}; a sentence is needed")
        return sentence

    def forget_motion(self) -> None:
        """Let the tracker conclude nothing from the frames so far. Raises `TrackerFault`."""
        if isinstance(self._tracker, WatchingTracker):
            _guarded(self._name, "failed in forget_motion", self._tracker.forget_motion)

    def warm_caches(self) -> None:
        """Let the tracker warm its caches. Raises `TrackerFault`."""
        if self._idle is not None:
            _guarded(self._name, "failed in warm_caches", self._idle.warm_caches)


def _guarded(name: str, what: str, work: Callable[[], _T]) -> _T:
    """Do some of a tracker's work; any exception but those that are part of the contract is a `TrackerFault`."""
    try:
        return work()
    except (TrackingError, TrackerFault, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        raise _fault(name, what, error) from error


def _fault(name: str, what: str, error: BaseException) -> TrackerFault:
    return TrackerFault(f"{name} {what}: {type(error).__name__}: {error}"[:300])


def _wrong(result: Any, shape: tuple[int, ...]) -> str | None:
    """Return what is wrong with a result for an image of this shape, or None. Comparisons are such that NaN fails."""
    if not issubclass(type(result), TrackResult):
        return f"track gave a {type(result).__name__}; a TrackResult is needed"
    if not isinstance(result.status, TrackStatus):
        return f"status is {result.status!r}; a TrackStatus is needed"
    if not 0 <= result.confidence <= 1:
        return f"confidence is {result.confidence}; 0 to 1 is possible"
    if not -LARGEST_SCORE <= result.score <= LARGEST_SCORE:
        return f"score is {result.score}; -1 to 1 is possible"
    if not (isinstance(result.detail, str) and isinstance(result.templates, int)):
        return f"detail is {result.detail!r} and templates {result.templates!r}; a sentence and a number are needed"
    contour = result.contour_px
    if not (isinstance(contour, np.ndarray) and contour.ndim == 2 and contour.shape[1] == 2):
        return f"contour_px is a {type(contour).__name__} of shape {np.shape(contour)}; an array (n, 2) is needed"
    return None if result.status is TrackStatus.REFUSED else _misplaced(result, shape)


def _misplaced(result: TrackResult, shape: tuple[int, ...]) -> str | None:
    rows, columns = shape
    x_px, y_px = (result.x_px, result.y_px) if result.content_px is None else result.content_px
    for axis, position_px, length in (
        ("x_px", result.x_px, columns),
        ("y_px", result.y_px, rows),
        ("x of content_px", x_px, columns),
        ("y of content_px", y_px, rows),
    ):
        if not -MARGIN * length <= position_px <= (1 + MARGIN) * length:
            low, high = -MARGIN * length, (1 + MARGIN) * length
            return f"{axis} is {position_px}; {low:g} to {high:g} is possible in an image of {columns} x {rows} px"
    contour = result.contour_px
    if len(contour) < 3:
        return f"contour_px has {len(contour)} points; 3 or more are needed"
    reach_px = (1 + 2 * MARGIN) * (rows + columns)
    if not np.vdot(contour, contour) <= len(contour) * reach_px**2:
        return f"contour_px has a point further than {reach_px:g} px away, or one that is not finite"
    return None
