"""How far two systems agree on holding the beam and on where the target is, and where they do not."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cinegate.shadow.offset import Offset
from cinegate.shadow.sides import ShadowError, Side

Kind = Literal["only we hold", "only they hold", "apart"]
WE_HOLD: Final = "only we hold"
THEY_HOLD: Final = "only they hold"
APART: Final = "apart"
LEAST_APART: Final = 2
"""Frames in a row that are apart."""
GAP_INTERVALS: Final = 2.5
"""Of theirs, across which a position is not interpolated."""
LARGEST_INTERVAL: Final = 2.0
"""Of ours, that counts for theirs in the tolerance: a system that tells changes alone has no interval."""

STAMP_S: Final = 0.001
"""Stamps are rounded; a difference of just the two intervals is still one of them."""


class Disagreement(Struct, frozen=True, kw_only=True):
    """Where the two did not agree; times in seconds after our first frame."""

    kind: Kind
    begin_s: float
    duration_ms: float
    first_frame: int
    last_frame: int
    our_reason: str
    distance_mm: float | None
    """Largest distance between the two centres meanwhile; None if it is not known."""


class Agreement(Struct, frozen=True, kw_only=True):
    """How far two systems agree."""

    offset: Offset
    overlap_s: float
    frames: int
    """Of ours, decided while both were there."""
    both_on: int
    both_hold: int
    only_we_hold: int
    only_they_hold: int
    """Frames by both states; all four are 0 if one side says nothing of the gate."""
    kappa: float | None
    we_hold_when_they_do: float | None
    they_hold_when_we_do: float | None
    """Sensitivity of hold of either, given the other's; None if nothing can be said."""
    tolerance_ms: float
    """Differences up to it may come from the frames' intervals; they are counted and not listed."""
    short_differences: int
    bias_mm: tuple[float, float, float] | None
    """Median of their centre minus ours, LPS; None if positions are not known of both."""
    distance_p50_mm: float | None
    distance_p95_mm: float | None
    """Of the two centres, beside the bias."""
    disagreements: list[Disagreement]


def compare(
    ours: Side, theirs: Side, offset: Offset, *, tolerance_ms: float | None = None, apart_mm: float = 3.0
) -> Agreement:
    """Compare both sides.

    Parameters
    ----------
    ours, theirs
        Both sides, each on its own clock.
    offset
        Of their clock; it must be known.
    tolerance_ms
        Longest difference of the gates that is not listed; None: an interval of either side.
    apart_mm
        Distance of the centres, beside the bias, above which they are apart.

    Raises
    ------
    ShadowError
        If the offset is not known, or the two have no time in common.
    """
    if offset.seconds is None:
        raise ShadowError(f"how far the clocks are apart cannot be told from the data: {offset.why}; give --offset-s")
    their_t_s = theirs.t_s + offset.seconds
    begin_s, end_s = max(ours.t_s[0], their_t_s[0]), min(ours.t_s[-1], their_t_s[-1])
    if not end_s > begin_s:
        raise ShadowError(f"{theirs.name} and {ours.name} have no time in common at an offset of {offset.seconds:g} s")
    inside = (ours.t_s >= begin_s) & (ours.t_s <= end_s)
    longest_s = ours.interval_s + min(theirs.interval_s, LARGEST_INTERVAL * ours.interval_s)
    tolerance_s = longest_s + STAMP_S if tolerance_ms is None else tolerance_ms / 1e3
    away_mm, bias_mm = _away(ours, theirs, their_t_s)
    distance_mm = np.linalg.norm(away_mm, axis=1)
    found = _apart(ours, distance_mm, inside, apart_mm)
    short, counts = 0, (0, 0, 0, 0)
    if ours.hold is not None and theirs.hold is not None:
        runs = _differences(ours, theirs.hold, their_t_s, (begin_s, end_s))
        found += [_listed(ours, distance_mm, *run) for run in runs if run[2] - run[1] > tolerance_s]
        short = sum(end - begin <= tolerance_s for _, begin, end in runs)
        rows = np.searchsorted(their_t_s, ours.t_s[inside], side="right") - 1
        counts = _table(ours.hold[inside], theirs.hold[np.clip(rows, 0, None)])
    both_on, both_hold, only_we, only_they = counts
    known = distance_mm[inside & np.isfinite(distance_mm)]
    return Agreement(
        offset=offset,
        overlap_s=float(end_s - begin_s),
        frames=int(inside.sum()),
        both_on=both_on,
        both_hold=both_hold,
        only_we_hold=only_we,
        only_they_hold=only_they,
        kappa=cohens_kappa(both_on, both_hold, only_we, only_they),
        we_hold_when_they_do=_part(both_hold, both_hold + only_they),
        they_hold_when_we_do=_part(both_hold, both_hold + only_we),
        tolerance_ms=1e3 * tolerance_s,
        short_differences=short,
        bias_mm=bias_mm,
        distance_p50_mm=float(np.percentile(known, 50)) if len(known) else None,
        distance_p95_mm=float(np.percentile(known, 95)) if len(known) else None,
        disagreements=sorted(found, key=lambda one: one.begin_s),
    )


