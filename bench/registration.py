"""From plan to cine on phantom volumes, and from one session to another: the tables of docs/howto/from_plan.md.

Run: python -m bench.registration [--cases 20] [--frames]

A volume of overlapping ellipsoids, with a target in it, is shown by a sagittal image after a known shift (8 mm at most
along each axis), rotation (5 degrees about each) and deformation (4 mm), with another contrast and noise. Each kind of
failure spoils one thing.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from drivers.phantom import PhantomSettings
from drivers.phantom.render import Phantom
from gating.geometry.contours import mask_from_contour
from gating.geometry.plane import ImagePlane
from gating.registration.carry import Carried, RegistrationError, carry
from gating.registration.slab import FRAME_LIMITS, slab_of
from gating.registration.slice_to_volume import pixel_centres, sample, through
from gating.targets.image import TargetImage
from gating.targets.spec import TargetSpec
from gating.wire.pixels import content_hash

Kind = Literal["right", "wrong patient", "no overlap", "low contrast", "wrong label"]
MIDDLE_MM: Final = np.array([5.0, -4.0, 3.0])
RADII_MM: Final = np.array([12.0, 14.0, 13.0])
SHAPE: Final = (64, 64)
STEP_MM: Final = 2.0
VOXEL_MM: Final = 2.5
VOXELS: Final = 64


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """The phantom's target, as a plan draws it."""

    name: str = "GTV"

    def contains(self, points_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which LPS points (..., 3) lie in it."""
        inside: NDArray[np.bool_] = (((points_mm - MIDDLE_MM) / RADII_MM) ** 2).sum(axis=-1) < 1
        return inside


def phantom_volume(seed: int) -> Any:
    """Return a `SimpleITK.Image` of a body with 25 organs of the seed's, and the target."""
    random = np.random.default_rng(seed)
    axis = (np.arange(VOXELS) - (VOXELS - 1) / 2) * VOXEL_MM
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    points = np.stack([x, y, z], axis=-1)
    voxels = 300.0 * (((points / (70, 60, 90)) ** 2).sum(axis=-1) < 1)
    for _ in range(25):
        middle, radii, signal = random.uniform(-50, 50, 3), random.uniform(6, 20, 3), random.uniform(-180, 250)
        voxels += signal * ((((points - middle) / radii) ** 2).sum(axis=-1) < 1)
    voxels[Ellipsoid().contains(points)] = 700
    image = SimpleITK.GetImageFromArray(gaussian_filter(voxels, 0.6).astype(np.float32))
    image.SetSpacing((VOXEL_MM,) * 3)
    image.SetOrigin((float(axis[0]),) * 3)
    return image


@dataclass(frozen=True, slots=True)
class Case:
    """A volume, an image of it, and where the target truly is in the image."""

    volume: Any
    pixels: NDArray[np.float64]
    plane: ImagePlane
    truth: NDArray[np.bool_]
    structure: Ellipsoid


def make_case(kind: Kind, seed: int) -> Case:
    """Return a case of a kind."""
    random = np.random.default_rng(1000 + seed)
    volume = phantom_volume(seed)
    moved = SimpleITK.Euler3DTransform()
    moved.SetCenter(MIDDLE_MM.tolist())
    moved.SetRotation(*np.radians(random.uniform(-5, 5, 3)))
    moved.SetTranslation(random.uniform(-8, 8, 3).tolist())
    bent = np.stack([gaussian_filter(random.normal(size=SHAPE), 10) for _ in range(2)], axis=-1)
    bent *= 4.0 / STEP_MM / np.abs(bent).max()
    plane = ImagePlane((STEP_MM, STEP_MM), np.array([0, 1.0, 0]), np.array([0, 0, -1.0]), np.array([5.0, -64, 64]))
    points = through(moved, pixel_centres(plane, SHAPE, bent))
    shown = phantom_volume(seed + 500) if kind == "wrong patient" else volume
    pixels = 1000 * np.sqrt(np.clip(np.nan_to_num(sample(shown, points)), 0, None) / 700)
    if kind == "low contrast":
        pixels = 500 + (pixels - pixels.mean()) * random.uniform(0.02, 0.12)
    if kind == "no overlap":
        away_mm = random.choice([-1, 1], 3) * random.uniform(40, 60, 3)
        plane = ImagePlane(plane.spacing_mm, plane.along_columns, plane.along_rows, plane.origin_mm + away_mm)
    structure = Ellipsoid("Liver" if kind == "wrong label" else "GTV")
    return Case(volume, pixels + random.normal(0, 15, SHAPE), plane, structure.contains(points), structure)


def make_frame_case(kind: Kind, seed: int) -> tuple[TargetSpec, Case]:
    """Return a target drawn in one session's frame, and another session's image of it.

    The patient breathes, lies 6 mm away at most along each axis and turned by 4 degrees at most within the plane, and
    the contrast is another.
    """
    random = np.random.default_rng(2000 + seed)
    before, later = (_phantom(seed + (500 if kind == "wrong patient" and session else 0)) for session in (0, 1))
    drawn_in, shown = np.empty(before.shape, np.uint16), np.empty(before.shape, np.uint16)
    frame = int(random.integers(5, 25))
    before.render_into(0, drawn_in)
    later.render_into(frame, shown)
    geometry = (before.spacing_mm, before.orientation, before.position_mm)
    image = TargetImage(drawn_in, *geometry, content_hash(drawn_in))
    target = TargetSpec("GTV", before.truth(0).contour_px.astype(np.float32), "sagittal", image=image)
    angle, shift = np.radians(random.uniform(-4, 4)), random.uniform(-6, 6, 2)[:, None, None] / before.spacing_mm[0]
    middle = (np.array(before.shape)[:, None, None] - 1) / 2
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    at = np.einsum("ij,jyx->iyx", turn, np.mgrid[: before.shape[0], : before.shape[1]] - middle) + middle + shift
    there = mask_from_contour(later.truth(frame).contour_px, before.shape).astype(float)
    pixels, truth = (map_coordinates(one.astype(float), at, order=1, mode="nearest") for one in (shown, there))
    pixels = 600 * np.sqrt(pixels / 600)
    if kind == "low contrast":
        pixels = 300 + (pixels - pixels.mean()) * random.uniform(0.02, 0.12)
    plane = ImagePlane.of(image)
    if kind == "no overlap":
        away_mm = random.choice([-1, 1], 3) * random.uniform(70, 90, 3)
        plane = ImagePlane(plane.spacing_mm, plane.along_columns, plane.along_rows, plane.origin_mm + away_mm)
    case = Case(None, pixels + random.normal(0, 10, before.shape), plane, truth > 0.5, Ellipsoid())
    return target, case


def _phantom(seed: int) -> Phantom:
    return Phantom(PhantomSettings(seed=seed, rows=96, columns=96, pixel_spacing_mm=(2.4, 2.4)))


def carried_frame(target: TargetSpec, case: Case) -> Carried | None:
    """Return a target carried from its image to a case's; None if that is refused."""
    slab = slab_of(target)
    how: Any = {"surrogate": True, "unseen": slab.normal, "limits": FRAME_LIMITS}
    try:
        return carry(slab.volume, slab, slab.middle_mm, case.pixels, case.plane, **how)
    except RegistrationError:
        return None


def carried(case: Case) -> Carried | None:
    """Return the target carried over; None if that is refused."""
    try:
        return carry(case.volume, case.structure, MIDDLE_MM, case.pixels, case.plane)
    except RegistrationError:
        return None


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Return the Dice similarity of two masks."""
    both = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / both if both else 0.0


def centre_error_mm(a: NDArray[np.bool_], b: NDArray[np.bool_], step_mm: float = STEP_MM) -> float:
    """Return the distance between the centres of two masks."""
    away = [float(np.mean(i) - np.mean(j)) * step_mm for i, j in zip(np.nonzero(a), np.nonzero(b), strict=True)]
    return math.hypot(*away)


def main() -> None:
    """Carry the target over in every case, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="seed of the first case; limits were set on 0 to 19")
    parser.add_argument("--frames", action="store_true", help="from the reference frame of another session")
    asked = parser.parse_args()
    print("| case | number | centre error mm: median, largest | DSC: median, least | flagged |\n|---|---|---|---|---|")
    kinds = [kind for kind in get_args(Kind) if not (asked.frames and kind == "wrong label")]
    for kind in kinds:
        errors, scores, flagged = [], [], 0
        for seed in range(asked.first, asked.first + asked.cases):
            if asked.frames:
                target, case = make_frame_case(kind, seed)
                found = carried_frame(target, case)
            else:
                case = make_case(kind, seed)
                found = carried(case)
            flagged += found is None or bool(found.doubts)
            if kind == "right" and found is not None:
                errors.append(centre_error_mm(found.mask, case.truth, case.plane.spacing_mm[0]))
                scores.append(dice(found.mask, case.truth))
        told = (
            f"{np.median(errors):.2f}, {max(errors):.2f} | {np.median(scores):.3f}, {min(scores):.3f}"
            if errors
            else "- | -"
        )
        print(f"| {kind} | {asked.cases} | {told} | {flagged} |", flush=True)


if __name__ == "__main__":
    main()
