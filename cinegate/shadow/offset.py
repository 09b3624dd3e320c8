"""How far two systems' clocks are apart, from what both of them saw; with the uncertainty of that, or not at all.

The offset is where both agree best: where the squared difference of the target's motion, or else of the gate states,
is least. The uncertainty is that of a block bootstrap (Künsch 1989, doi:10.1214/aos/1176347265), in which the session
is put together again from its parts. If the parts do not agree on one offset, it cannot be told. A constant difference
between the two systems' delays cannot be told from an offset of their clocks.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cinegate.shadow.sides import Side

Array = NDArray[np.float64]

COARSE_S: Final = 0.025
FINE_S: Final = 0.001
FINE_RANGE_S: Final = 0.1
GRID_S: Final = 0.01
"""Of gate states."""
LEAST_OVERLAP: Final = 0.5
"""Of our samples, at an offset that is considered."""
LEAST_MOTION_MM: Final = 0.5
"""Standard deviation of a motion that can be compared."""
LEAST_ROWS: Final = 20
MUCH_BETTER: Final = 0.5
"""The best offset's difference, relative to the median of all offsets', above which the two are not alike."""
BLOCK_S: Final = 5.0
LEAST_BLOCKS, MOST_BLOCKS = 8, 60
RESAMPLES: Final = 400
WIDEST_S: Final = 0.25
"""Half the interval of 95 % in which the bootstrap must agree."""


class Offset(Struct, frozen=True, kw_only=True):
    """What is added to a time of theirs to make it one of ours."""

    seconds: float | None = None
    """None: it cannot be told."""
    uncertainty_s: float | None = None
    """Half of the interval of 95 %; None if it was given."""
    by: str = ""
    """"positions", "gate states" or "given"."""
    why: str = ""
    """Why it cannot be told."""


def estimate_offset(ours: Side, theirs: Side, max_s: float = 10.0, *, seed: int = 1) -> Offset:
    """Return the offset of their clock.

    Parameters
    ----------
    ours, theirs
        Both sides.
    max_s
        Largest offset that is considered, beyond the difference of the two begins if their times do not overlap.
    seed
        Of the bootstrap.
    """
    nominal_s = 0.0
    if not (theirs.t_s[0] < ours.t_s[-1] and ours.t_s[0] < theirs.t_s[-1]):
        nominal_s = float(ours.t_s[0] - theirs.t_s[0])
    rng = np.random.default_rng(seed)
    tried = []
    for by, pair in (("positions", _motions(ours, theirs)), ("gate states", _states(ours, theirs))):
        if pair is None:
            continue
        found = _Alignment(*pair, steps=by == "gate states").offset(nominal_s, max_s, rng)
        if isinstance(found, str):
            tried.append(f"by {by}: {found}")
        else:
            return Offset(seconds=found[0], uncertainty_s=found[1], by=by)
    return Offset(why="; ".join(tried) or "neither motion nor changes of the gate are known of both")


class _Alignment:
    """Two signals: ours at some times, theirs as a function of time.

    Parameters
    ----------
    t_s, signal
        (n,) our times and values.
    their_t_s, their_signal
        (m,) of theirs.
    steps
        Whether theirs lasts until the next row; otherwise it is interpolated.
    """

    def __init__(self, t_s: Array, signal: Array, their_t_s: Array, their_signal: Array, *, steps: bool) -> None:
        self._t_s, self._signal = t_s, signal
        self._their_t_s, self._their_signal, self._steps = their_t_s, their_signal, steps
        count = int(np.clip((t_s[-1] - t_s[0]) / BLOCK_S, LEAST_BLOCKS, MOST_BLOCKS))
        self._firsts = np.unique(np.searchsorted(t_s, np.linspace(t_s[0], t_s[-1], count, endpoint=False)))

    def offset(self, nominal_s: float, max_s: float, rng: np.random.Generator) -> tuple[float, float] | str:
        """Return the offset and half of its interval of 95 %, or why there is none."""
        coarse_s = nominal_s + np.arange(-max_s, max_s + COARSE_S / 2, COARSE_S)
        squares, counts = self._by_block(coarse_s)
        enough = counts.sum(axis=0) >= LEAST_OVERLAP * len(self._t_s)
        if not enough.any():
            return f"they have nothing in common within {max_s:g} s"
        squares, counts, coarse_s = squares[:, enough], counts[:, enough], coarse_s[enough]
        mean = squares.sum(axis=0) / counts.sum(axis=0)
        if not mean.min() < MUCH_BETTER * float(np.median(mean)):
            return "the two are not alike at any offset"
        weights = rng.multinomial(len(squares), np.full(len(squares), 1 / len(squares)), RESAMPLES).astype(float)
        low_s, high_s = np.quantile(_least(coarse_s, squares, counts, weights), [0.025, 0.975])
        if high_s - low_s > 2 * WIDEST_S:
            return f"offsets from {low_s:.2f} to {high_s:.2f} s fit"
        fine_s = np.arange(low_s - FINE_RANGE_S, high_s + FINE_RANGE_S, FINE_S)
        squares, counts = self._by_block(fine_s)
        everything = np.ones((1, len(squares)))
        (best_s,) = _least(fine_s, squares, counts, everything)
        spread_s = float(_least(fine_s, squares, counts, weights).std())
        return float(best_s), max(_few(len(squares)) * spread_s, FINE_S)

    def _by_block(self, offsets_s: Array) -> tuple[Array, Array]:
        """Return the sums of squared differences of each block at each offset, and from how many samples."""
        squares, counts = (np.empty((len(self._firsts), len(offsets_s))) for _ in range(2))
        for column, offset_s in enumerate(offsets_s.tolist()):
            difference = self._signal - self._theirs(self._t_s - offset_s)
            known = np.isfinite(difference)
            squares[:, column] = np.add.reduceat(np.where(known, difference, 0.0) ** 2, self._firsts)
            counts[:, column] = np.add.reduceat(known.astype(float), self._firsts)
        return squares, counts

    def _theirs(self, when_s: Array) -> Array:
        inside = (when_s >= self._their_t_s[0]) & (when_s <= self._their_t_s[-1])
        if self._steps:
            row = np.clip(np.searchsorted(self._their_t_s, when_s, side="right") - 1, 0, None)
            return np.where(inside, self._their_signal[row], np.nan)
        return np.where(inside, np.interp(when_s, self._their_t_s, self._their_signal), np.nan)


def _least(offsets_s: Array, squares: Array, counts: Array, weights: Array) -> Array:
    """Return where the mean square is least for each row of weights; the middle where it is least over a range."""
    mean = (weights @ squares) / np.maximum(weights @ counts, 1e-9)
    at_least = mean <= mean.min(axis=1, keepdims=True) * (1 + 1e-9) + 1e-15
    return np.asarray((at_least * offsets_s).sum(axis=1) / at_least.sum(axis=1))


def _few(blocks: int) -> float:
    """Return the half interval of 95 % of so few blocks, in standard deviations of their bootstrap."""
    from scipy.stats import t

    return float(t.ppf(0.975, blocks - 1) * np.sqrt(blocks / (blocks - 1)))


def _motions(ours: Side, theirs: Side) -> tuple[Array, Array, Array, Array] | None:
    """Return both motions along the main direction of ours, each from its median; None if there is no motion."""
    own, other = ours.position_mm[ours.located], theirs.position_mm[theirs.located]
    if min(len(own), len(other)) < LEAST_ROWS:
        return None
    away = own - np.median(own, axis=0)
    direction = np.linalg.svd(away, full_matrices=False)[2][0]
    signal, their_signal = away @ direction, (other - np.median(other, axis=0)) @ direction
    if not min(signal.std(), their_signal.std()) > LEAST_MOTION_MM:
        return None
    return ours.t_s[ours.located], signal, theirs.t_s[theirs.located], their_signal


def _states(ours: Side, theirs: Side) -> tuple[Array, Array, Array, Array] | None:
    if ours.hold is None or theirs.hold is None:
        return None
    if ours.hold.all() or not ours.hold.any() or theirs.hold.all() or not theirs.hold.any():
        return None
    t_s = np.arange(ours.t_s[0], ours.t_s[-1], GRID_S)
    row = np.searchsorted(ours.t_s, t_s, side="right") - 1
    # A change that a row tells came half an interval earlier on average; a system that tells changes alone is exact.
    sampled = theirs.interval_s < 3 * ours.interval_s
    later_s = (ours.interval_s - (theirs.interval_s if sampled else 0.0)) / 2
    return t_s, ours.hold[row].astype(float), theirs.t_s + later_s, theirs.hold.astype(float)
