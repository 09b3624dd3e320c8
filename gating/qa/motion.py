"""The motion that a procedure gives the phantom: rest, steps, sines and ramps, one after another, along SI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

SAMPLES_PER_S: Final = 200
SHIFT_S: Final = 0.3
"""Time in which the phantom moves from one step to the next: 20 mm take less than the tracker's largest speed."""
SETTLED: Final = 0.5
"""Share of a step, at its end, in which the phantom certainly stands still."""

Mm = Annotated[float, Meta(ge=-30, le=30)]
Seconds = Annotated[float, Meta(gt=0, le=600)]


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """A part of the motion."""


class Rest(_Part, frozen=True, kw_only=True, tag="rest"):
    """The phantom stands where it began."""

    seconds: Seconds


class Steps(_Part, frozen=True, kw_only=True, tag="steps"):
    """The phantom goes to one position after another, and stands still at each."""

    positions_mm: Annotated[tuple[Mm, ...], Meta(min_length=1, max_length=50)]
    seconds_each: Annotated[float, Meta(ge=0.8, le=60)] = 1.0


class Sine(_Part, frozen=True, kw_only=True, tag="sine"):
    """The phantom swings between where it began and `peak_mm`."""

    peak_mm: Mm
    period_s: Annotated[float, Meta(ge=1, le=30)]
    cycles: Annotated[int, Meta(ge=1, le=200)]

    @property
    def seconds(self) -> float:
        """Return the length of the part."""
        return self.period_s * self.cycles


class Ramp(_Part, frozen=True, kw_only=True, tag="ramp"):
    """The phantom drifts evenly to `to_mm`."""

    to_mm: Mm
    seconds: Seconds


Part = Rest | Steps | Sine | Ramp


@dataclass(frozen=True, slots=True)
class Window:
    """A span of the motion: a part, or one plateau of its steps, s from the beginning."""

    kind: Literal["rest", "plateau", "sine", "ramp"]
    begin_s: float
    end_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """Positions along SI (superior is positive), mm, `SAMPLES_PER_S` a second, and what is measured in which span."""

    t_s: NDArray[np.float64]
    si_mm: NDArray[np.float64]
    windows: tuple[Window, ...]

    @property
    def duration_s(self) -> float:
        """Return the length of the motion."""
        return float(self.t_s[-1])


def make_motion(parts: Sequence[Part]) -> Motion:
    """Return the parts as one motion."""
    positions, windows, begin_s, at_mm = [np.zeros(1)], list[Window](), 0.0, 0.0
    for part in parts:
        for kind, seconds, si_mm, from_s in _pieces(part, at_mm):
            positions.append(si_mm)
            windows.append(Window(kind, begin_s + from_s, begin_s + seconds))
            begin_s, at_mm = begin_s + seconds, float(si_mm[-1])
    si = np.concatenate(positions)
    return Motion(np.arange(len(si)) / SAMPLES_PER_S, si, tuple(windows))


def _pieces(
    part: Part, at_mm: float
) -> list[tuple[Literal["rest", "plateau", "sine", "ramp"], float, NDArray[np.float64], float]]:
    """Return (kind, length, positions, first usable moment) of each span of a part that begins at `at_mm`."""
    if isinstance(part, Steps):
        pieces = []
        for to_mm in part.positions_mm:
            seconds = part.seconds_each
            moved = np.clip(_times(seconds) / SHIFT_S, 0, 1)
            pieces.append(("plateau", seconds, at_mm + (to_mm - at_mm) * moved, SETTLED * seconds))
            at_mm = to_mm
        return pieces  # type: ignore[return-value]  # "plateau" is widened to str
    t_s = _times(part.seconds)
    if isinstance(part, Sine):
        return [("sine", part.seconds, part.peak_mm / 2 * (1 - np.cos(2 * np.pi * t_s / part.period_s)), 0.0)]
    if isinstance(part, Ramp):
        return [("ramp", part.seconds, at_mm + (part.to_mm - at_mm) * t_s / part.seconds, 0.0)]
    return [("rest", part.seconds, np.zeros(len(t_s)), SETTLED * part.seconds)]


def _times(seconds: float) -> NDArray[np.float64]:
    return np.arange(1, round(seconds * SAMPLES_PER_S) + 1) / SAMPLES_PER_S
