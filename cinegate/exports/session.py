"""What every export needs of a session log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gating.analysis.motion import GatedMotion, known_beam, motion_from_session
from gating.messages import CineFrame, FrameHeader, TargetEstimate
from gating.session.log import SessionError, read_session
from gating.session.summary_data import Interval, SessionData, read_data


@dataclass(frozen=True, slots=True, eq=False)
class ExportedSession:
    """A session without its pixels, which `frames` reads from the log.

    Attributes
    ----------
    data
        The session. Its times are ns on the recorder's monotonic clock.
    motions
        The table of each target, by its name.
    beam_on_ns, beam_known_by
        When the beam was on, on the recorder's clock, and how that is known: "confirmed", "commanded" or "".
    wall_offset_ns
        What makes a time on the recorder's clock one since 1970, UTC, as the recorder found it when the log was begun.
    """

    data: SessionData
    motions: dict[str, GatedMotion]
    beam_on_ns: list[Interval]
    beam_known_by: str
    wall_offset_ns: int

    @property
    def session_id(self) -> str:
        """Of the first frame."""
        return next(iter(self.data.frames.values())).session_id

    @property
    def planes(self) -> dict[str, list[FrameHeader]]:
        """The frames of each plane, in order."""
        found: dict[str, list[FrameHeader]] = {}
        for header in self.data.frames.values():
            found.setdefault(header.plane, []).append(header)
        return found

    def wall_ns(self, at_ns: int) -> int:
        """Return a time on the recorder's clock as nanoseconds since 1970, UTC."""
        return at_ns + self.wall_offset_ns

    def wall(self, at_ns: int) -> datetime:
        """Return a time on the recorder's clock as UTC, to the microsecond."""
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=round(self.wall_ns(at_ns) / 1000))

    def frames(self, plane: str = "") -> Iterator[CineFrame]:
        """Yield the frames of one plane, or of all, with their pixels, each once."""
        seen: set[int] = set()
        for _, _, message in read_session(self.data.path):
            if isinstance(message, CineFrame) and plane in ("", message.header.plane):
                if message.header.sequence not in seen:
                    yield message
                seen.add(message.header.sequence)

    def estimates(self, target: str) -> Iterator[tuple[TargetEstimate, FrameHeader, NDArray[np.float64]]]:
        """Yield the estimates of a target with their frames and displacements (LPS, mm; NaN where it was not found)."""
        known = [one for one in self.data.estimates[target] if one.frame_sequence in self.data.frames]
        for one, displacement_mm in zip(known, self.motions[target].displacement_mm, strict=True):
            yield one, self.data.frames[one.frame_sequence], displacement_mm


def open_session(log: Path) -> ExportedSession:
    """Read a session log.

    Raises
    ------
    SessionError
        If the file is no session log, holds no frames, or does not say when it was recorded.
    OSError
        If it cannot be read.
    """
    data = read_data(log)
    if not data.frames:
        raise SessionError(f"{log.name} holds no frames; an export needs the session's images")
    beam_on_ns, known_by = known_beam(data)
    motions = {motion.target: motion for motion in motion_from_session(data)}
    return ExportedSession(data, motions, beam_on_ns, known_by, _wall_offset_ns(data))


def _wall_offset_ns(data: SessionData) -> int:
    said = data.metadata.get("wall_minus_monotonic_ns", "")
    if not said.lstrip("-").isdecimal():
        raise SessionError(
            f"{data.path.name}: wall_minus_monotonic_ns is {said[:40]!r}; without it nobody knows when the session was"
        )
    return int(said)
