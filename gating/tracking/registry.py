"""Trackers by name: the built-in ones, and those that a site adds under the entry-point group `cinegate.trackers`."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points

from gating.tracking.tracker import Tracker, TrackerSettings, TrackingError

BUILT_IN = {
    "template": "gating.tracking.template_tracker:TemplateTracker",
    "rigid": "gating.tracking.rigid_tracker:RigidTracker",
    "opencv": "gating.tracking.opencv_tracker:OpenCvTracker",
}
ENTRY_POINT_GROUP = "cinegate.trackers"


def tracker_names() -> list[str]:
    """Return every name that `make_tracker` accepts."""
    return sorted({*BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def make_tracker(name: str, settings: TrackerSettings) -> Tracker:
    """Make a tracker; a site cannot replace a built-in name.

    Raises
    ------
    TrackingError
        If no tracker has this name.
    """
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        tracker: Tracker = getattr(import_module(module), attribute)(settings)
        return tracker
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        site_tracker: Tracker = point.load()(settings)
        return site_tracker
    raise TrackingError(f"tracker: {name!r} is unknown; known are {', '.join(tracker_names())}")
