"""Which way the couch or the plan's isocentre must move for a target that is not where it was planned."""

from __future__ import annotations

from collections.abc import Sequence

from gating.analysis.couch_shift import PATIENT_TO_IEC

IecMm = tuple[float, float, float]


def couch_shift_iec_mm(target_shift_lps_mm: Sequence[float], patient_position: str) -> IecMm:
    """Return the couch shift that takes a target back to where it was planned, IEC 61217 X, Y, Z, mm.

    Parameters
    ----------
    target_shift_lps_mm
        How far the target lies from its place in the plan, towards left, posterior, superior.
    patient_position
        "HFS", "HFP", "FFS" or "FFP" (DICOM C.7.3.1.1.2).

    Raises
    ------
    ValueError
        If the patient position is none of these.
    """
    if patient_position not in PATIENT_TO_IEC:
        raise ValueError(f"patient position is {patient_position!r}; HFS, HFP, FFS or FFP is needed")
    signs = PATIENT_TO_IEC[patient_position]
    left, posterior, superior = target_shift_lps_mm
    return -signs[0] * left, -signs[1] * superior, signs[2] * posterior


def isocentre_shift_iec_mm(target_shift_lps_mm: Sequence[float], patient_position: str) -> IecMm:
    """Return how far the plan's isocentre must follow a target instead, IEC 61217 X, Y, Z, mm: the opposite way.

    At 1.5 T the couch does not move during treatment, and the plan is adapted to the position: Winkel et al. 2019,
    doi:10.1016/j.ctro.2019.04.001.
    """
    x, y, z = couch_shift_iec_mm(target_shift_lps_mm, patient_position)
    return -x, -y, -z
