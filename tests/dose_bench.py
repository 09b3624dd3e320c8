"""Doses that are formulas, targets as points, and motion with a beam, for the tests of delivered dose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy.special import ndtr

from drivers.phantom.water_plan import WaterPlan
from gating.analysis.motion import GatedMotion
from gating.delivered.deliveries import DosePlan
from gating.delivered.dvh import StructurePoints

Formula = Callable[[NDArray[np.float64]], NDArray[np.float64]]
FIELD_MM, PENUMBRA_MM, GY = 25.0, 3.2, 45.0
SESSION_S, FRAME_S = 40.0, 0.125


def slab(points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """A dose with two edges along SI, each the error function of a Gaussian penumbra."""
    return GY * ndtr((FIELD_MM - np.abs(points_mm[..., 2])) / PENUMBRA_MM)


def grid(dose: Formula, spacing_mm: float = 2.5, half_mm: tuple[int, int, int] = (40, 40, 60)) -> DosePlan:
    """A dose on a grid around the origin."""
    x, y, z = (np.arange(-h, h + spacing_mm / 2, spacing_mm) for h in half_mm)
    points = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1).transpose(2, 1, 0, 3)
    image: Any = SimpleITK.Image(len(x), len(y), len(z), SimpleITK.sitkFloat32)
    image.SetSpacing([spacing_mm] * 3)
    image.SetOrigin([-float(h) for h in half_mm])
    return DosePlan(image, (dose(points).astype(np.float32),))


def wide_slab() -> DosePlan:
    """The dose with two edges on 200x200x120 voxels of 2.5 mm and one more of each."""
    z = np.stack([np.zeros(121), np.zeros(121), np.arange(-150, 150.1, 2.5)], axis=1)
    image: Any = SimpleITK.Image(201, 201, 121, SimpleITK.sitkUInt8)
    image.SetSpacing([2.5] * 3)
    image.SetOrigin([-250.0, -250.0, -150.0])
    return DosePlan(image, (np.tile(slab(z).astype(np.float32)[:, None, None], (1, 201, 201)),))


def water(plan: WaterPlan) -> Formula:
    """The dose of a water plan as its formula."""
    isocentre_gy = plan.isocentre_gy()
    return lambda points: isocentre_gy * sum(plan.beam_dose(angle, points) for angle in plan.angles_deg)


def sphere(radius_mm: float = 15.0, step_mm: float = 1.5) -> StructurePoints:
    """A target as points on a grid that shares no plane with a dose grid."""
    side = np.arange(-radius_mm, radius_mm, step_mm) + 0.41 * step_mm
    points = np.stack(np.meshgrid(side, side, side), axis=-1).reshape(-1, 3)
    points = points[np.linalg.norm(points, axis=1) <= radius_mm]
    return StructurePoints("GTV", points, 4 / 3 * np.pi * radius_mm**3 / 1e3)


def session(
    move: Callable[[NDArray[np.float64]], NDArray[np.float64]], beam_s: Any = ((0.0, SESSION_S),)
) -> GatedMotion:
    """A session whose target moves along SI (or, by (n, 3), along all axes) while the beam is on."""
    t_s = np.arange(0, SESSION_S + FRAME_S / 2, FRAME_S)
    moved = np.asarray(move(t_s), float)
    away = moved if moved.ndim == 2 else np.outer(moved, [0.0, 0.0, 1.0])
    rows = len(t_s)
    return GatedMotion(
        target="GTV",
        t_s=t_s,
        displacement_mm=away,
        position_mm=away,
        gate_on=np.ones(rows, bool),
        reasons=("in_window",) * rows,
        status=("tracked",) * rows,
        confidence=np.ones(rows),
        out_fraction=np.zeros(rows),
        max_out_fraction=0.1,
        window_mm=np.zeros(3),
        beam_s=np.array(beam_s, float),
        beam_known_by="confirmed",
        span_s=(0.0, SESSION_S),
    )
