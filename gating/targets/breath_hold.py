"""The breath-hold: beam in plateaus that repeat the reference position. Pure: time is an argument."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gating.decision.reasons import GateReason
from gating.settings.rules import BreathHoldRule
from gating.targets.observation import TargetObservation, length_mm


@dataclass(frozen=True, slots=True)
class BreathHoldState:
    """The progress of a breath-hold.

    Attributes
    ----------
    held_s
        Time since the plateau began; 0 while breathing.
    left_s
        Time left until the longest hold is reached; the longest hold while breathing.
    shift_mm
        Array (3,): shift of the plateau from the reference, LPS; NaN while breathing.
    """

    held_s: float
    left_s: float
    shift_mm: NDArray[np.float64]


class BreathHold:
    """Permits beam only in plateaus that repeat the reference position.

    A plateau is a period of `plateau_s` or more in which the centre moves by at most `flat_mm`; it ends with the first
    observation outside that range. Sources: repeated breath-holds gated on cine MRI, Lamb et al. 2017, PMC5689863.
    The defaults are those of one example, figure 2 of doi:10.1186/s13014-015-0383-y (breast, deep inhale, an external
    signal): the curve stabilises within a few seconds, typically 2, and in that case limits of +-2.5 mm were chosen
    around the reference level. No rule is drawn from it there.
    """

    reason = GateReason.NOT_HELD

    def __init__(self, settings: BreathHoldRule) -> None:
        self._settings = settings
        self._still: deque[tuple[int, NDArray[np.float64]]] = deque()
        self._began_ns: int | None = None
        """Time of the first observation of the plateau."""
        self._low = self._high = np.zeros(3)
        self._bound_mm = 0.0

    def update(self, observation: TargetObservation) -> None:
        """Extend the present plateau, or look for a new one."""
        here = np.array(observation.displacement_mm)
        self._bound_mm = length_mm(observation.bound_mm or 0.0)
        if not np.isfinite(here).all():
            self._still.clear()
            self._began_ns = None
            return
        if self._began_ns is not None:
            self._low, self._high = np.minimum(self._low, here), np.maximum(self._high, here)
            if (self._high - self._low).max() <= self._settings.flat_mm:
                return
            self._began_ns = None
            self._still.clear()
        self._still.append((observation.at_ns, here))
        positions = np.array([position for _, position in self._still])
        while np.ptp(positions, axis=0).max() > self._settings.flat_mm:
            self._still.popleft()
            positions = positions[1:]
        if observation.at_ns - self._still[0][0] >= self._settings.plateau_s * 1e9:
            self._began_ns = self._still[0][0]
            self._low, self._high = positions.min(axis=0), positions.max(axis=0)

    def state(self, now_ns: int) -> BreathHoldState:
        """Return the progress of the breath-hold, for the display and for guiding the patient."""
        longest_s = self._settings.max_hold_s
        if self._began_ns is None:
            return BreathHoldState(0.0, longest_s, np.full(3, np.nan))
        held_s = (now_ns - self._began_ns) / 1e9
        return BreathHoldState(held_s, longest_s - held_s, (self._low + self._high) / 2)

    def violation(self, now_ns: int) -> str:
        """Return a phrase if there is no plateau, it is in the wrong place, or it lasts too long; empty otherwise."""
        settings, state = self._settings, self.state(now_ns)
        if self._began_ns is None:
            return f"no plateau of {settings.plateau_s:g} s yet"
        away_mm = length_mm(state.shift_mm)
        if not (away_mm + self._bound_mm <= settings.reproducibility_mm):
            within = f" +- {self._bound_mm:.1f}" if self._bound_mm else ""
            limit = f"the limit is {settings.reproducibility_mm:g} mm"
            return f"hold is {away_mm:.1f}{within} mm from the reference, {limit}"
        return "" if state.left_s > 0 else f"hold lasts {state.held_s:.0f} s, the limit is {settings.max_hold_s:g} s"
