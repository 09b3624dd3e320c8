"""The physical latency of a gating chain, from a log of what a camera and a scintillator saw.

A log is a CSV file with the columns `t_s`, `position_mm` and `beam`: the position of a phantom and whether radiation
was on, on the same clock. `beam` is 0 or 1, or a signal that counts as on above the middle of its range. Columns are
separated by commas, or by semicolons, and then numbers may have decimal commas. Two methods:

- crossings: from the phantom crossing a gating level to the change of the beam, separately for beam off and beam on;
- phase: how late a tracker sees the phantom's sine, from the phases of two fits (Borman et al., ISMRM 2018, 4166: a
  sinusoidal model of the centre of mass).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

COLUMNS: Final = ("t_s", "position_mm", "beam")
MIN_CYCLES: Final = 2.0
HIGHEST_HZ: Final = 2.0
FIT_ROUNDS: Final = 40

Series = NDArray[np.float64]


class PhysicalLogError(ValueError):
    """A log cannot be used. The text is one sentence that names the line or the column."""


@dataclass(frozen=True, slots=True)
class PhysicalLog:
    """Increasing times, positions of the phantom, and whether the beam was on."""

    t_s: Series
    position_mm: Series
    beam_on: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Crossing:
    """One crossing of the gating level, and when the beam followed."""

    at_s: float
    followed_s: float
    """Middle of the two samples between which the beam changed."""
    beam: Literal["off", "on"]
    half_sample_ms: float
    """Half the time between those samples: the beam changed within this of `followed_s`."""

    @property
    def latency_ms(self) -> float:
        """Return how late the beam followed, ms; negative if it was ahead, as with prediction."""
        return 1e3 * (self.followed_s - self.at_s)


@dataclass(frozen=True, slots=True)
class Sine:
    """offset + amplitude * sin(2 pi t / period + phase)."""

    amplitude: float
    period_s: float
    phase: float
    offset: float


def read_physical_log(path: Path) -> PhysicalLog:
    """Read a log.

    Raises
    ------
    PhysicalLogError
        If a column is missing, a number cannot be read, or the times do not increase.
    OSError
        If the file cannot be read.
    """
    table = read_columns(path, COLUMNS)
    level = table[:, 2]
    return PhysicalLog(table[:, 0], table[:, 1], level > 0.5 * (level.min() + level.max()))


def read_columns(path: Path, columns: Sequence[str]) -> NDArray[np.float64]:
    """Read named columns of a CSV file, of which the first is an increasing time.

    Raises
    ------
    PhysicalLogError
        If a column is missing, a number cannot be read, or the times do not increase.
    OSError
        If the file cannot be read.
    """
    with path.open(newline="", encoding="utf-8-sig") as text:
        separator = ";" if ";" in text.readline() else ","
        text.seek(0)
        reader = csv.DictReader(text, delimiter=separator, skipinitialspace=True)
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise PhysicalLogError(f"{path}: column {missing[0]} is missing; {', '.join(columns)} are needed")
        decimal = "," if separator == ";" else "."
        rows = [
            [_number(path, line, row, name, decimal) for name in columns] for line, row in enumerate(reader, start=2)
        ]
    if len(rows) < 3:
        raise PhysicalLogError(f"{path}: {len(rows)} lines; 3 or more are needed")
    table = np.array(rows, dtype=np.float64)
    back = np.flatnonzero(np.diff(table[:, 0]) <= 0)
    if len(back):
        line = int(back[0]) + 3
        raise PhysicalLogError(f"{path}, line {line}: t_s is {table[line - 2, 0]:g}, not above the line before")
    return table


def _number(path: Path, line: int, row: dict[str, Any], name: str, decimal: str) -> float:
    try:
        value = float(row[name].replace(decimal, "."))
    except (AttributeError, ValueError):
        value = float("nan")
    if not np.isfinite(value):
        raise PhysicalLogError(f"{path}, line {line}: {name} is {row[name]!r}; a finite number is needed")
    return value


def crossings(log: PhysicalLog, level_mm: float, beam_on_below: bool = True) -> list[Crossing]:
    """Pair each crossing of the gating level with the change of the beam that follows it.

    Crossings after which the beam does not change before the phantom crosses back are left out. The moment of a
    crossing is interpolated between two samples; that of the beam, which jumps, is the middle of the two.

    Parameters
    ----------
    log
        Phantom and beam.
    level_mm
        Position at which the phantom leaves or enters the gating window.
    beam_on_below
        Whether the window lies below the level.

    Raises
    ------
    PhysicalLogError
        If the phantom never crosses the level.
    """
    should = (log.position_mm < level_mm) == beam_on_below
    at = np.flatnonzero(np.diff(should.astype(np.int8)))
    if not len(at):
        low, high = float(log.position_mm.min()), float(log.position_mm.max())
        raise PhysicalLogError(f"level {level_mm:g} mm is never crossed: position_mm is {low:g} to {high:g} mm")
    changes = np.flatnonzero(np.diff(log.beam_on.astype(np.int8)))
    found = []
    for number, index in enumerate(at):
        end = at[number + 1] if number + 1 < len(at) else len(log.t_s)
        wanted = bool(should[index + 1])
        following = [int(k) for k in changes if index - 1 <= k < end and bool(log.beam_on[k + 1]) is wanted]
        if following:
            low, high = log.position_mm[index], log.position_mm[index + 1]
            part = (level_mm - low) / (high - low) if high != low else 0.5
            crossed_s = float(log.t_s[index] + part * (log.t_s[index + 1] - log.t_s[index]))
            before_s, after_s = log.t_s[following[0] : following[0] + 2].tolist()
            beam: Literal["off", "on"] = "on" if wanted else "off"
            found.append(Crossing(crossed_s, (before_s + after_s) / 2, beam, 500 * (after_s - before_s)))
    return found


def fit_sine(t_s: Sequence[float] | Series, values: Sequence[float] | Series, period_s: float | None = None) -> Sine:
    """Fit a sine by linear least squares.

    Parameters
    ----------
    t_s, values
        Samples; those that are not finite are left out.
    period_s
        Period of the sine; the best-fitting one if not given.

    Raises
    ------
    PhysicalLogError
        If there are too few samples, or fewer than two cycles.
    """
    t, y = np.asarray(t_s, dtype=np.float64), np.asarray(values, dtype=np.float64)
    kept = np.isfinite(t) & np.isfinite(y)
    t, y = t[kept], y[kept]
    if len(t) < 8:
        raise PhysicalLogError(f"{len(t)} finite samples; 8 or more are needed for a sine")
    if period_s is None:
        period_s = _best_period(t, y)
    if np.ptp(t) < MIN_CYCLES * period_s:
        raise PhysicalLogError(f"{np.ptp(t):.1f} s hold fewer than {MIN_CYCLES:g} cycles of {period_s:.2f} s")
    (sine, cosine, offset), _ = _solve(t, y, period_s)
    amplitude, phase = float(np.hypot(sine, cosine)), float(np.arctan2(cosine, sine))
    return Sine(amplitude, period_s, phase, float(offset))


def phase_latency_ms(
    truth_t_s: Sequence[float] | Series,
    truth: Sequence[float] | Series,
    seen_t_s: Sequence[float] | Series,
    seen: Sequence[float] | Series,
) -> float:
    """Return how late `seen` follows `truth`, ms: the phase difference of two sines of the same period.

    A delay of more than half a period cannot be distinguished from one that is a period shorter.

    Parameters
    ----------
    truth_t_s, truth
        Times and positions of the phantom.
    seen_t_s, seen
        When each position was known (a frame was published, a command sent), on the same clock, and that position.
    """
    reference = fit_sine(truth_t_s, truth)
    followed = fit_sine(seen_t_s, seen, reference.period_s)
    lag = (reference.phase - followed.phase) % (2 * np.pi)
    lag = lag - 2 * np.pi if lag > np.pi else lag
    return float(1e3 * reference.period_s * lag / (2 * np.pi))


def _solve(t: Series, y: Series, period_s: float) -> tuple[Series, float]:
    angle = 2 * np.pi * t / period_s
    basis = np.column_stack([np.sin(angle), np.cos(angle), np.ones_like(t)])
    solution: Series = np.linalg.lstsq(basis, y, rcond=None)[0]
    return solution, float(np.sqrt(np.mean((y - basis @ solution) ** 2)))


def _best_period(t: Series, y: Series) -> float:
    """Scan frequencies at a quarter of the resolution, then narrow the bracket around the best by golden section."""
    span = float(np.ptp(t))
    highest = min(HIGHEST_HZ, 0.5 * (len(t) - 1) / span)
    frequencies = np.arange(MIN_CYCLES / span, highest, 0.25 / span)
    if not len(frequencies):
        raise PhysicalLogError(f"{span:.1f} s are too short for a sine of {MIN_CYCLES:g} cycles")
    misfit = [_solve(t, y, 1 / frequency)[1] for frequency in frequencies]
    best = float(frequencies[int(np.argmin(misfit))])
    low, high = best - 0.25 / span, best + 0.25 / span
    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(FIT_ROUNDS):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if _solve(t, y, 1 / left)[1] < _solve(t, y, 1 / right)[1]:
            high = right
        else:
            low = left
    return 2 / (low + high)
