"""cinegate: real-time gating and tumour tracking for MR-linacs. Research software, not a medical device.

>>> import cinegate
>>> recording = cinegate.open_recording("case.npz")
>>> for frame in cinegate.gate(recording, target=(60, 64, 40, 34)):
...     print(frame.time_s, frame.state, frame.reason, frame.centre_mm)

Nothing is loaded until it is used: numba and OpenCV come with the first frame that is tracked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cinegate.evaluation import evaluate
    from cinegate.live import LiveSession, RequestRefused
    from cinegate.recordings import open_recording, recording_from_arrays, save_recording
    from cinegate.runs import run
    from cinegate.sessions import SessionLog, dataframe, read_session, report
    from cinegate.settings import load_config
    from cinegate.tables import Track
    from cinegate.tracking import GatedFrame, gate, track
    from drivers.errors import BadRecording, BeamFault, DriverError, SourceFault, Unavailable
    from drivers.ports import BeamSwitch, CineSource, EndOfStream, FrameStamp
    from drivers.recordings.recording import Recording
    from gating.decision.reasons import GateReason
    from gating.errors import CinegateError, TargetError
    from gating.evaluation.case import Evaluation
    from gating.geometry.contours import box_contour, contour_centroid, contour_from_mask, mask_from_contour
    from gating.messages import (
        BeamStatus,
        EngineState,
        Event,
        GateCommand,
        GateState,
        StampMeaning,
        StreamInfo,
        TargetEstimate,
        TargetReference,
    )
    from gating.service.pipeline import PipelineError
    from gating.session.log import SessionError
    from gating.settings.config import Config, ConfigError
    from gating.targets.spec import TargetSpec
    from gating.tracking.tracker import Tracker, TrackerSettings, TrackingError, TrackResult, TrackStatus

    __version__: str

__all__ = [
    "BadRecording",
    "BeamFault",
    "BeamStatus",
    "BeamSwitch",
    "CineSource",
    "CinegateError",
    "Config",
    "ConfigError",
    "DriverError",
    "EndOfStream",
    "EngineState",
    "Evaluation",
    "Event",
    "FrameStamp",
    "GateCommand",
    "GateReason",
    "GateState",
    "GatedFrame",
    "LiveSession",
    "PipelineError",
    "Recording",
    "RequestRefused",
    "SessionError",
    "SessionLog",
    "SourceFault",
    "StampMeaning",
    "StreamInfo",
    "TargetError",
    "TargetEstimate",
    "TargetReference",
    "TargetSpec",
    "Track",
    "TrackResult",
    "TrackStatus",
    "Tracker",
    "TrackerSettings",
    "TrackingError",
    "Unavailable",
    "__version__",
    "box_contour",
    "contour_centroid",
    "contour_from_mask",
    "dataframe",
    "evaluate",
    "gate",
    "load_config",
    "mask_from_contour",
    "open_recording",
    "read_session",
    "recording_from_arrays",
    "report",
    "run",
    "save_recording",
    "track",
]

_HOMES = {
    "cinegate.evaluation": ("evaluate",),
    "cinegate.live": ("LiveSession", "RequestRefused"),
    "cinegate.runs": ("run",),
    "cinegate.recordings": ("open_recording", "recording_from_arrays", "save_recording"),
    "cinegate.sessions": ("SessionLog", "dataframe", "read_session", "report"),
    "cinegate.settings": ("load_config",),
    "cinegate.tables": ("Track",),
    "cinegate.tracking": ("GatedFrame", "gate", "track"),
    "drivers.errors": ("BadRecording", "BeamFault", "DriverError", "SourceFault", "Unavailable"),
    "drivers.ports": ("BeamSwitch", "CineSource", "EndOfStream", "FrameStamp"),
    "drivers.recordings.recording": ("Recording",),
    "gating.decision.reasons": ("GateReason",),
    "gating.errors": ("CinegateError", "TargetError"),
    "gating.evaluation.case": ("Evaluation",),
    "gating.geometry.contours": ("box_contour", "contour_centroid", "contour_from_mask", "mask_from_contour"),
    "gating.messages": (
        "BeamStatus",
        "EngineState",
        "Event",
        "GateCommand",
        "GateState",
        "StampMeaning",
        "StreamInfo",
        "TargetEstimate",
        "TargetReference",
    ),
    "gating.service.pipeline": ("PipelineError",),
    "gating.session.log": ("SessionError",),
    "gating.settings.config": ("Config", "ConfigError"),
    "gating.targets.targets": ("TargetSpec",),
    "gating.tracking.tracker": ("TrackResult", "TrackStatus", "Tracker", "TrackerSettings", "TrackingError"),
}
"""Where each name lives; the imports above say the same to editors and type checkers."""


def __getattr__(name: str) -> object:
    """Import what is asked for, once."""
    from importlib import import_module

    home = next((module for module, names in _HOMES.items() if name in names), None)
    if name == "__version__":
        from importlib.metadata import version

        found: object = version("cinegate")
    elif home is not None:
        found = getattr(import_module(home), name)
    else:
        raise AttributeError(f"module 'cinegate' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the public names, loaded or not."""
    return sorted({*globals(), *__all__})
