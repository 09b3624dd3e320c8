"""Systematic and random errors of a population, from the error of each of its sessions.

An error is split into the mean of all patients, the deviation of each patient from it, and that of each fraction from
its patient's (van Herk 2004, doi:10.1053/j.semradonc.2003.10.003). Sigma and sigma are the standard deviations of the
last two. The mean of a patient's few fractions still holds some of their random error: the variance components of the
one-way random-effects analysis of variance (Searle, Casella and McCulloch, Variance Components, 1992, chapter 3) take
it out, also where the numbers of fractions differ.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike


class PopulationErrors(Struct, frozen=True, kw_only=True):
    """Errors along one axis, mm; NaN where there are too few patients or fractions to tell."""

    patients: int
    sessions: int
    mean_mm: float
    """Of the patients' means: what is wrong with every patient alike."""
    systematic_mm: float
    """Sigma: standard deviation of the error that is the same in every fraction of a patient."""
    systematic_se_mm: float
    """Standard error of Sigma that follows from the number of patients."""
    random_mm: float
    """sigma: standard deviation of the error that is another in each fraction."""
    random_se_mm: float


def population_errors(patients: Sequence[str], error_mm: ArrayLike) -> PopulationErrors:
    """Return the errors of a population. Sessions with an unknown error, or of an unknown patient (""), are left out.

    Parameters
    ----------
    patients
        Whose session it was, for each of n sessions.
    error_mm
        (n,) error of each session; NaN if unknown.
    """
    values = np.asarray(error_mm, np.float64)
    whose = np.asarray(patients, np.str_)
    known = np.isfinite(values) & (whose != "")
    values = values[known]
    _, index, counts = np.unique(whose[known], return_inverse=True, return_counts=True)
    groups, total = len(counts), len(values)
    means = np.bincount(index, values, groups) / counts if groups else np.empty(0)
    unknown = float("nan")
    within = unknown
    if total > groups:
        within = float(((values - means[index]) ** 2).sum()) / (total - groups)
    systematic = systematic_se = unknown
    if groups > 1 and total > groups:
        size = (total - float((counts**2).sum()) / total) / (groups - 1)
        between = float((counts * (means - values.mean()) ** 2).sum()) / (groups - 1)
        variance = max(0.0, (between - within) / size)
        systematic = variance**0.5
        spread = (2 * (between**2 / (groups - 1) + within**2 / (total - groups))) ** 0.5 / size
        systematic_se = spread / (2 * systematic) if systematic > 0 else spread**0.5
    return PopulationErrors(
        patients=groups,
        sessions=total,
        mean_mm=float(means.mean()) if groups else unknown,
        systematic_mm=systematic,
        systematic_se_mm=systematic_se,
        random_mm=within**0.5,
        random_se_mm=(within / (2 * (total - groups))) ** 0.5 if total > groups else unknown,
    )
