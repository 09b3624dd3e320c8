"""The engine without sockets: decode, track, decide and pack, with warm caches or cold ones as between real frames."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bench.loop import bench_config, pictures
from drivers.formats.pixels import wire_dtype_name
from gating.clocks.clock import MonotonicClock
from gating.engine.engine import Engine
from gating.messages import BeamStatus, CineFrame, FrameHeader, GateState, Pacing, SourceKind, StampMeaning, StreamInfo
from gating.settings.config import Config
from gating.targets.spec import TargetSpec
from gating.tracking.registry import make_tracker
from gating.tracking.together import Together, one_by_one
from gating.wire.codec import decode, encode, encode_frame
from gating.wire.pixels import content_hash

EVICT_BYTES: Final = 4 * 2**20
"""Memory written between frames, in place of the other processes that evict the engine from the caches."""
ORIENTATION: Final = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
POSITION_MM: Final = (-100.0, 0.0, 100.0)
OTHERS: Final = (
    (0.14, -0.08, 0.7), (0.2, 0.02, 0.6), (-0.13, -0.05, 0.5), (-0.17, 0.05, 0.8), (0.08, 0.13, 1.0),
    (-0.06, 0.12, 0.9), (0.2, 0.14, 0.6), (-0.2, 0.17, 0.5), (0.02, -0.13, 0.7),
)  # fmt: skip
"""Further targets: place from the first one, in sides of the frame, and size relative to it."""


class EngineBench:
    """An engine that gets wire messages. Every step is timed from bytes to packed command.

    Parameters
    ----------
    config, size_px, dtype
        Settings, side of the frames, and type of their pixels.
    targets
        How many; the first is the recording's own.
    together
        How the targets of one frame are tracked.
    """

    def __init__(
        self, config: Config, size_px: int, dtype: str, targets: int = 1, together: Together = one_by_one
    ) -> None:
        frames, spacing_mm, contour = pictures(size_px, dtype)
        self._frames, self._spacing_mm = frames, spacing_mm
        self._clock = MonotonicClock()
        self._engine = Engine(
            config,
            [TargetSpec(f"target {number}", one) for number, one in enumerate(_contours(contour, size_px, targets))],
            lambda: make_tracker(config.tracker, config.tracking),
            self._clock,
            "bench",
            "bench",
            arm_by_itself=True,
            together=together,
        )
        self._engine.warm_up()
        self._engine.open_stream(self._stream())
        self._sequence = 0
        self._evicted = np.zeros(EVICT_BYTES // 8)
        self.step()

    def _stream(self) -> StreamInfo:
        pixels = self._frames[0]
        return StreamInfo(
            session_id="bench",
            source="bench",
            source_kind=SourceKind.REPLAY,
            pacing=Pacing.STEPPED,
            planes=("coronal",),
            dtype=wire_dtype_name(pixels),
            shape=(pixels.shape[0], pixels.shape[1]),
            pixel_spacing_mm=self._spacing_mm,
            image_orientation=ORIENTATION,
            image_position_mm=POSITION_MM,
            nominal_interval_ns=0,
            acquired_clock=self._clock.name,
            acquired_meaning=StampMeaning.END,
        )

    def message(self) -> list[Any]:
        """Return the next frame as it would arrive."""
        pixels = self._frames[self._sequence % len(self._frames)]
        now_ns = self._clock.now_ns()
        header = FrameHeader(
            session_id="bench",
            source="bench",
            source_kind=SourceKind.REPLAY,
            pacing=Pacing.STEPPED,
            sequence=self._sequence,
            plane="coronal",
            acquired_ns=now_ns,
            acquired_clock=self._clock.name,
            acquired_meaning=StampMeaning.END,
            acquired_on_publish_clock_ns=now_ns,
            published_ns=now_ns,
            publish_clock=self._clock.name,
            dtype=wire_dtype_name(pixels),
            shape=(pixels.shape[0], pixels.shape[1]),
            pixel_spacing_mm=self._spacing_mm,
            image_orientation=ORIENTATION,
            image_position_mm=POSITION_MM,
            content_hash=content_hash(pixels),
        )
        self._sequence += 1
        return [bytes(part) for part in encode_frame(CineFrame(header, pixels))]

    def evict(self) -> None:
        """Evict the engine from the caches of the core, as other processes do between two frames."""
        self._evicted += 1.0

    def step(self, parts: list[Any] | None = None) -> float:
        """Process one frame; return the time from bytes to packed command, ms."""
        parts = self.message() if parts is None else parts
        self._engine.observe_beam(self._status())
        received_ns = self._clock.now_ns()
        frame = decode(parts)
        assert isinstance(frame, CineFrame)
        encode(self._engine.step(frame, received_ns).command)
        took_ms = (self._clock.now_ns() - received_ns) / 1e6
        self._engine.finish_frame()
        return took_ms

    def _status(self) -> BeamStatus:
        return BeamStatus(
            session_id="bench",
            beam="bench",
            beam_kind="simulated",
            status_sequence=0,
            commanded=GateState.HOLD,
            confirmed=GateState.HOLD,
            reason="commanded_hold",
            sent_ns=self._clock.now_ns(),
            clock=self._clock.name,
        )


def _contours(contour: NDArray[np.float32], size_px: int, count: int) -> list[NDArray[np.float32]]:
    """Return a target and others of other sizes and places in the same picture."""
    centre = contour.mean(axis=0)
    others = [(contour - centre) * scale + centre + np.array(shift) * size_px for *shift, scale in OTHERS]
    return [contour, *(one.astype(np.float32) for one in others)][:count]


def step_samples_ms(
    tracker: str, size_px: int, dtype: str, frames: int, *, cold: bool, interval_s: float = 0.0
) -> NDArray[np.float64]:
    """Return the time of each of `frames` steps, ms.

    Parameters
    ----------
    cold
        Evict the engine from the caches before every frame.
    interval_s
        Time to sleep before every frame.
    """
    bench = EngineBench(bench_config(tracker), size_px, dtype)
    return sample_ms(bench.step, bench, frames, cold=cold, interval_s=interval_s)


def sample_ms(
    step: Callable[[list[Any]], float], bench: EngineBench, frames: int, *, cold: bool, interval_s: float = 0.0
) -> NDArray[np.float64]:
    """Return the time of each step, ms, with the garbage collector off as in the service."""
    for _ in range(20):
        step(bench.message())
    taken = np.empty(frames)
    gc.collect()
    gc.disable()
    try:
        for index in range(frames):
            parts = bench.message()
            if cold:
                bench.evict()
            if interval_s:
                time.sleep(interval_s)
            taken[index] = step(parts)
    finally:
        gc.enable()
    return taken
