"""The two protocols of the hardware abstraction. A driver is a file that fulfils one of them and a registry line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gating.messages import GateState, Orientation, Position, StampMeaning, StreamInfo


@dataclass(frozen=True, slots=True)
class FrameStamp:
    """What a source says of the frame that it just wrote into the caller's buffer."""

    acquired_ns: int
    """Raw stamp on the source's own clock (`StreamInfo.acquired_clock`)."""
    arrived_ns: int
    """Host monotonic time at which software first had the frame; for a paced replay, the deadline it stands for."""
    plane: str
    meaning: StampMeaning
    acquired_on_host_ns: int | None = None
    """The acquisition on the host's monotonic clock where the source knows the mapping exactly (replay, phantom)."""
    uncertainty_ns: int = 0
    """Of `acquired_on_host_ns`."""
    resolution_ns: int = 0
    """The smallest step of the source's stamps."""
    image_orientation: Orientation | None = None
    image_position_mm: Position | None = None
    """Where the plane lies, for a stream of several planes; None where it is what the stream declared."""


@runtime_checkable
class CineSource(Protocol):
    """One live, replayed or simulated cine stream.

    Construction touches nothing; `open` may raise `Unavailable`. `read_into` fills the caller's buffer and never
    repeats a frame. `open` and `close` twice are harmless.
    """

    def open(self) -> StreamInfo:
        """Start the stream and say what it is. Raises `Unavailable`."""
        ...

    def read_into(self, pixels: NDArray[np.generic], timeout_ms: int) -> FrameStamp | None:
        """Write the next frame into `pixels` ((rows, columns), the declared dtype).

        Returns None on time-out. Raises `EndOfStream` after the last frame, and `SourceFault` once the stream cannot
        be trusted.
        """
        ...

    def close(self) -> None:
        """Release everything; never raises."""
        ...


@runtime_checkable
class CountingSource(Protocol):
    """A source with counters of its own, which go into its heartbeats."""

    @property
    def counters(self) -> dict[str, int]:
        """Return name to count."""
        ...


@runtime_checkable
class ReportingSource(Protocol):
    """A source with sentences for the operator: what it refused, and why."""

    def take_notices(self) -> list[str]:
        """Return the sentences since the last call."""
        ...


class EndOfStream(Exception):
    """A recording has no more frames."""


@runtime_checkable
class BeamSwitch(Protocol):
    """One line that lets beam through or holds it. Held after construction, open, close and any exception."""

    kind: Literal["simulated", "hardware"]

    @property
    def settle_ms(self) -> float:
        """Time after `set_beam` by which `read_back` must agree, ms."""
        ...

    def open(self) -> None:
        """Take the line, held. Raises `Unavailable`."""
        ...

    def set_beam(self, state: GateState) -> None:
        """Drive the line; returns within 5 ms. Raises `BeamFault`."""
        ...

    def read_back(self) -> GateState:
        """Return what the line confirms now. Raises `BeamFault`."""
        ...

    def close(self) -> None:
        """Hold, then release the line; never raises."""
        ...
