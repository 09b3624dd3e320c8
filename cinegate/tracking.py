"""The engine over a recording, without sockets: deterministic, and the decisions that a live session would take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cinegate.recordings import Frames, Spacing, as_recording, recording_images, recording_stream
from cinegate.settings import Settings, load_config, tracker_maker
from cinegate.tables import Track, track_table
from cinegate.targets import Target, make_targets
from drivers.recordings import Recording
from gating.engine.offline import decide_offline, offline_frames
from gating.errors import TargetError
from gating.messages import Event, GateCommand, GateState, TargetEstimate
from gating.settings.config import Config
from gating.targets.spec import TargetSpec
from gating.tracking.registry import TrackerFactory
from gating.tracking.tracker import TrackingError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GatedFrame:
    """One frame and what the engine decided on it.

    `confidence`, `status`, `centre_px` and the like are those of the first target, and None where the engine did not
    show the frame to its tracker; `estimates` has every target.
    """

    index: int
    """Number of the frame in the recording, from 0."""
    time_s: float
    """Its acquisition stamp, s."""
    command: GateCommand
    """What the engine would have sent, with every stamp."""
    estimates: tuple[TargetEstimate, ...]
    events: tuple[Event, ...]
    """What the engine has to say: faults, learned templates, arming."""

    @property
    def state(self) -> GateState:
        """`GateState.ON` or `GateState.HOLD`."""
        return self.command.state

    @property
    def reason(self) -> str:
        """Why the beam is permitted or held, as a `GateReason`."""
        return self.command.reason

    @property
    def detail(self) -> str:
        """One sentence on the reason; may be empty."""
        return self.command.detail

    @property
    def centre_px(self) -> tuple[float, float] | None:
        """Centre of the target, (x, y) px; NaN in a frame that was refused."""
        return None if not self.estimates else (self.estimates[0].x_px, self.estimates[0].y_px)

    @property
    def centre_mm(self) -> tuple[float, float, float] | None:
        """Centre of the target in the patient, LPS mm; NaN in a frame that was refused."""
        return None if not self.estimates else self.estimates[0].position_mm

    @property
    def contour_px(self) -> NDArray[np.float64] | None:
        """Outline of the target, (n, 2) of (x, y) px; empty in a frame that was refused."""
        return None if not self.estimates else np.array(self.estimates[0].contour_px, float).reshape(-1, 2)

    @property
    def confidence(self) -> float | None:
        """Probability that the centre is within 2 mm of the truth, 0 to 1."""
        return None if not self.estimates else self.estimates[0].confidence

    @property
    def status(self) -> str | None:
        """tracked, low_confidence, lost or refused, see `TrackStatus`."""
        return None if not self.estimates else self.estimates[0].status

    @property
    def out_fraction(self) -> float | None:
        """Part of the target's area outside its gating boundary, 0 to 1."""
        return None if not self.estimates else self.estimates[0].target_out_fraction


def gate(
    frames: Frames,
    target: Target | None = None,
    *,
    times_s: ArrayLike | None = None,
    spacing_mm: Spacing | None = None,
    plane: str = "",
    config: Settings | None = None,
    tracker: str | TrackerFactory | None = None,
) -> Iterator[GatedFrame]:
    """Decide on every frame of a recording, as a live engine would; the beam is on only where `state` is on.

    Strictly causal: no decision sees a later frame. The engine learns the target on the first frame and arms itself
    after a few good ones. A target that cannot be learned holds every frame, with that reason.

    Parameters
    ----------
    frames
        A `Recording`, the path of one, or an array of (frames, rows, columns).
    target
        In the first frame: a box (x, y, width, height), px; a contour, (n, 2) of (x, y), px; a mask, (rows, columns);
        a mask file; or one or more `TargetSpec`. None: the one that the recording holds.
    times_s, spacing_mm, plane
        For arrays: (frames,) acquisition times, s; (row, column) spacing, mm, or one number; sagittal (the default),
        coronal or transversal. For a path, as `open_recording` takes them.
    config
        A `Config`, the path of a TOML file or the name of a preset.
    tracker
        Name of a tracker, or a class of your own, see `Tracker`.

    Yields
    ------
    GatedFrame
        In the order of the frames, each as soon as it is decided.

    Raises
    ------
    CinegateError
        If recording, target or settings cannot be used: `BadRecording`, `TargetError`, `ConfigError`, `TrackingError`.

    Examples
    --------
    >>> for frame in cinegate.gate("case.npz", target=(60, 64, 40, 34)):
    ...     print(frame.time_s, frame.state, frame.reason, frame.centre_mm)
    """
    recording = as_recording(frames, times_s, spacing_mm, plane)
    return gated_frames(recording, make_targets(target, recording), load_config(config), tracker)


def gated_frames(
    recording: Recording, targets: Sequence[TargetSpec], config: Config, tracker: str | TrackerFactory | None = None
) -> Iterator[GatedFrame]:
    """Run a recording through the engine."""
    stream = recording_stream(recording)
    frames = offline_frames(stream, recording_images(recording))
    for frame, outcome in decide_offline(config, targets, stream, frames, tracker_maker(config, tracker)):
        messages = outcome.messages
        yield GatedFrame(
            index=frame.header.sequence,
            time_s=frame.header.acquired_ns / 1e9,
            command=outcome.command,
            estimates=tuple(message for message in messages if isinstance(message, TargetEstimate)),
            events=tuple(message for message in messages if isinstance(message, Event)),
        )


def track(
    frames: Frames,
    target: Target | None = None,
    *,
    times_s: ArrayLike | None = None,
    spacing_mm: Spacing | None = None,
    plane: str = "",
    config: Settings | None = None,
    tracker: str | TrackerFactory | None = None,
) -> Track:
    """Track one target through a recording and return a table, one row a frame: what `cinegate track` writes.

    Parameters
    ----------
    frames, target, times_s, spacing_mm, plane, config, tracker
        As for `gate`; exactly one target.

    Returns
    -------
    Track
        `table` is a numpy structured array; `to_dataframe()`, `write_csv(path)` and `masks()` show it otherwise.

    Raises
    ------
    CinegateError
        As `gate` does, and `TrackingError` if the target cannot be learned or no frame can be tracked.

    Examples
    --------
    >>> result = cinegate.track("case.npz", target=(60, 64, 40, 34))
    >>> result.table["si_mm"].max() - result.table["si_mm"].min()
    14.2
    >>> result.duty_cycle
    0.38
    """
    recording = as_recording(frames, times_s, spacing_mm, plane)
    result = track_recording(recording, make_targets(target, recording), load_config(config), tracker)
    if result.problem:
        raise TrackingError(result.problem)
    return result


def track_recording(
    recording: Recording,
    targets: Sequence[TargetSpec],
    config: Config,
    tracker: str | TrackerFactory | None = None,
    *,
    decided: Callable[[], None] = lambda: None,
) -> Track:
    """Track one target; `problem` of the result says why where nothing was tracked.

    `decided` is called after every frame.
    """
    if len(targets) != 1:
        raise TargetError(f"targets: {len(targets)} given; a table has one, and `gate` yields several")
    rows, contours, details, events = [], [], [], []
    for frame in gated_frames(recording, targets, config, tracker):
        estimate = frame.estimates[0] if frame.estimates else None
        rows.append((frame.index, frame.command, estimate))
        contours.append(np.empty((0, 2)) if frame.contour_px is None else frame.contour_px)
        details.append("" if estimate is None else estimate.detail)
        events += [(frame.index, event) for event in frame.events]
        decided()
    return Track(recording, track_table(recording, rows), tuple(contours), tuple(details), tuple(events))
