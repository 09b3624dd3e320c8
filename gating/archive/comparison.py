"""Groups of sessions side by side: what gating left of the motion, and which margin that needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, get_args

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gating.analysis.margin_recipe import MarginRecipe
from gating.analysis.population import PopulationErrors, population_errors

By = Literal["all", "strategy", "version", "patient", "fraction", "site", "tracker", "config_hash", "target", "month"]
GROUPINGS: Final[tuple[By, ...]] = get_args(By)
AXES: Final = ("lr", "ap", "si")


class AxisErrors(Struct, frozen=True, kw_only=True):
    """Errors of a group along one axis, and the margin for them."""

    axis: str
    gated: PopulationErrors
    """Of the mean position while the beam was on, from the middle of the window."""
    free: PopulationErrors
    """Of the mean position over the whole session: as it would be without gating."""
    blur_mm: float
    """Root mean square of the sessions' standard deviations while the beam was on."""
    margin_mm: float
    """For the gated errors and the blur alone (`gating.analysis.margin_recipe`): nothing else that a margin is for."""


class Group(Struct, frozen=True, kw_only=True):
    """The sessions that have one value; medians and quartiles are of their targets."""

    value: str
    sessions: int
    patients: int
    """With a label; 0 if none has one."""
    duty_cycle: tuple[float, float, float]
    """Lower quartile, median, upper quartile; NaN if nothing is known."""
    residual_p95_mm: tuple[float, float, float]
    free_p95_mm: tuple[float, float, float]
    axes: tuple[AxisErrors, ...]
    """Those that some plane showed."""


def compare(targets: Sequence[dict[str, Any]], by: By, recipe: MarginRecipe | None = None) -> list[Group]:
    """Return the groups of a comparison, in the order of their values.

    Parameters
    ----------
    targets
        Rows of `Database.targets`.
    by
        What the groups differ in.
    recipe
        For the margins; by default that for many fractions.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in targets:
        for value in _values(row, by):
            groups.setdefault(value, []).append(row)
    return [_group(value, groups[value], recipe or MarginRecipe()) for value in sorted(groups)]


def _values(row: dict[str, Any], by: By) -> list[str]:
    """Return the groups that a row belongs to; one of two sites belongs to both."""
    if by == "all":
        return ["all"]
    if by == "site":
        return row["sites"] or [""]
    if by == "month":
        return ["" if row["started_utc"] is None else f"{row['started_utc']:%Y-%m}"]
    return [row[by] or ""]


def _group(value: str, rows: Sequence[dict[str, Any]], recipe: MarginRecipe) -> Group:
    axes = [axis for axis in AXES if any(row[f"{axis}_shown"] for row in rows)]
    return Group(
        value=value,
        sessions=len({row["log"] for row in rows}),
        patients=len({row["patient"] for row in rows} - {None}),
        duty_cycle=_quartiles(rows, "duty_cycle"),
        residual_p95_mm=_quartiles(rows, "residual_p95_mm"),
        free_p95_mm=_quartiles(rows, "free_p95_mm"),
        axes=tuple(_axis(axis, rows, recipe) for axis in axes),
    )


def _axis(axis: str, rows: Sequence[dict[str, Any]], recipe: MarginRecipe) -> AxisErrors:
    whose = [f"{row['patient']} {row['target']}" if row["patient"] else "" for row in rows]
    gated, free = (population_errors(whose, _column(rows, f"{axis}_{name}")) for name in ("mean_mm", "free_mean_mm"))
    blur = _column(rows, f"{axis}_sd_mm")
    blur = blur[np.isfinite(blur)]
    blur_mm = float(np.sqrt(np.mean(blur**2))) if len(blur) else float("nan")
    known = np.isfinite([gated.systematic_mm, gated.random_mm, blur_mm]).all()
    margin_mm = recipe.margin_mm(gated.systematic_mm, gated.random_mm, blur_mm) if known else float("nan")
    return AxisErrors(axis=axis.upper(), gated=gated, free=free, blur_mm=blur_mm, margin_mm=margin_mm)


def _column(rows: Sequence[dict[str, Any]], name: str) -> NDArray[np.float64]:
    return np.array([row[name] for row in rows], np.float64)


def _quartiles(rows: Sequence[dict[str, Any]], name: str) -> tuple[float, float, float]:
    values = _column(rows, name)
    values = values[np.isfinite(values)]
    low, middle, high = np.percentile(values, (25, 50, 75)).tolist() if len(values) else [float("nan")] * 3
    return low, middle, high
