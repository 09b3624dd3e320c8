"""Follow the targets once, decide as often as wanted: other gating settings over the same session, by the same engine.

What a tracker finds does not depend on the gating settings. So the trackers run once, and every other setting is the
real engine over the remembered results: identical, frame for frame, to running it anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from gating.analysis.motion import GatedMotion, beam_intervals, motion_from_estimates
from gating.engine.offline import decide_offline, offline_frames
from gating.engine.outcome import StepOutcome
from gating.messages import (
    CineFrame,
    GateCommand,
    Pacing,
    SourceKind,
    StampMeaning,
    StreamInfo,
    TargetEstimate,
    TargetReference,
)
from gating.settings.config import Config
from gating.targets.targets import TargetSpec
from gating.tracking.registry import make_tracker
from gating.tracking.tracker import Tracker, TrackResult, TrackStatus


@dataclass(frozen=True, slots=True, eq=False)
class TrackedSession:
    """A session as the trackers saw it.

    Attributes
    ----------
    stream, specs : as for `gating.engine.offline.decide_offline`.
    frames : headers of the session; the one pixel of each is its number.
    results : by target contour (its bytes), one result a frame; None where the engine kept the frame from the tracker.
    """

    stream: StreamInfo
    specs: tuple[TargetSpec, ...]
    frames: tuple[CineFrame, ...]
    results: dict[bytes, list[TrackResult | None]]


class ResultLog:
    """Passes frames on and numbers them, for the trackers that write into it."""

    def __init__(self) -> None:
        self.number = -1
        self.frames: list[CineFrame] = []
        self.results: dict[bytes, list[TrackResult | None]] = {}

    def number_frames(self, frames: Iterable[CineFrame]) -> Iterator[CineFrame]:
        """Yield the frames, and keep each with its number for pixels."""
        for frame in frames:
            self.number += 1
            self.frames.append(CineFrame(frame.header, np.array([[self.number]], np.float32)))
            yield frame


class _Writing:
    """A tracker whose results are written down."""

    def __init__(self, inner: Tracker, book: ResultLog) -> None:
        self._inner, self._book = inner, book
        self._pages: list[TrackResult | None] = []

    def warm_up(self) -> None:
        self._inner.warm_up()

    def set_reference(
        self, pixels: NDArray[Any], contour_px: NDArray[np.floating[Any]], pixel_spacing_mm: tuple[float, float]
    ) -> None:
        self._inner.set_reference(pixels, contour_px, pixel_spacing_mm)
        self._pages = self._book.results.setdefault(_key(contour_px), [])

    def track(self, pixels: NDArray[Any], elapsed_s: float) -> TrackResult:
        result = self._inner.track(pixels, elapsed_s)
        self._pages += [None] * (self._book.number - len(self._pages))
        self._pages.append(result)
        return result


class _Reading:
    """A tracker that gives what was found before: the pixels say the number of the frame."""

    def __init__(self, results: dict[bytes, list[TrackResult | None]]) -> None:
        self._results = results
        self._pages: list[TrackResult | None] = []

    def warm_up(self) -> None:
        """Nothing to do."""

    def set_reference(
        self, pixels: NDArray[Any], contour_px: NDArray[np.floating[Any]], pixel_spacing_mm: tuple[float, float]
    ) -> None:
        self._pages = self._results[_key(contour_px)]

    def track(self, pixels: NDArray[Any], elapsed_s: float) -> TrackResult:
        result = self._pages[int(pixels[0, 0])]
        assert result is not None, "a frame that was kept from the trackers is shown to one"
        return result


def track_session(
    config: Config, specs: Sequence[TargetSpec], stream: StreamInfo, frames: Iterable[CineFrame]
) -> TrackedSession:
    """Run the trackers over a session once.

    Raises
    ------
    ValueError
        If the targets cannot be used at all.
    """
    book = ResultLog()
    passed = decide_offline(
        config,
        specs,
        stream,
        book.number_frames(frames),
        lambda: _Writing(make_tracker(config.tracker, config.tracking), book),
    )
    for _ in passed:
        pass
    return TrackedSession(stream, tuple(specs), tuple(book.frames), book.results)


def track_motion(
    t_s: NDArray[np.float64], displacement_mm: NDArray[np.float64], *, radius_mm: float = 15.0, name: str = "motion"
) -> TrackedSession:
    """Take recorded motion for what a tracker found: a round target in a sagittal plane (SI and AP show, LR does not).

    Parameters
    ----------
    t_s : (n,) from 0, strictly increasing.
    displacement_mm : (n, 3) LPS; the target of the first sample is where it is drawn.
    radius_mm : of the target.
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
        CineFrame(replace(f.header, shape=stream.shape), f.pixels)
        for f in offline_frames(replace(stream, shape=(8, 8)), images)
    ]
    results: list[TrackResult | None] = [
        TrackResult(side / 2 + ap, side / 2 - si, 1.0, 1.0, TrackStatus.TRACKED, _moved(outline, ap, -si), "", 1)
        for _, ap, si in position.tolist()
    ]
    return TrackedSession(stream, (spec,), tuple(frames), {_key(spec.contour_px): results})


def replay_outcomes(followed: TrackedSession, config: Config) -> Iterator[StepOutcome]:
    """Run the engine over what was found, with other settings; yield what each frame leads to."""
    outcomes = decide_offline(
        config, followed.specs, followed.stream, followed.frames, lambda: _Reading(followed.results)
    )
    return (outcome for _, outcome in outcomes)


def decide_again(followed: TrackedSession, config: Config) -> Iterator[tuple[GateCommand, list[TargetEstimate]]]:
    """Run the engine over what was found, with other settings; yield its command and estimates, frame by frame."""
    for outcome in replay_outcomes(followed, config):
        yield outcome.command, [m for m in outcome.messages if isinstance(m, TargetEstimate)]


def gated_motion(
    followed: TrackedSession, config: Config, *, latency_ms: float = 0.0, on_latency_ms: float | None = None
) -> GatedMotion:
    """Decide again, and let the beam follow every decision `latency_ms` after the frame's acquisition.

    Parameters
    ----------
    latency_ms : from acquisition to beam off.
    on_latency_ms : from acquisition to beam on; the same if not given.

    The table is that of the first target.
    """
    name = followed.specs[0].name
    estimates: list[TargetEstimate] = []
    reference: TargetReference | None = None
    for outcome in replay_outcomes(followed, config):
        for message in outcome.messages:
            if isinstance(message, TargetReference) and message.target == name:
                reference = message
            elif isinstance(message, TargetEstimate) and message.target == name:
                estimates.append(message)
    if reference is None or len(estimates) < 2:
        raise ValueError("fewer than two frames show the target")
    t_s = np.array([e.acquired_ns for e in estimates], float) / 1e9
    t_s -= t_s[0]
    on = np.array([e.gate == "on" for e in estimates])
    later_ms = latency_ms if on_latency_ms is None else on_latency_ms
    beam_s = beam_intervals(t_s, on, later_ms / 1e3, latency_ms / 1e3)
    return motion_from_estimates(estimates, t_s, reference.centre_mm, config.gating, beam_s, "simulated")


def _moved(outline_px: NDArray[np.float64], x_px: float, y_px: float) -> NDArray[np.float32]:
    moved: NDArray[np.float32] = (outline_px + np.array([x_px, y_px])).astype(np.float32)
    return moved


def _key(contour_px: NDArray[np.floating[Any]]) -> bytes:
    return np.ascontiguousarray(contour_px, np.float32).tobytes()
