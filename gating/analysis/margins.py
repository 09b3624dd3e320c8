"""Gating compared with an ITV: the margins that each needs for the motion of a session, and the resulting PTV."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gating.analysis.definitions import duty_cycle, residual_mm
from gating.analysis.four_d import ten_phases
from gating.analysis.margin_recipe import MarginRecipe
from gating.analysis.motion import GatedMotion
from gating.analysis.uncertainty import Arm, Kind, Uncertainty, root_sums_mm
from gating.geometry.contours import mask_from_contour
from gating.geometry.plane import ImagePlane

AXES: Final = ("LR", "AP", "SI")
BEFORE_TREATMENT_S: Final = 30.0
"""Beginning of a session that stands for the 4D-CT before a treatment; half of a session shorter than twice this."""


class AxisMargins(Struct, frozen=True, kw_only=True):
    """Margins along one axis, mm."""

    axis: str
    motion_mm: float
    """Range of the motion over the whole session."""
    itv_motion_mm: float
    """Range of the ten phases before the treatment, by which the ITV is longer than the target."""
    beyond_itv_mm: float
    """Mean of the motion beyond the ITV during the treatment: a systematic part of its margin."""
    beyond_itv_sd_mm: float
    free_sd_mm: float
    """Standard deviation of the motion during the treatment."""
    baseline_mm: float
    """Mean position during the treatment, from that of the ten phases: a systematic part of mid-position's margin."""
    gated_sd_mm: float
    gated_offset_mm: float
    """Mean position while the beam was on, from the middle of the window: a systematic part of the gated margin."""
    latency_sd_mm: float
    """Latency times speed if the beam times do not include the latency; otherwise 0."""
    itv_margin_mm: float
    mid_position_margin_mm: float
    gated_margin_mm: float


class GatedVersusItv(Struct, frozen=True, kw_only=True):
    """The margins and volumes that the motion of one session requires with an ITV, with mid-position and with gating.

    Volumes are those of an ellipsoid: the equivalent radius of the target plus the margins of each axis, estimated from
    one plane. An axis that the plane does not show counts as still, so its motion is missing from all volumes.
    """

    target: str
    radius_mm: float
    duty_cycle: float
    """During the treatment."""
    before_s: float
    """Length of the time that stands for the 4D-CT."""
    breaths: int
    """Number of breaths in the ten phases; 0 if there were fewer than two, and the ITV holds the whole range."""
    axes: tuple[AxisMargins, ...]
    itv_ptv_cm3: float
    mid_position_ptv_cm3: float
    gated_ptv_cm3: float
    gated_over_itv: float
    recipe: MarginRecipe
    table: tuple[Uncertainty, ...]
    arms: dict[Arm, dict[Kind, float]]
    """Standard deviation of each kind of error, mm, by arm."""


def gated_versus_itv(
    motion: GatedMotion,
    radius_mm: float,
    table: Sequence[Uncertainty],
    *,
    recipe: MarginRecipe | None = None,
    latency_ms: float = 0.0,
) -> GatedVersusItv:
    """Compare the plans for one target.

    The ITV is made as before a treatment, from the mean breath of the session's beginning in ten phases, and all plans
    are then judged on the rest of the session.

    Parameters
    ----------
    motion
        Motion of the session; its beam times determine the residual motion.
    radius_mm
        Radius of a circle with the target's area.
    table
        Uncertainties: `default_table`, or the site's own.
    recipe
        From standard deviations to margins; that of van Herk et al. 2000 by default.
    latency_ms
        Latency that `motion.beam_s` does not include. The motion within it is added to the uncertainties of gating.

    Raises
    ------
    ValueError
        If the target was never found.
    """
    recipe = recipe or MarginRecipe()
    if not np.isfinite(motion.displacement_mm).all(axis=1).any():
        raise ValueError(f"{motion.target} was never found; there is no motion to compare plans for")
    before_s = min(BEFORE_TREATMENT_S, motion.duration_s / 2)
    begin_s = motion.span_s[0] + before_s
    treated = motion.since(begin_s)
    when_s, away_mm, _ = motion.grid()
    known = np.isfinite(away_mm).all(axis=1)
    before, free = known & (when_s < begin_s), away_mm[known & (when_s >= begin_s)]
    if not before.any() or not len(free):
        raise ValueError(f"{motion.target} was not found before and after {before_s:.0f} s; both are needed to compare")
    phases, gated = ten_phases(when_s[before], away_mm[before]), residual_mm(treated)
    speed_mm_s = _speed_mm_s(motion) if latency_ms > 0 else np.zeros(3)
    axes = tuple(
        _axis_margins(axis, phases.mean_mm[:, k], free[:, k], gated[:, k], late_mm, table, recipe)
        for k, (axis, late_mm) in enumerate(zip(AXES, (latency_ms / 1e3 * speed_mm_s).tolist(), strict=True))
    )
    volumes = [
        _ellipsoid_cm3(radius_mm, [getattr(axis, field) for axis in axes])
        for field in ("itv_margin_mm", "mid_position_margin_mm", "gated_margin_mm")
    ]
    return GatedVersusItv(
        target=motion.target,
        radius_mm=radius_mm,
        duty_cycle=duty_cycle(treated.beam_s, treated.span_s),
        before_s=before_s,
        breaths=phases.breaths,
        axes=axes,
        itv_ptv_cm3=volumes[0],
        mid_position_ptv_cm3=volumes[1],
        gated_ptv_cm3=volumes[2],
        gated_over_itv=volumes[2] / volumes[0],
        recipe=recipe,
        table=tuple(table),
        arms={"gated": root_sums_mm(table, "gated"), "ungated": root_sums_mm(table, "ungated")},
    )


