"""Trackers by name: the built-in ones, and those that a site adds under the entry-point group `cinegate.trackers`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points

from gating.tracking.tracker import Tracker, TrackerSettings, TrackingError

BUILT_IN = {
    "template": "gating.tracking.template_tracker:TemplateTracker",
    "rigid": "gating.tracking.rigid_tracker:RigidTracker",
    "opencv": "gating.tracking.opencv_tracker:OpenCvTracker",
}
ENTRY_POINT_GROUP = "cinegate.trackers"
TrackerFactory = Callable[[TrackerSettings], Tracker]
"""A class of trackers, or whatever else makes one from the settings."""


def tracker_names() -> list[str]:
    """Return every name that `make_tracker` accepts."""
    return sorted({*BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def make_tracker(name: str | TrackerFactory, settings: TrackerSettings) -> Tracker:
    """Make a tracker by its name or from its class; a site cannot replace a built-in name.

    Raises
    ------
    TrackingError
        If no tracker has this name, it cannot be loaded, or it is no tracker.
    """
    if not isinstance(name, str):
        return _checked(name(settings), getattr(name, "__name__", "tracker"))
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        tracker: Tracker = getattr(import_module(module), attribute)(settings)
        return tracker
    points = list(entry_points(group=ENTRY_POINT_GROUP, name=name))
    if not points:
        raise TrackingError(f"tracker: {name!r} is unknown; known are {', '.join(tracker_names())}")
    if len(points) > 1:
        offers = " and ".join(point.value for point in points)
        raise TrackingError(f"tracker: {name!r} is offered by {offers}; one must go or be renamed")
    try:
        factory: TrackerFactory = points[0].load()
    except (ImportError, AttributeError) as error:
        raise TrackingError(f"tracker: {name!r} ({points[0].value}) cannot be loaded: {error}") from None
    return _checked(factory(settings), name)


def _checked(tracker: object, name: str) -> Tracker:
    """Return a site's tracker if it has the methods of one. Raises `TrackingError`."""
    if not isinstance(tracker, Tracker):
        kind = type(tracker).__name__
        raise TrackingError(f"tracker: {name!r} makes a {kind}; its warm_up, set_reference and track are needed")
    return tracker
