"""Two systems that watch one patient who breathes, each by its own frames and clock, and where they shall differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cinegate.shadow.sides import Side

LEVEL_MM = 4.0
"""Beyond it, a system holds."""
OURS_S, THEIRS_S = 1 / 6, 1 / 5
"""Their intervals."""


class Patient:
    """Breathing of uneven depth and length, mm towards superior."""

    def __init__(self, seed: int = 1, duration_s: float = 120.0, *, even: bool = False) -> None:
        rng = np.random.default_rng(seed)
        self.duration_s = duration_s
        self._t_s = np.arange(-20.0, duration_s + 20.0, 0.01)
        uneven = 0.0 if even else 0.2
        breaths = len(self._t_s) // 400 + 1
        rate = 0.25 * (1.0 + uneven * np.repeat(rng.standard_normal(breaths), 400)[: len(self._t_s)])
        depth = 12.0 * (1.0 + uneven * np.interp(np.arange(len(self._t_s)) / 400, range(breaths), rng.random(breaths)))
        self._up_mm = depth * np.cos(np.pi * np.cumsum(rate) * 0.01) ** 4

    def at(self, t_s):
        return np.interp(t_s, self._t_s, self._up_mm)

    def seen(self, interval_s: float, *, ahead_s: float = 0.0, seed: int = 2, noise_mm: float = 0.3) -> Side:
        """What a system says whose clock is `ahead_s` ahead of the true one."""
        rng = np.random.default_rng(seed)
        t_s = np.arange(0.02, self.duration_s, interval_s)
        t_s = t_s + rng.uniform(0.0, 0.01, len(t_s))
        position = np.zeros((len(t_s), 3))
        position[:, 2] = self.at(t_s) + noise_mm * rng.standard_normal(len(t_s))
        position[:, 1] = 0.2 * position[:, 2]
        frames, reasons = np.arange(len(t_s)), tuple("in_window" for _ in t_s)
        return Side("a system", 1.7e9 + t_s + ahead_s, self.at(t_s) > LEVEL_MM, position, frames, reasons)


def without_positions(side: Side) -> Side:
    return replace(side, position_mm=np.full((len(side.t_s), 3), np.nan))


def without_states(side: Side) -> Side:
    return replace(side, hold=None)


def planted(side: Side, count: int, rows: int = 4) -> tuple[Side, list[float]]:
    """The side with its state turned round for some rows, `count` times; and when each begins, on its clock."""
    hold = side.hold.copy()
    settled = [row for row in range(8, len(hold) - 12) if len(set(hold[row - 4 : row + rows + 4].tolist())) == 1]
    chosen = settled[:1]
    for row in settled:
        if row - chosen[-1] > rows + 10 and len(chosen) < count:
            chosen.append(row)
    for row in chosen:
        hold[row : row + rows] = ~hold[row : row + rows]
    return replace(side, hold=hold), [float(side.t_s[row]) for row in chosen]


def moved(side: Side, first: int, rows: int, by_mm: float) -> Side:
    """The side whose target is elsewhere for some rows."""
    position = side.position_mm.copy()
    position[first : first + rows, 0] += by_mm
    return replace(side, position_mm=position)
