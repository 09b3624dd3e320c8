"""What the person who accepts a memory must know of the preparation it was learned from."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from gating.tracking.confidence import LEAST_CARRIED_FIT, LEAST_REST_SCORE_PREPARED
from gating.tracking.layers import LARGEST_GROWTH
from gating.tracking.memory import KeyFrame

Series = NDArray[np.float64]

LEAST_S: Final = 30.0
UNFIT_SHARE: Final = 0.1
HOLD_S, HOLD_FLAT_MM, HOLD_BEYOND, LONG_HOLD_S = 4.0, 3.0, 1.3, 8.0
"""A breath-hold: this long, this flat, and this many times the span of quiet breathing from rest; or very long."""


def remarks(
    rest_score: float, time_s: Series, excursion_mm: Series, believed: NDArray[np.bool_], keys: tuple[KeyFrame, ...]
) -> tuple[str, ...]:
    """Return what must be known before the memory is accepted."""
    found = []
    if not rest_score >= LEAST_REST_SCORE_PREPARED:
        found.append(
            "the target cannot be tracked confidently: at rest it looks like the reference with ZNCC "
            f"{rest_score:.2f}; {LEAST_REST_SCORE_PREPARED:g} is the limit"
        )
    seconds = float(time_s[-1])
    if not seconds >= LEAST_S:
        found.append(f"the preparation lasts {seconds:.0f} s; {LEAST_S:g} s or more are advised")
    unfit = int(np.count_nonzero(~believed))
    if unfit > UNFIT_SHARE * len(believed):
        found.append(f"the contour could not be carried surely to {unfit} of {len(believed)} frames")
    unsure = [str(key.number) for key in keys if not key.fit >= LEAST_CARRIED_FIT]
    if unsure:
        found.append(
            f"the contour was not surely carried to key frames {', '.join(unsure)}; frames that look like them are "
            "doubted until a person has accepted or corrected it"
        )
    if not has_hold(time_s, excursion_mm):
        found.append(
            "no breath-hold is in the preparation: the target was never still beyond quiet breathing for "
            f"{HOLD_S:g} s; if one will be treated, prepare again with it, or its frames will be doubted"
        )
    return tuple(found)


def layer_remarks(growth: float | None) -> tuple[str, ...]:
    """Return what must be known of a moving layer that moves `growth` times as far as claimed; advice, not a veto."""
    if growth is None or not growth > LARGEST_GROWTH:
        return ()
    return (
        f"what moves in and around the target moves {growth:.1f} times as far as the target is followed: a pattern "
        "fixed in the image may hold it, or tissue that does not move with the rest; check the key frames farthest off",
    )


def has_hold(time_s: Series, excursion_mm: Series) -> bool:
    """Return whether the target stood still, well away from where quiet breathing takes it or for very long."""
    held = np.zeros(len(time_s), bool)
    for first in range(len(time_s)):
        last = first
        while last + 1 < len(time_s) and np.ptp(excursion_mm[first : last + 2]) <= HOLD_FLAT_MM:
            last += 1
        seconds = time_s[last] - time_s[first]
        if seconds >= LONG_HOLD_S:
            return True
        if seconds >= HOLD_S:
            held[first : last + 1] = True
    if not held.any() or held.all():
        return False
    rest, deepest = np.percentile(excursion_mm[~held], [10, 90])
    beyond = HOLD_BEYOND * max(float(deepest - rest), HOLD_FLAT_MM)
    return bool((np.abs(excursion_mm[held] - rest) >= beyond).any())
