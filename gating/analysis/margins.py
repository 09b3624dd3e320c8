"""Gated against ITV: the margins that each needs for the motion of this session, and what that makes of the PTV."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gating.analysis.motion import GatedMotion

AXES: Final = ("LR", "AP", "SI")
PENUMBRA_MM: Final = 3.2


class Uncertainty(Struct, frozen=True, kw_only=True):
    """One source of geometric uncertainty: one standard deviation, mm, with its kind and where the value is from."""

    name: str
    sd_mm: float
    kind: Literal["systematic", "random"]
    source: str
    gated_only: bool = False


def default_table(pixel_mm: float) -> tuple[Uncertainty, ...]:
    """Return the table that a site starts from; what is assumed says so and is to be measured there."""
    return (
        Uncertainty(
            name="tracking",
            sd_mm=1.0,
            kind="random",
            source="assumed; `cinegate evaluate` on the site's labelled cases",
            gated_only=True,
        ),
        Uncertainty(
            name="pixel size",
            sd_mm=pixel_mm / 12**0.5,
            kind="random",
            source="uniform within a pixel: JCGM 100:2008 (GUM) 4.3.7",
            gated_only=True,
        ),
        Uncertainty(name="geometric distortion", sd_mm=0.5, kind="systematic", source="assumed; site phantom QA"),
        Uncertainty(name="MR to radiation isocentre", sd_mm=0.5, kind="systematic", source="assumed; site QA"),
        Uncertainty(name="leaf position", sd_mm=0.5, kind="systematic", source="assumed; tolerance 1 mm: AAPM TG-142"),
    )


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
    """Range of the target over the whole session: how much longer the ITV is than the target."""
    free_sd_mm: float
    gated_sd_mm: float
    gated_offset_mm: float
    """Mean position in the gate against the middle of the window: a systematic part of the gated margin."""
    itv_margin_mm: float
    mid_position_margin_mm: float
    gated_margin_mm: float


class GatedVersusItv(Struct, frozen=True, kw_only=True):
    """What the motion of one session asks of an ITV plan, of a mid-position plan and of a gated one.

    Volumes are those of an ellipsoid on the target's equivalent radius, with the margins of each axis: an estimate from
    one plane. An axis that the plane does not show moves by 0 here, so both volumes lack its motion.
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
    motion : of the session; its beam says what gating leaves.
    radius_mm : of a circle with the target's area.
    table : uncertainties; `default_table`, or the site's own.
    latency_ms : latency that `motion.beam_s` does not contain; its travel is added to the gated table.
    """
    _, away_mm, on = motion.grid()
    known = np.isfinite(away_mm).all(axis=1)
    free, gated = away_mm[known], away_mm[known & on] - motion.window_mm
    speed_mm_s = _speed_mm_s(motion)
    axes = []
    for index, name in enumerate(AXES):
        whole, beam = free[:, index], gated[:, index]
        late = Uncertainty(
            name=f"latency {latency_ms:g} ms x speed {name}",
            sd_mm=latency_ms / 1e3 * float(speed_mm_s[index]),
            kind="random",
            source="this session",
            gated_only=True,
        )
        systematic, random_itv = _root_sum(table, gated=False)
        gated_systematic, gated_random = _root_sum([*table, late], gated=True)
        offset = float(beam.mean()) if len(beam) else float("nan")
        gated_sd = float(beam.std()) if len(beam) else float("nan")
        axes.append(
            AxisMargins(
                axis=name,
                motion_mm=float(np.ptp(whole)),
                free_sd_mm=float(whole.std()),
                gated_sd_mm=gated_sd,
                gated_offset_mm=offset,
                itv_margin_mm=float(np.ptp(whole)) / 2 + van_herk_mm(systematic, random_itv),
                mid_position_margin_mm=van_herk_mm(systematic, float(np.hypot(random_itv, whole.std()))),
                gated_margin_mm=abs(offset) + van_herk_mm(gated_systematic, float(np.hypot(gated_random, gated_sd))),
            )
        )
    volumes = [
        _ellipsoid_cm3(radius_mm, [getattr(axis, field) for axis in axes])
        for field in ("itv_margin_mm", "mid_position_margin_mm", "gated_margin_mm")
    ]
    return GatedVersusItv(
        target=motion.target,
        radius_mm=radius_mm,
        duty_cycle=float(on.mean()) if len(on) else 0.0,
        axes=tuple(axes),
        itv_ptv_cm3=volumes[0],
        mid_position_ptv_cm3=volumes[1],
        gated_ptv_cm3=volumes[2],
        gated_over_itv=volumes[2] / volumes[0],
        table=tuple(table),
    )


def union_area_mm2(
    contour_px: NDArray[np.floating],
    shift_px: NDArray[np.float64],
    spacing_mm: tuple[float, float],
    cells_per_px: int = 4,
) -> tuple[float, float]:
    """Return the area of a target, and of the union of all its places: the ITV in the plane.

    Parameters
    ----------
    contour_px : (n, 2) of (x, y), closed implicitly.
    shift_px : (m, 2) displacements of it; rows with NaN are left out.
    spacing_mm : (row, column) pixel spacing.
    """
    from gating.geometry import mask_from_contour

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
    """Root mean square speed per axis at the moments when the gate changed."""
    changed = np.flatnonzero(np.diff(motion.gate_on.astype(int))) + 1
    steps_s = np.diff(motion.t_s)
    velocity = np.diff(motion.displacement_mm, axis=0) / steps_s[:, None]
    chosen = velocity[changed - 1] if len(changed) else velocity
    mean_square: NDArray[np.float64] = np.nanmean(chosen**2, axis=0)
    return np.sqrt(mean_square)


def _ellipsoid_cm3(radius_mm: float, margins_mm: list[float]) -> float:
    return float(4 / 3 * np.pi * np.prod([radius_mm + margin for margin in margins_mm]) / 1000)
