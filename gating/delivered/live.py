"""The dose of a session while it runs: one target, frame by frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gating.delivered.deliveries import DosePlan
from gating.delivered.dose_cloud import DoseArray, add_moved, motion_kernel
from gating.delivered.dvh import DoseFigures, OnGrid, StructurePoints


class LiveDose:
    """Adds up the dose that a target receives.

    Parameters
    ----------
    plan
        The planned dose; its parts count as one.
    structure
        The target.
    beam_on_s
        Time with beam in which the whole plan is delivered.
    prescribed_gy
        Prescribed dose, for V100.

    Raises
    ------
    ValueError
        If the grid holds nothing of the target, or `beam_on_s` is not above 0.
    """

    def __init__(
        self, plan: DosePlan, structure: StructurePoints, beam_on_s: float, prescribed_gy: float | None = None
    ) -> None:
        if not beam_on_s > 0:
            raise ValueError(f"beam_on_s is {beam_on_s:g}; a time above 0 is needed")
        self._plan, self._beam_on_s, self._prescribed_gy = plan, beam_on_s, prescribed_gy
        self._target = OnGrid(structure, plan.grid)
        self.received: DoseArray = np.zeros([one.stop - one.start for one in self._target.box], np.float32)
        """In the target's box of the grid, Gy."""

    def add(self, displacement_mm: ArrayLike, beam_s: float) -> None:
        """Add a frame.

        Parameters
        ----------
        displacement_mm
            (3,) LPS, of the target from where the dose is planned.
        beam_s
            Time with beam since the last frame.

        Raises
        ------
        ValueError
            If the displacement or the time is not finite.
        """
        away: NDArray[np.float64] = np.asarray(displacement_mm, float).reshape(1, 3)
        if not (np.isfinite(away).all() and 0 <= beam_s < float("inf")):
            raise ValueError(f"displacement {away[0].tolist()} mm for {beam_s:g} s; finite numbers are needed")
        if beam_s > 0:
            kernel = motion_kernel(self._plan.grid, away, np.ones(1), beam_s / self._beam_on_s)
            add_moved(self.received, self._plan.total, kernel, self._target.box)

    def figures(self) -> DoseFigures:
        """Return the dose to the target until now."""
        return self._target.figures(self.received, self._prescribed_gy)
