"""A test plan whose dose is a formula: a sphere in a cylinder of water, under conformal beams from several angles.

Across a beam, the dose falls at the edge of its round aperture as the error function of a Gaussian penumbra (van Herk
et al. 2000, doi:10.1016/S0360-3016(00)00518-6). Along it, with depth d, as the primary part of Bortfeld et al. 1993
(doi:10.1118/1.597070): beta / (beta - mu) (exp(-mu d) - exp(-beta d)). Beams are parallel. There is no scatter, no
magnetic field and no divergence: it is a ruler for dose engines, not a model of a linac.
"""

from __future__ import annotations

from typing import Annotated, Final

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray
from scipy.special import erfc

ATTENUATION_PER_MM: Final = 0.005
BUILD_UP_PER_MM: Final = 0.325
"""Of a beam of about 6 MV, assumed: the maximum lies at a depth of 13 mm."""
CGY_PER_MU: Final = 1.0
"""At the maximum on the axis of a beam."""

Points = NDArray[np.float64]


class WaterPlan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The plan. The target's centre is the isocentre, the origin of the patient's coordinates."""

    target_radius_mm: Annotated[float, Meta(ge=3, le=60)] = 15.0
    margin_mm: Annotated[float, Meta(ge=0, le=20)] = 5.0
    """From GTV to PTV."""
    aperture_mm: Annotated[float, Meta(ge=0, le=20)] = 5.0
    """From PTV to the edge of each beam, where the dose is half."""
    penumbra_mm: Annotated[float, Meta(ge=0.5, le=20)] = 3.2
    """Standard deviation; 3.2 in water (van Herk et al. 2000)."""
    beams: Annotated[int, Meta(ge=1, le=36)] = 7
    prescribed_gy: Annotated[float, Meta(gt=0, le=200)] = 45.0
    """To 95 % of the PTV, all fractions."""
    fractions: Annotated[int, Meta(ge=1, le=100)] = 3
    spacing_mm: Annotated[float, Meta(ge=0.5, le=10)] = 2.5
    """Of the dose grid."""
    cylinder_radius_mm: Annotated[float, Meta(ge=50, le=250)] = 120.0
    cylinder_length_mm: Annotated[float, Meta(ge=50, le=400)] = 200.0
    """Along the patient. The grid holds the cylinder."""

    def __post_init__(self) -> None:
        if not self.field_radius_mm + 30 <= min(self.cylinder_radius_mm, self.cylinder_length_mm / 2):
            raise ValueError(
                f"the beams have a radius of {self.field_radius_mm:g} mm; the cylinder of radius "
                f"{self.cylinder_radius_mm:g} and length {self.cylinder_length_mm:g} mm has to be 30 mm larger"
            )

    @property
    def ptv_radius_mm(self) -> float:
        """Radius of the PTV."""
        return self.target_radius_mm + self.margin_mm

    @property
    def field_radius_mm(self) -> float:
        """Radius of each beam, at half its dose."""
        return self.ptv_radius_mm + self.aperture_mm

    @property
    def angles_deg(self) -> tuple[float, ...]:
        """Gantry angles, IEC 61217."""
        return tuple(round(360 * k / self.beams, 1) for k in range(self.beams))

    def grid_axes_mm(self) -> tuple[Points, Points, Points]:
        """Return the voxel centres along x, y and z, LPS."""
        half = int(self.cylinder_radius_mm // self.spacing_mm), int(self.cylinder_length_mm / 2 // self.spacing_mm)
        across, along = (self.spacing_mm * np.arange(-n, n + 1, dtype=float) for n in half)
        return across, across, along

    def beam_dose(self, angle_deg: float, points_mm: Points) -> Points:
        """Return the dose of one beam at LPS points (..., 3), relative to its isocentre, for a supine patient."""
        angle = np.deg2rad(angle_deg)
        x, y, z = np.moveaxis(points_mm, -1, 0)
        beside, along = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        inside = self.cylinder_radius_mm**2 - beside**2
        depth_mm = along + np.sqrt(np.maximum(inside, 0))
        edge = (np.hypot(beside, z) - self.field_radius_mm) / (np.sqrt(2) * self.penumbra_mm)
        dose = 0.5 * erfc(edge) * depth_dose(np.maximum(depth_mm, 0)) / float(depth_dose(self.cylinder_radius_mm))
        held = (inside >= 0) & (np.hypot(x, y) <= self.cylinder_radius_mm) & (np.abs(z) <= self.cylinder_length_mm / 2)
        return np.where(held, dose, 0.0)

    def isocentre_gy(self) -> float:
        """Return the dose of one beam at the isocentre, all fractions, that gives the PTV its D95."""
        side = self.ptv_radius_mm * np.linspace(-1, 1, 41)
        points = np.stack(np.meshgrid(side, side, side), axis=-1).reshape(-1, 3)
        points = points[np.linalg.norm(points, axis=1) <= self.ptv_radius_mm]
        relative = sum(self.beam_dose(angle, points) for angle in self.angles_deg)
        return self.prescribed_gy / float(np.percentile(relative, 5))

    def beam_mu(self) -> float:
        """Return the monitor units of one beam in one fraction."""
        at_maximum = float(depth_dose(depth_of_maximum_mm())) / float(depth_dose(self.cylinder_radius_mm))
        return 100 * self.isocentre_gy() / self.fractions * at_maximum / CGY_PER_MU

    def beam_grids(self) -> list[NDArray[np.float32]]:
        """Return the dose of each beam on the grid, (z, y, x) Gy, all fractions."""
        x, y, z = self.grid_axes_mm()
        points = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1).transpose(2, 1, 0, 3)
        isocentre_gy = self.isocentre_gy()
        return [(isocentre_gy * self.beam_dose(angle, points)).astype(np.float32) for angle in self.angles_deg]


def depth_dose(depth_mm: Points | float) -> Points:
    """Return the dose along the axis of a beam in water, in arbitrary units."""
    ratio = BUILD_UP_PER_MM / (BUILD_UP_PER_MM - ATTENUATION_PER_MM)
    depth = np.asarray(depth_mm, float)
    found: Points = ratio * (np.exp(-ATTENUATION_PER_MM * depth) - np.exp(-BUILD_UP_PER_MM * depth))
    return found


def depth_of_maximum_mm() -> float:
    """Return the depth at which `depth_dose` is highest."""
    return float(np.log(BUILD_UP_PER_MM / ATTENUATION_PER_MM) / (BUILD_UP_PER_MM - ATTENUATION_PER_MM))
