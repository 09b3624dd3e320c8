"""The breath-holds of a session: when they were, how well they repeat, and how much of them was used."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from gating.analysis.motion import GatedMotion, inside
from gating.targets.breath_hold import BreathHold
from gating.targets.observation import TargetObservation

_NO_CONTOUR = np.empty((0, 2), np.float32)


class Hold(Struct, frozen=True, kw_only=True):
    """One plateau, as found by the breath-hold rule of the session; mm towards left, posterior, superior.

    NaN along an axis that the plane does not show.
    """

    begin_s: float
    end_s: float
    lr_mm: float
    ap_mm: float
    si_mm: float
    beam_on_s: float


def find_holds(motion: GatedMotion) -> tuple[Hold, ...]:
    """Return the plateaus of a session; none if it has no breath-hold rule."""
    if motion.hold_rule is None:
        return ()
    rule = BreathHold(motion.hold_rule)
    plateaus: dict[float, tuple[float, list[float]]] = {}
    for when_s, away_mm in zip(motion.t_s.tolist(), motion.displacement_mm.tolist(), strict=True):
        now_ns = round(1e9 * when_s)
        rule.update(TargetObservation(now_ns, _NO_CONTOUR, (away_mm[0], away_mm[1], away_mm[2])))
        state = rule.state(now_ns)
        if state.held_s > 0:
            plateaus[round(when_s - state.held_s, 6)] = when_s, np.where(motion.shown, state.shift_mm, np.nan).tolist()
    when_s, _, on = motion.grid()
    step_s = float(when_s[1] - when_s[0]) if len(when_s) > 1 else 0.0
    return tuple(
        Hold(
            begin_s=begin_s,
            end_s=end_s,
            lr_mm=lr,
            ap_mm=ap,
            si_mm=si,
            beam_on_s=step_s * float(on[inside(when_s, np.array([[begin_s, end_s]]))].sum()),
        )
        for begin_s, (end_s, (lr, ap, si)) in plateaus.items()
    )


def hold_to_hold_mm(holds: Sequence[Hold]) -> float:
    """Return how well holds repeat: the root of the summed variances of their positions; NaN for fewer than two.

    An axis along which nothing is known is left out.
    """
    if len(holds) < 2:
        return float("nan")
    places = np.array([(hold.lr_mm, hold.ap_mm, hold.si_mm) for hold in holds])
    return float(np.sqrt(np.nansum(places.var(axis=0, ddof=1))))
