"""The engine without sockets: frames in, decisions out, on the recording's own clock. Deterministic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from gating.clocks.clock import ManualClock
from gating.engine.engine import Engine
from gating.engine.outcome import StepOutcome
from gating.engine.peers import OfflinePeers
from gating.messages import CineFrame, FrameHeader, Pacing, Pixels, StreamInfo
from gating.settings.config import Config
from gating.targets.spec import TargetSpec
from gating.tracking.registry import make_tracker
from gating.tracking.tracker import Tracker
from gating.wire.pixels import content_hash

SESSION: Final = "offline"
_CLOCK_START_NS: Final = 1_000_000_000


def offline_frames(
    stream: StreamInfo, images: Iterable[tuple[int, Pixels]], session_id: str = SESSION
) -> Iterator[CineFrame]:
    """Turn pairs of (stamp in ns, pixels) into frames that are published at the moment of their acquisition."""
    for sequence, (acquired_ns, pixels) in enumerate(images):
        on_clock_ns = acquired_ns + _CLOCK_START_NS
        header = FrameHeader(
            session_id=session_id,
            source=stream.source,
            source_kind=stream.source_kind,
            pacing=Pacing.UNPACED,
            speed=0.0,
            sequence=sequence,
            plane=stream.planes[0],
            acquired_ns=acquired_ns,
            acquired_clock=stream.acquired_clock,
            acquired_meaning=stream.acquired_meaning,
            acquired_on_publish_clock_ns=on_clock_ns,
            published_ns=on_clock_ns,
            publish_clock="offline",
            dtype=stream.dtype,
            shape=stream.shape,
            pixel_spacing_mm=stream.pixel_spacing_mm,
            image_orientation=stream.image_orientation,
            image_position_mm=stream.image_position_mm,
            content_hash=content_hash(pixels),
        )
        yield CineFrame(header, pixels)


def decide_offline(
    config: Config,
    targets: Sequence[TargetSpec],
    stream: StreamInfo,
    frames: Iterable[CineFrame],
    tracker: Callable[[], Tracker] | None = None,
) -> Iterator[tuple[CineFrame, StepOutcome]]:
    """Run every frame through an engine that arms as soon as it can; yield each frame with its outcome.

    Parameters
    ----------
    config
        Settings of the engine.
    targets
        One to ten targets.
    stream
        The stream as its source declares it; it is replayed without pacing.
    frames
        Frames in the order of acquisition.
    tracker
        Used instead of the configured tracker, to decide again on earlier tracking results.

    Raises
    ------
    ValueError
        If the targets are too many or too few, or their names are not unique.
    """
    clock = ManualClock(_CLOCK_START_NS, "offline")
    engine = Engine(
        config,
        targets,
        tracker or (lambda: make_tracker(config.tracker, config.tracking)),
        clock,
        SESSION,
        SESSION,
        peers=OfflinePeers(),
        arm_by_itself=True,
    )
    engine.warm_up()
    engine.open_stream(replace(stream, session_id=SESSION, pacing=Pacing.UNPACED, speed=0.0))
    for frame in frames:
        clock.advance_to(frame.header.published_ns)
        outcome = engine.step(frame, clock.now_ns())
        yield frame, StepOutcome(outcome.command, [*engine.finish_frame(), *outcome.messages])
