"""The couch shift that would bring a target back whose baseline has shifted.

A shift is only proposed, and a named operator accepts it. Window and template never move by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gating.analysis.drift import WINDOW_S, BaselineShift, baseline_shift
from gating.analysis.unknown import number

PATIENT_TO_IEC: Final = {"HFS": (1, 1, 1), "HFP": (-1, 1, -1), "FFS": (-1, -1, 1), "FFP": (1, -1, -1)}
"""Signs of IEC 61217 fixed X, Y, Z along patient left, superior, anterior, by patient position (DICOM C.7.3.1.1.2)."""


@dataclass(frozen=True, slots=True)
class CouchShift:
    """A proposed couch shift, and what it would change.

    Attributes
    ----------
    iec_mm
        IEC 61217 fixed X, Y, Z (for a head-first supine patient: left, towards the gantry, up); NaN along an axis that
        was not measured.
    baseline
        The baseline shift that it corrects.
    duty_before, duty_after
        Fraction of the latest time with the centre inside the window, without and with the couch shift.
    worthwhile
        Whether it exceeds twice its uncertainty on some axis and brings the centre into the window more often.
    text
        The proposal as one sentence.
    """

    iec_mm: tuple[float, float, float]
    baseline: BaselineShift
    duty_before: float
    duty_after: float
    worthwhile: bool
    text: str

    @property
    def plan_iec_mm(self) -> tuple[float, float, float]:
        """Return the shift of the plan that does the same: it follows the target, so that its signs are opposite.

        For a machine whose couch does not move in the treatment position, as at 1.5 T, where the isocentre of the plan
        is updated instead; at 0.35 T the couch moves (doi:10.1186/s13014-021-01910-6).
        """
        x, y, z = (-mm + 0.0 for mm in self.iec_mm)
        return x, y, z


def propose_shift(
    t_s: NDArray[np.float64],
    displacement_mm: NDArray[np.float64],
    window_mm: tuple[float, float, float],
    *,
    exhale_mm: NDArray[np.float64] | None = None,
    patient_position: str = "HFS",
    window_s: float = WINDOW_S,
    shown: tuple[bool, bool, bool] = (True, True, True),
) -> CouchShift | None:
    """Return the couch shift that brings the latest baseline back to where it belongs; None if too little is known.

    Parameters
    ----------
    t_s, displacement_mm
        Latest motion, (n,) and (n, 3) LPS relative to the reference frame.
    window_mm
        Half width of the gating window, LR, AP, SI.
    exhale_mm
        (3,) LPS, where the exhale belongs relative to the reference frame; at the reference if not given.
    patient_position
        "HFS", "HFP", "FFS" or "FFP".
    window_s
        Time over which a position is averaged.
    shown
        Whether LR, AP, SI was measured. The shift along an axis that was not is unknown, not 0.

    Raises
    ------
    ValueError
        If the patient position is not one of these.
    """
    if patient_position not in PATIENT_TO_IEC:
        raise ValueError(f"patient position is {patient_position!r}; HFS, HFP, FFS or FFP is needed")
    belongs = np.zeros(3) if exhale_mm is None else exhale_mm
    baseline = baseline_shift(t_s, displacement_mm, reference_mm=belongs, window_s=window_s)
    if baseline is None:
        return None
    recent = displacement_mm[t_s >= t_s[-1] - window_s]
    before, after = (
        float((np.abs(p - belongs) <= np.array(window_mm)).all(axis=1).mean())
        for p in (recent, recent - baseline.shift_mm)
    )
    baseline = _measured(baseline, shown)
    left, posterior, superior = (-baseline.shift_mm).tolist()
    signs = PATIENT_TO_IEC[patient_position]
    iec = (signs[0] * left, signs[1] * superior, -signs[2] * posterior)
    worthwhile = bool((np.abs(baseline.shift_mm) > 2 * baseline.uncertainty_mm).any()) and after > before
    x, y, z = (number(round(mm, 1) + 0.0, sign=True) for mm in iec)
    kind = "proposed couch shift" if worthwhile else "no couch shift is worthwhile:"
    text = (
        f"{kind} X {x} Y {y} Z {z} mm (IEC 61217, {patient_position}), uncertainty "
        f"{float(np.nanmax(baseline.uncertainty_mm)):.1f} mm: "
        f"centre in window {100 * before:.0f} % of the time now, {100 * after:.0f} % then"
    )
    return CouchShift(iec, baseline, before, after, worthwhile, text)


def _measured(baseline: BaselineShift, shown: tuple[bool, bool, bool]) -> BaselineShift:
    """Return a shift that is unknown, not 0, along an axis that was not measured."""
    return BaselineShift(
        np.where(shown, baseline.shift_mm, np.nan),
        np.where(shown, baseline.speed_mm_min, np.nan),
        np.where(shown, baseline.uncertainty_mm, np.nan),
        baseline.breaths,
    )