def cohens_kappa(both_on: int, both_hold: int, only_we_hold: int, only_they_hold: int) -> float | None:
    """Return the agreement beyond chance; None if there is nothing to agree on, or no other state than one.

    Source: Cohen 1960, doi:10.1177/001316446002000104.
    """
    count = both_on + both_hold + only_we_hold + only_they_hold
    if count == 0:
        return None
    we, they = (both_hold + only_we_hold) / count, (both_hold + only_they_hold) / count
    by_chance = we * they + (1 - we) * (1 - they)
    return None if by_chance == 1 else ((both_on + both_hold) / count - by_chance) / (1 - by_chance)


def _table(we_hold: NDArray[np.bool_], they_hold: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    pairs = (~we_hold & ~they_hold, we_hold & they_hold, we_hold & ~they_hold, ~we_hold & they_hold)
    both_on, both_hold, only_we, only_they = (int(pair.sum()) for pair in pairs)
    return both_on, both_hold, only_we, only_they


def _differences(
    ours: Side, they_hold: NDArray[np.bool_], their_t_s: NDArray[np.float64], span_s: tuple[float, float]
) -> list[tuple[Kind, float, float]]:
    """Return (kind, begin, end) of every time, on our clock, in which only one of the two held."""
    assert ours.hold is not None
    times = np.unique(np.concatenate([ours.t_s, their_t_s, span_s]))
    times = times[(times >= span_s[0]) & (times <= span_s[1])]
    we = ours.hold[np.clip(np.searchsorted(ours.t_s, times[:-1], side="right") - 1, 0, None)].astype(int)
    they = they_hold[np.clip(np.searchsorted(their_t_s, times[:-1], side="right") - 1, 0, None)].astype(int)
    only = we - they  # 1: only we hold, -1: only they do
    starts = [0, *(np.flatnonzero(np.diff(only)) + 1).tolist(), len(only)]
    return [
        (WE_HOLD if only[first] > 0 else THEY_HOLD, float(times[first]), float(times[end]))
        for first, end in pairwise(starts)
        if first < end and only[first]
    ]


def _away(
    ours: Side, theirs: Side, their_t_s: NDArray[np.float64]
) -> tuple[NDArray[np.float64], tuple[float, float, float] | None]:
    """Return their centre minus ours beside the bias, (n, 3) mm, NaN where it is not known; and the bias."""
    nowhere = np.full((len(ours.t_s), 3), np.nan)
    known_s, centres = their_t_s[theirs.located], theirs.position_mm[theirs.located]
    if len(known_s) < 2:
        return nowhere, None
    after = np.clip(np.searchsorted(known_s, ours.t_s), 1, len(known_s) - 1)
    near = known_s[after] - known_s[after - 1] <= GAP_INTERVALS * theirs.interval_s
    near &= (ours.t_s >= known_s[0]) & (ours.t_s <= known_s[-1])
    at = np.stack([np.interp(ours.t_s, known_s, axis) for axis in centres.T], axis=1)
    away = np.where(near[:, None], at - ours.position_mm, nowhere)
    if not np.isfinite(away).all(axis=1).any():
        return nowhere, None
    bias = np.nanmedian(away, axis=0)
    return away - bias, (float(bias[0]), float(bias[1]), float(bias[2]))


def _apart(
    ours: Side, distance_mm: NDArray[np.float64], inside: NDArray[np.bool_], apart_mm: float
) -> list[Disagreement]:
    far = np.concatenate([[False], inside & (distance_mm > apart_mm), [False]])
    edges = np.flatnonzero(np.diff(far.astype(int))).reshape(-1, 2)
    return [
        _listed(ours, distance_mm, APART, float(ours.t_s[first]), float(ours.t_s[end - 1] + ours.interval_s))
        for first, end in edges.tolist()
        if end - first >= LEAST_APART
    ]


def _listed(ours: Side, distance_mm: NDArray[np.float64], kind: Kind, begin_s: float, end_s: float) -> Disagreement:
    half_s = ours.interval_s / 2
    rows = np.flatnonzero((ours.t_s >= begin_s - half_s) & (ours.t_s < end_s - half_s))
    nearest = int(np.argmin(np.abs(ours.t_s - begin_s)))
    first, last = (int(rows[0]), int(rows[-1])) if len(rows) else (nearest, nearest)
    known = distance_mm[first : last + 1][np.isfinite(distance_mm[first : last + 1])]
    return Disagreement(
        kind=kind,
        begin_s=begin_s - float(ours.t_s[0]),
        duration_ms=1e3 * (end_s - begin_s),
        first_frame=int(ours.frames[first]) if len(ours.frames) else first,
        last_frame=int(ours.frames[last]) if len(ours.frames) else last,
        our_reason=ours.reasons[first] if ours.reasons else "",
        distance_mm=float(known.max()) if len(known) else None,
    )


def _part(count: int, of: int) -> float | None:
    return count / of if of else None
