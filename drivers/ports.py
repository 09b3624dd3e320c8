"""The two protocols between the engine and hardware. A driver is a file that fulfils one, and a registry line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gating.messages import GateState, Orientation, Position, StampMeaning, StreamInfo


@dataclass(frozen=True, slots=True)
class FrameStamp:
    """What a source knows about the frame that it has just written into the caller's buffer."""

    acquired_ns: int
    """Raw stamp on the source's own clock (`StreamInfo.acquired_clock`)."""
    arrived_ns: int
    """Host monotonic time at which software first had the frame; for a paced replay, the frame's deadline."""
    plane: str
    meaning: StampMeaning
    acquired_on_host_ns: int | None = None
    """The acquisition on the host's monotonic clock, if the source knows the mapping exactly (replay, phantom)."""
    uncertainty_ns: int = 0
    """Uncertainty of `acquired_on_host_ns`."""
    moment_uncertainty_ns: int | None = None
    """How far the centre of k-space may lie from `acquired_on_host_ns`, if that is the centre already, whatever the raw
    stamp marks (replay, phantom); None otherwise."""
    resolution_ns: int = 0
    """The smallest step of the source's stamps."""
    image_orientation: Orientation | None = None
    image_position_mm: Position | None = None
    """Where the plane lies, in a stream of several planes; None if it is where the stream declared it."""
    peer: str | None = None
    series: str | None = None
    """Who sent the frame, and which of its scans it is of; None: as before. A change of either latches the engine."""


@runtime_checkable
class CineSource(Protocol):
    """One live, replayed or simulated cine stream.

    The constructor opens nothing. `read_into` fills the caller's buffer and never repeats a frame. Calling `open` or
    `close` twice is harmless.
    """

    def open(self) -> StreamInfo:
        """Start the stream and return its description. Raises `Unavailable`."""
        ...

    def read_into(self, pixels: NDArray[np.generic], timeout_ms: int) -> FrameStamp | None:
        """Write the next frame into `pixels`.

        Parameters
        ----------
        pixels
            (rows, columns), of the declared dtype.
        timeout_ms
            Longest wait.

        Returns
        -------
        FrameStamp or None
            None on time-out.

        Raises
        ------
        EndOfStream
            After the last frame of a recording.
        SourceFault
            If the stream can no longer be trusted.
        """
        ...

    def close(self) -> None:
        """Release everything. Never raises."""
        ...


@runtime_checkable
class CountingSource(Protocol):
    """A source with counters of its own, which its heartbeats carry."""

    @property
    def counters(self) -> dict[str, int]:
        """Counts by name."""
        ...


@runtime_checkable
class ReportingSource(Protocol):
    """A source that tells the operator what it refused, and why."""

    def take_notices(self) -> list[str]:
        """Return the sentences that are new since the last call."""
        ...


@runtime_checkable
class WarningSource(Protocol):
    """A source that warns of its stream as a whole; nothing is refused for it."""

    @property
    def warnings(self) -> Sequence[str]:
        """Sentences for the operator, known once the source is open."""
        ...


@runtime_checkable
class AnsweringSource(Protocol):
    """A source that tells its peer what the engine saw; it must keep that off its frames' way."""

    def hear_engine(self, telemetry: str) -> None:
        """Take the endpoint of the engine's telemetry, before `open`. Opens nothing."""
        ...


class EndOfStream(Exception):
    """The recording has no more frames."""


@runtime_checkable
class BeamSwitch(Protocol):
    """A line that permits or holds the beam. It is held after construction, open, close and any exception."""

    kind: Literal["simulated", "hardware"]

    @property
    def settle_ms(self) -> float:
        """Time after `set_beam` within which `read_back` must agree, ms."""
        ...

    def open(self) -> None:
        """Take the line and hold it. Raises `Unavailable`."""
        ...

    def set_beam(self, state: GateState) -> None:
        """Drive the line, within 5 ms. Raises `BeamFault`."""
        ...

    def read_back(self) -> GateState:
        """Return the state that the line confirms now. Raises `BeamFault`."""
        ...

    def close(self) -> None:
        """Hold, then release the line. Never raises."""
        ...
