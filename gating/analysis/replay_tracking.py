"""Track the targets of a session once, and decide it with many gating settings.

The results of a tracker do not depend on the gating settings. So the trackers run once, and the engine decides from
their recorded results: frame for frame as if the trackers had run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as dataclass_replace
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from gating.analysis.motion import GatedMotion, beam_intervals, motion_from_estimates, span_of
from gating.analysis.tracker_results import LoggingTracker, ResultLog, contour_key
from gating.engine.offline import decide_offline, offline_frames
from gating.engine.outcome import StepOutcome
from gating.messages import (
    CineFrame,
    Pacing,
    SourceKind,
    StampMeaning,
    StreamInfo,
    TargetEstimate,
    TargetReference,
)
from gating.settings.config import Config
from gating.targets.spec import TargetSpec
from gating.tracking.registry import make_tracker
from gating.tracking.tracker import TrackResult, TrackStatus


@dataclass(frozen=True, slots=True, eq=False)
class TrackedSession:
    """A session with the recorded results of its trackers.

    Attributes
    ----------
    stream, specs
        As for `gating.engine.offline.decide_offline`.
    frames
        Headers of the frames. The single pixel of each is its number.
    results
        Target contour (its bytes) to one result per frame; None if the engine did not pass the frame to the tracker.
    references
        Target contour to the result in the image in which it was drawn, where that is none of the frames.
    """

    stream: StreamInfo
    specs: tuple[TargetSpec, ...]
    frames: tuple[CineFrame, ...]
    results: dict[bytes, list[TrackResult | None]]
    references: dict[bytes, TrackResult] = field(default_factory=dict)


class ReplayingTracker:
    """A tracker that returns logged results. It reads the number of the frame from the pixels.

    Parameters
    ----------
    session
        The session whose results it returns.
    """

    def __init__(self, session: TrackedSession) -> None:
        self._session = session
        self._results: list[TrackResult | None] = []
        self._reference: TrackResult | None = None

    def warm_up(self) -> None:
        """Do nothing."""

    def set_reference(
        self, pixels: NDArray[Any], contour_px: NDArray[np.floating[Any]], pixel_spacing_mm: tuple[float, float]
    ) -> None:
        """Take the logged results of the contour."""
        self._results = self._session.results[contour_key(contour_px)]
        self._reference = self._session.references.get(contour_key(contour_px))

    def track(self, pixels: NDArray[Any], elapsed_s: float) -> TrackResult:
        """Return the logged result of the frame; of the image in which the target was drawn, which comes first."""
        if self._reference is not None:
            reference, self._reference = self._reference, None
            return reference
        result = self._results[int(pixels[0, 0])]
        assert result is not None, "a frame that had not been passed to the tracker is passed to it"
        return result


def track_session(
    config: Config, specs: Sequence[TargetSpec], stream: StreamInfo, frames: Iterable[CineFrame]
) -> TrackedSession:
    """Run the trackers over a session once.

    Raises
    ------
    ValueError
        If the targets cannot be used.
    """
    log = ResultLog()
    outcomes = decide_offline(
        config,
        specs,
        stream,
        log.number_frames(frames),
        lambda: LoggingTracker(make_tracker(config.tracker, config.tracking), log),
    )
    for _ in outcomes:
        pass
    return TrackedSession(stream, tuple(specs), tuple(log.frames), log.results, log.references)


def track_motion(
    t_s: NDArray[np.float64], displacement_mm: NDArray[np.float64], *, radius_mm: float = 15.0, name: str = "motion"
) -> TrackedSession:
    """Return a session from recorded motion: a round target in a sagittal plane, which shows SI and AP but not LR.

    Parameters
    ----------
    t_s
        (n,) from 0, strictly increasing.
    displacement_mm
        (n, 3) LPS; the target is drawn at the first.
    radius_mm
        Radius of the target.
    name
        Name of the source.
    """
    side = 512
    position = np.array(displacement_mm, float) - np.array(displacement_mm[0], float)
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    outline = radius_mm * np.stack([np.cos(angle), np.sin(angle)], axis=1) + side / 2
    spec = TargetSpec("target", outline.astype(np.float32))
    stream = StreamInfo(
        session_id="offline",
        source=name[:64],
        source_kind=SourceKind.REPLAY,
        pacing=Pacing.UNPACED,
        speed=0.0,
        dtype="float32",
        shape=(side, side),
        pixel_spacing_mm=(1.0, 1.0),
        image_orientation=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
        image_position_mm=(0.0, -side / 2, side / 2),
        nominal_interval_ns=round(1e9 * float(np.median(np.diff(t_s)))),
        acquired_clock="recording",
        acquired_meaning=StampMeaning.START,
    )
    number = np.arange(len(t_s), dtype=np.float32)
    images = ((round(1e9 * t), np.array([[n]], np.float32)) for t, n in zip(t_s.tolist(), number, strict=True))
    frames = [
        CineFrame(replace(f.header, shape=stream.shape), np.broadcast_to(n, stream.shape))
        for f, n in zip(offline_frames(replace(stream, shape=(8, 8)), images), number, strict=True)
    ]
    results: list[TrackResult | None] = [
        TrackResult(side / 2 + ap, side / 2 - si, 1.0, 1.0, TrackStatus.TRACKED, _moved(outline, ap, -si), "", 1)
        for _, ap, si in position.tolist()
    ]
    return TrackedSession(stream, (spec,), tuple(frames), {contour_key(spec.contour_px): results})


def replay_outcomes(tracked: TrackedSession, config: Config) -> Iterator[StepOutcome]:
    """Decide a session with other settings. Yield the outcome of each frame."""
    outcomes = decide_offline(config, tracked.specs, tracked.stream, tracked.frames, lambda: ReplayingTracker(tracked))
    return (outcome for _, outcome in outcomes)


def gated_motion(
    tracked: TrackedSession, config: Config, *, latency_ms: float = 0.0, on_latency_ms: float | None = None
) -> GatedMotion:
    """Decide a session with other settings, and simulate a beam that follows the decisions after a latency.

    Parameters
    ----------
    tracked
        The session.
    config
        Settings to decide with.
    latency_ms
        Latency from acquisition to beam off.
    on_latency_ms
        Latency from acquisition to beam on; `latency_ms` if not given.

    Returns
    -------
    GatedMotion
        Table of the first target; of its structure in 3D, a row for each frame of any plane, if rules judge that.

    Raises
    ------
    ValueError
        If fewer than two frames show the target.
    """
    first = tracked.specs[0]
    names = views_of(tracked) if config.gating.three_d.on else {first.name}
    estimates, reference = _estimates(tracked, config, names)
    if reference is None or len(estimates) < 2:
        raise ValueError("fewer than two frames show the target")
    t_s = np.array([e.acquired_ns for e in estimates], float) / 1e9
    t_s -= t_s[0]
    on = np.array([e.gate == "on" for e in estimates])
    later_ms = latency_ms if on_latency_ms is None else on_latency_ms
    beam_s = beam_intervals(t_s, on, later_ms / 1e3, latency_ms / 1e3)
    return motion_from_estimates(
        estimates,
        t_s,
        reference.centre_mm,
        config.gating,
        beam_s,
        "simulated",
        span_s=span_of(t_s),
        plane=tracked.stream,
        contour_px=reference.contour_px,
    )


def gated_alike(motion: GatedMotion, tracked: TrackedSession, config: Config, *, latency_ms: float) -> GatedMotion:
    """Return a table in 3D as other settings would have gated the same frames, for example those without 3D."""
    estimates, _ = _estimates(tracked, config, views_of(tracked))
    on = np.array([one.gate == "on" for one in estimates])
    beam_s = beam_intervals(motion.t_s, on, latency_ms / 1e3, latency_ms / 1e3)
    return dataclass_replace(motion, gate_on=on, reasons=tuple(one.reason for one in estimates), beam_s=beam_s)


def views_of(tracked: TrackedSession) -> set[str]:
    """Return the names of the targets that are views of the first one's structure."""
    first = tracked.specs[0]
    return {spec.name for spec in tracked.specs if spec.moves_as == first.moves_as}


def _estimates(
    tracked: TrackedSession, config: Config, names: set[str]
) -> tuple[list[TargetEstimate], TargetReference | None]:
    """Decide a session with other settings; return the estimates of targets, and the first target's reference."""
    estimates: list[TargetEstimate] = []
    reference: TargetReference | None = None
    for outcome in replay_outcomes(tracked, config):
        for message in outcome.messages:
            if isinstance(message, TargetReference) and message.target == tracked.specs[0].name:
                reference = message
            elif isinstance(message, TargetEstimate) and message.target in names:
                estimates.append(message)
    return estimates, reference


def _moved(outline_px: NDArray[np.float64], x_px: float, y_px: float) -> NDArray[np.float32]:
    moved: NDArray[np.float32] = (outline_px + np.array([x_px, y_px])).astype(np.float32)
    return moved