def _axis_margins(
    axis: str,
    phases: NDArray[np.float64],
    free: NDArray[np.float64],
    gated: NDArray[np.float64],
    late_mm: float,
    table: Sequence[Uncertainty],
    recipe: MarginRecipe,
) -> AxisMargins:
    """Return the margins of one axis from the phases before, all positions during the treatment, and the gated ones."""
    beyond = free - free.clip(phases.min(), phases.max())
    baseline = float(free.mean() - phases.mean())
    offset = float(gated.mean()) if len(gated) else float("nan")
    gated_sd = float(gated.std()) if len(gated) else float("nan")

    def margin_mm(arm: Arm, *blurs_mm: float) -> float:
        sums = root_sums_mm(table, arm)
        blur_mm = float(np.linalg.norm([sums["intrafraction"], *blurs_mm]))
        return recipe.margin_mm(sums["systematic"], sums["random"], blur_mm)

    half_mm = float(np.ptp(phases)) / 2
    return AxisMargins(
        axis=axis,
        motion_mm=float(max(free.max(), phases.max()) - min(free.min(), phases.min())),
        itv_motion_mm=2 * half_mm,
        beyond_itv_mm=float(beyond.mean()),
        beyond_itv_sd_mm=float(beyond.std()),
        free_sd_mm=float(free.std()),
        baseline_mm=baseline,
        gated_sd_mm=gated_sd,
        gated_offset_mm=offset,
        latency_sd_mm=late_mm,
        itv_margin_mm=half_mm + abs(float(beyond.mean())) + margin_mm("ungated", float(beyond.std())),
        mid_position_margin_mm=abs(baseline) + margin_mm("ungated", float(free.std())),
        gated_margin_mm=abs(offset) + margin_mm("gated", late_mm, gated_sd) if len(gated) else float("nan"),
    )


class PlaneAreas(Struct, frozen=True, kw_only=True):
    """Areas in the image plane, mm2: of the target, and of its places over the session and while the beam was on."""

    target_mm2: float
    itv_mm2: float
    """Union of the target over its motion: the ITV in the plane."""
    gated_mm2: float
    """Union of the target over its residual motion; NaN if the beam was never on."""


def plane_areas(motion: GatedMotion, contour_px: NDArray[np.floating], plane: ImagePlane) -> PlaneAreas:
    """Return the areas from the reference contour, moved as the target moved."""
    _, away_mm, on = motion.grid()
    row_mm, column_mm = plane.spacing_mm
    shift_px = np.stack([away_mm @ plane.along_columns / column_mm, away_mm @ plane.along_rows / row_mm], axis=1)
    found = np.isfinite(shift_px).all(axis=1)
    area, itv = union_area_mm2(contour_px, shift_px[found], plane.spacing_mm)
    gated = union_area_mm2(contour_px, shift_px[found & on], plane.spacing_mm)[1] if (found & on).any() else np.nan
    return PlaneAreas(target_mm2=area, itv_mm2=itv, gated_mm2=float(gated))


def union_area_mm2(
    contour_px: NDArray[np.floating],
    shift_px: NDArray[np.float64],
    spacing_mm: tuple[float, float],
    cells_per_px: int = 4,
) -> tuple[float, float]:
    """Return the area of a target, and of the union of all its places: the ITV in the plane.

    Parameters
    ----------
    contour_px
        (n, 2) of (x, y), closed implicitly.
    shift_px
        (m, 2) displacements of the contour; rows with NaN are left out.
    spacing_mm
        (row, column) pixel spacing.
    cells_per_px
        Cells per pixel and axis in which areas are counted.
    """
    known = shift_px[np.isfinite(shift_px).all(axis=1)]
    cells = np.unique(np.rint(known * cells_per_px).astype(int), axis=0)
    base = np.asarray(contour_px, float) * cells_per_px
    low = np.floor(base.min(axis=0)).astype(int) + cells.min(axis=0) - 1
    high = np.ceil(base.max(axis=0)).astype(int) + cells.max(axis=0) + 1
    columns, rows = (high - low + 1).tolist()
    union = np.zeros((rows, columns), bool)
    still = mask_from_contour(base - low, (rows, columns))
    for x, y in cells.tolist():
        union |= mask_from_contour(base - low + (x, y), (rows, columns))
    cell_mm2 = spacing_mm[0] * spacing_mm[1] / cells_per_px**2
    return float(still.sum() * cell_mm2), float(union.sum() * cell_mm2)


def _speed_mm_s(motion: GatedMotion) -> NDArray[np.float64]:
    """Return the root mean square speed per axis at the times when the gate changed."""
    changed = np.flatnonzero(np.diff(motion.gate_on.astype(int))) + 1
    steps_s = np.diff(motion.t_s)
    velocity = np.diff(motion.displacement_mm, axis=0) / steps_s[:, None]
    chosen = velocity[changed - 1] if len(changed) else velocity
    mean_square: NDArray[np.float64] = np.nanmean(chosen**2, axis=0)
    return np.sqrt(mean_square)


def _ellipsoid_cm3(radius_mm: float, margins_mm: list[float]) -> float:
    return float(4 / 3 * np.pi * np.prod([radius_mm + margin for margin in margins_mm]) / 1000)
