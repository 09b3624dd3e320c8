"""Biologically effective dose, isotoxic scaling, and the size criteria of MAESTRO. Arithmetic, not advice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct

WELL_FOUNDED_GY: Final = 10.0
MOST_GY: Final = 18.0
"""Dose per fraction up to which the linear-quadratic model is reasonably well validated, and up to which it is
reasonable: Brenner 2008, PMC2750078. Kirkpatrick et al. 2008 (doi:10.1016/j.semradonc.2008.04.005) find it
inappropriate for radiosurgery altogether."""


class OrganAtRisk(Struct, frozen=True, kw_only=True):
    """What an organ receives in a plan, and what it may receive, per fraction."""

    name: str
    dose_gy: float
    limit_gy: float


def bed_gy(fractions: int, dose_gy: float, alpha_beta_gy: float = 10.0) -> float:
    """Return n d (1 + d / (alpha/beta)), Gy. Source: Fowler 1989, doi:10.1259/0007-1285-62-740-679.

    Parameters
    ----------
    fractions
        Number of fractions, 1 or more.
    dose_gy
        Dose per fraction, 0 or more.
    alpha_beta_gy
        Above 0; by convention 10 Gy for tumours and 3 Gy for late-responding tissue.

    Raises
    ------
    ValueError
        If a value is out of its range.
    """
    if not (fractions >= 1 and dose_gy >= 0 and alpha_beta_gy > 0):
        raise ValueError(
            f"BED of {fractions} x {dose_gy} Gy, alpha/beta {alpha_beta_gy} Gy: 1 or more fractions, doses of 0 Gy or "
            f"more and an alpha/beta above 0 Gy are needed"
        )
    return fractions * dose_gy * (1 + dose_gy / alpha_beta_gy)


def dose_for_bed_gy(bed: float, fractions: int, alpha_beta_gy: float = 10.0) -> float:
    """Return the dose per fraction that gives a BED, Gy: the positive root of n d (1 + d / (alpha/beta)) = BED."""
    half = alpha_beta_gy / 2
    return float(np.sqrt(half**2 + bed / fractions * alpha_beta_gy) - half)


def isotoxic_dose_gy(dose_gy: float, organ_dose_gy: float, organ_limit_gy: float) -> float:
    """Return the target dose per fraction at which an organ just reaches its limit, if the whole plan is scaled.

    Parameters
    ----------
    dose_gy
        Planned dose per fraction to the target.
    organ_dose_gy
        Dose per fraction to the organ at risk in that plan.
    organ_limit_gy
        Largest dose per fraction to that organ.

    Raises
    ------
    ValueError
        If the organ's dose or its limit is not above 0.
    """
    if not (organ_dose_gy > 0 and organ_limit_gy > 0):
        raise ValueError(f"organ dose is {organ_dose_gy} Gy, its limit {organ_limit_gy} Gy; both must be above 0 Gy")
    return dose_gy * organ_limit_gy / organ_dose_gy


def isotoxic(dose_gy: float, organs: Sequence[OrganAtRisk], isodose: float = 1.0) -> tuple[float, str]:
    """Return the largest target dose per fraction that all organs allow, and what limits it.

    Parameters
    ----------
    dose_gy
        Planned dose per fraction to the target.
    organs
        One or more; the whole plan is scaled until the first is at its limit.
    isodose
        Isodose to which the dose is prescribed, as a fraction of the maximum. The maximum is kept within `MOST_GY`,
        beyond which the linear-quadratic model says nothing.

    Raises
    ------
    ValueError
        If there is no organ, or a dose or limit is not above 0.
    """
    if not organs:
        raise ValueError("no organ at risk was given; one or more are needed to scale by")
    allowed = [(isotoxic_dose_gy(dose_gy, one.dose_gy, one.limit_gy), one) for one in organs]
    least_gy, first = min(allowed, key=lambda pair: pair[0])
    if maximum_gy(least_gy, isodose) > MOST_GY:
        return MOST_GY * isodose, f"the linear-quadratic model ({MOST_GY:g} Gy per fraction at the maximum), no organ"
    return least_gy, f"{first.name} ({first.limit_gy:g} Gy per fraction)"


def maximum_gy(dose_gy: float, isodose: float) -> float:
    """Return the dose at the maximum of a plan that prescribes a dose to an isodose (fraction of the maximum).

    Raises
    ------
    ValueError
        If the isodose is not above 0 and at most 1.
    """
    if not 0 < isodose <= 1:
        raise ValueError(f"isodose is {isodose}; above 0 and at most 1 is needed")
    return dose_gy / isodose


def maestro_objection(diameters_cm: Sequence[float]) -> str:
    """Return why a set of liver metastases fails the size criteria of MAESTRO; empty if it meets them.

    1 to 3 lesions, each at most 5 cm; three of them at most 12 cm together (doi:10.1186/s13014-022-02033-2).
    """
    if not 1 <= len(diameters_cm) <= 3:
        return f"{len(diameters_cm)} lesions; 1 to 3 are eligible"
    if not max(diameters_cm) <= 5.0:
        return f"largest lesion {max(diameters_cm):g} cm; at most 5 cm are eligible"
    if len(diameters_cm) == 3 and not sum(diameters_cm) <= 12.0:
        return f"three lesions of {sum(diameters_cm):g} cm together; at most 12 cm are eligible"
    return ""
