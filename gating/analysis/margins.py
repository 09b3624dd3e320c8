"""Gating compared with an ITV: the margins that each needs for the motion of a session, and the resulting PTV."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gating.analysis.definitions import duty_cycle, residual_mm
from gating.analysis.motion import GatedMotion
from gating.analysis.uncertainty import Uncertainty
from gating.geometry.contours import mask_from_contour
from gating.geometry.plane import ImagePlane

AXES: Final = ("LR", "AP", "SI")
PENUMBRA_MM: Final = 3.2


def van_herk_mm(systematic_mm: float, random_mm: float, penumbra_mm: float = PENUMBRA_MM) -> float:
    """Return the CTV-to-PTV margin that gives 90 % of patients at least 95 % of the dose.

    2.5 Sigma + 1.64 (sqrt(sigma^2 + sigma_p^2) - sigma_p). Source: van Herk et al. 2000,
    doi:10.1016/S0360-3016(00)00518-6; the recipe assumes many fractions and a dose normalised to the 95 % isodose.
    """
    return 2.5 * systematic_mm + 1.64 * (float(np.hypot(random_mm, penumbra_mm)) - penumbra_mm)


class AxisMargins(Struct, frozen=True, kw_only=True):
    """Margins along one axis, mm."""

    axis: str
    motion_mm: float
    """Range of the motion over the whole session, by which the ITV is longer than the target."""
    free_sd_mm: float
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
    axes: tuple[AxisMargins, ...]
    itv_ptv_cm3: float
    mid_position_ptv_cm3: float
    gated_ptv_cm3: float
    gated_over_itv: float
    table: tuple[Uncertainty, ...]


def gated_versus_itv(
    motion: GatedMotion, radius_mm: float, table: Sequence[Uncertainty], *, latency_ms: float = 0.0
) -> GatedVersusItv:
    """Compare the plans for one target.

    Parameters
    ----------
    motion
        Motion of the session; its beam times determine the residual motion.
    radius_mm
        Radius of a circle with the target's area.
    table
        Uncertainties: `default_table`, or the site's own.
    latency_ms
        Latency that `motion.beam_s` does not include. The motion within it is added to the uncertainties of gating.

    Raises
    ------
    ValueError
        If the target was never found.
    """
    _, away_mm, _ = motion.grid()
    known = np.isfinite(away_mm).all(axis=1)
    if not known.any():
        raise ValueError(f"{motion.target} was never found; there is no motion to compare plans for")
    free, gated = away_mm[known], residual_mm(motion)
    speed_mm_s = _speed_mm_s(motion) if latency_ms > 0 else np.zeros(3)
    late = [
        Uncertainty(
            name=f"latency {latency_ms:g} ms x speed {axis}",
            sd_mm=latency_ms / 1e3 * float(speed),
            kind="random",
            source="this session",
            gated_only=True,
        )
        for axis, speed in zip(AXES, speed_mm_s, strict=True)
    ]
    axes = [_axis_margins(*one, table) for one in zip(AXES, free.T, gated.T, late, strict=True)]
    volumes = [
        _ellipsoid_cm3(radius_mm, [getattr(axis, field) for axis in axes])
        for field in ("itv_margin_mm", "mid_position_margin_mm", "gated_margin_mm")
    ]
    return GatedVersusItv(
        target=motion.target,
        radius_mm=radius_mm,
        duty_cycle=duty_cycle(motion.beam_s, motion.span_s),
        axes=tuple(axes),
        itv_ptv_cm3=volumes[0],
        mid_position_ptv_cm3=volumes[1],
        gated_ptv_cm3=volumes[2],
        gated_over_itv=volumes[2] / volumes[0],
        table=tuple(table),
    )


def _axis_margins(
    axis: str, free: NDArray[np.float64], gated: NDArray[np.float64], late: Uncertainty, table: Sequence[Uncertainty]
) -> AxisMargins:
    """Return the margins of one axis from all positions, those while the beam was on, and the motion within latency."""
    systematic, random = _root_sum(table, gated=False)
    gated_systematic, gated_random = _root_sum([*table, late], gated=True)
    offset = float(gated.mean()) if len(gated) else float("nan")
    gated_sd = float(gated.std()) if len(gated) else float("nan")
    return AxisMargins(
        axis=axis,
        motion_mm=float(np.ptp(free)),
        free_sd_mm=float(free.std()),
        gated_sd_mm=gated_sd,
        gated_offset_mm=offset,
        latency_sd_mm=late.sd_mm,
        itv_margin_mm=float(np.ptp(free)) / 2 + van_herk_mm(systematic, random),
        mid_position_margin_mm=van_herk_mm(systematic, float(np.hypot(random, free.std()))),
        gated_margin_mm=abs(offset) + van_herk_mm(gated_systematic, float(np.hypot(gated_random, gated_sd))),
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


def equivalent_radius_mm(contour_px: NDArray[np.floating], spacing_mm: tuple[float, float]) -> float:
    """Return the radius of a circle with the contour's area."""
    x, y = np.asarray(contour_px, float).T
    area_px = abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
    return float(np.sqrt(area_px * spacing_mm[0] * spacing_mm[1] / np.pi))


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


def _root_sum(table: Sequence[Uncertainty], *, gated: bool) -> tuple[float, float]:
    used = [u for u in table if gated or not u.gated_only]
    systematic = sum(u.sd_mm**2 for u in used if u.kind == "systematic")
    random = sum(u.sd_mm**2 for u in used if u.kind == "random")
    return systematic**0.5, random**0.5


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
