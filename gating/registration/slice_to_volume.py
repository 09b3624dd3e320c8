"""Registers a volume to one image plane in it: rigidly, then with a smooth deformation within the plane.

A volume of the day and a cine are taken minutes apart, in another phase of the breath and with another contrast.
Mutual information needs no common contrast (Mattes et al. 2003, doi:10.1109/TMI.2003.809072). SimpleITK does the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from gating.geometry.plane import ImagePlane

Points = NDArray[np.float64]
COARSE_MM: Final = 4.0
"""Step of the search for a start."""
STARTS_MM: Final = (0.0, -4.0, 4.0)
"""Where along the normal the rigid registration begins, from the best of that search: a slice tells least of that."""
REACH_STEPS: Final = 3
"""Steps to each side: shifts of up to 12 mm along each axis are found."""
_BINS: Final = 32
_MESH_MM: Final = 25.0
"""Distance between the nodes of the deformation."""


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """Where each pixel of the image plane lies in the volume.

    Attributes
    ----------
    rigid
        Maps points of the plane, LPS mm, to points of the volume.
    others
        What the registration came to from other starts.
    shift_px
        (rows, columns, 2) of (x, y): what is added to each pixel's place in the plane before that; smooth.
    resliced
        (rows, columns) the volume as the plane shows it; NaN beyond the volume.
    """

    rigid: Any
    others: tuple[Any, ...]
    shift_px: NDArray[np.float64]
    resliced: NDArray[np.float64]

    @property
    def translation_mm(self) -> NDArray[np.float64]:
        """(3,) LPS, at the centre of the rotation: from a point of the plane to that of the volume."""
        return np.array(self.rigid.GetTranslation())

    @property
    def rotation_deg(self) -> float:
        """Angle of the rotation."""
        matrix = np.reshape(self.rigid.GetMatrix(), (3, 3))
        return float(np.degrees(np.arccos(np.clip((np.trace(matrix) - 1) / 2, -1, 1))))


def pixel_centres(plane: ImagePlane, shape: tuple[int, int], shift_px: NDArray[np.float64] | None = None) -> Points:
    """Return the LPS position of every pixel, (rows, columns, 3) mm, each shifted by (x, y) px."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    if shift_px is not None:
        columns, rows = columns + shift_px[..., 0], rows + shift_px[..., 1]
    found: Points = (
        plane.origin_mm
        + columns[..., None] * plane.along_columns * plane.spacing_mm[1]
        + rows[..., None] * plane.along_rows * plane.spacing_mm[0]
    )
    return found


def through(transform: Any, points_mm: Points) -> Points:
    """Return points mapped by a rigid transform."""
    matrix = np.reshape(transform.GetMatrix(), (3, 3))
    centre, translation = np.array(transform.GetCenter()), np.array(transform.GetTranslation())
    mapped: Points = (points_mm - centre) @ matrix.T + centre + translation
    return mapped


def sample(volume: Any, points_mm: Points) -> NDArray[np.float64]:
    """Return a volume at LPS points (..., 3), interpolated linearly; NaN beyond it."""
    from scipy.ndimage import map_coordinates

    steps = np.reshape(volume.GetDirection(), (3, 3)) * np.array(volume.GetSpacing())
    index = (points_mm - np.array(volume.GetOrigin())) @ np.linalg.inv(steps).T
    voxels = SimpleITK.GetArrayViewFromImage(volume)
    found: NDArray[np.float64] = map_coordinates(
        voxels.astype(np.float64), np.moveaxis(index[..., ::-1], -1, 0), order=1, mode="constant", cval=np.nan
    )
    return found


def align(volume: Any, pixels: NDArray[Any], plane: ImagePlane, centre_mm: NDArray[np.float64]) -> Alignment:
    """Register a volume to an image plane.

    Parameters
    ----------
    volume
        `SimpleITK.Image` of three dimensions, LPS.
    pixels
        (rows, columns) of the image.
    plane
        Where it is.
    centre_mm
        (3,) LPS, about which the volume turns: the middle of the structure.

    Raises
    ------
    RuntimeError
        If the registration fails, as it does if plane and volume do not meet.
    """
    fixed = _thin(pixels, plane)
    moving = SimpleITK.Cast(volume, SimpleITK.sitkFloat32)
    start = _best_start(fixed, moving, centre_mm)
    normal = np.cross(plane.along_columns, plane.along_rows)
    tries = [_refined(fixed, moving, _shifted(start, step_mm * normal)) for step_mm in STARTS_MM]
    rigid, *others = [transform for _, transform in sorted(tries, key=lambda one: one[0])]
    shift_px = _deformation_px(pixels, sample(volume, through(rigid, pixel_centres(plane, pixels.shape))), plane)
    _, rigid = _refined(_thin(_straightened(pixels, shift_px), plane), moving, rigid)
    shift_px = _deformation_px(pixels, sample(volume, through(rigid, pixel_centres(plane, pixels.shape))), plane)
    deformed = sample(volume, through(rigid, pixel_centres(plane, pixels.shape, shift_px)))
    return Alignment(rigid, tuple(others), shift_px, deformed)


def _thin(pixels: NDArray[Any], plane: ImagePlane) -> Any:
    """Return the image as a volume of one slice."""
    image = SimpleITK.GetImageFromArray(np.asarray(pixels, np.float32)[None])
    normal = np.cross(plane.along_columns, plane.along_rows)
    image.SetDirection(np.stack([plane.along_columns, plane.along_rows, normal], axis=1).ravel().tolist())
    image.SetSpacing((plane.spacing_mm[1], plane.spacing_mm[0], 1.0))
    image.SetOrigin(plane.origin_mm.tolist())
    return image


def _method() -> Any:
    method = SimpleITK.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(SimpleITK.sitkLinear)
    method.SetGlobalDefaultNumberOfThreads(1)
    return method


def _best_start(fixed: Any, moving: Any, centre_mm: NDArray[np.float64]) -> Any:
    """Return the best of all shifts on a grid, as the start of the rigid registration."""
    method = _method()
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.2, seed=1)
    shift = SimpleITK.TranslationTransform(3)
    method.SetOptimizerAsExhaustive([REACH_STEPS] * 3)
    method.SetOptimizerScales([1 / COARSE_MM] * 3)
    method.SetInitialTransform(shift)
    found = method.Execute(fixed, SimpleITK.DiscreteGaussian(moving, [COARSE_MM] * 3))
    start = SimpleITK.Euler3DTransform()
    start.SetCenter(centre_mm.tolist())
    start.SetTranslation(found.GetParameters())
    return start


def _shifted(start: Any, shift_mm: NDArray[np.float64]) -> Any:
    moved = SimpleITK.Euler3DTransform(start)
    moved.SetTranslation((np.array(start.GetTranslation()) + shift_mm).tolist())
    return moved


def _refined(fixed: Any, moving: Any, start: Any) -> tuple[float, Any]:
    """Return the rigid transform near a start that is best, after its metric, of which less is better."""
    method = _method()
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0, minStep=0.005, numberOfIterations=150, gradientMagnitudeTolerance=1e-6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    rigid = SimpleITK.Euler3DTransform(start)
    method.SetInitialTransform(rigid, inPlace=True)
    method.Execute(fixed, moving)
    return float(method.GetMetricValue()), rigid


def _deformation_px(pixels: NDArray[Any], resliced: NDArray[np.float64], plane: ImagePlane) -> NDArray[np.float64]:
    """Return how each pixel's place must be shifted in the plane, (rows, columns, 2) of (x, y) px."""
    row_mm, column_mm = plane.spacing_mm
    fixed, moving = (SimpleITK.GetImageFromArray(np.nan_to_num(a).astype(np.float32)) for a in (pixels, resliced))
    for image in (fixed, moving):
        image.SetSpacing((column_mm, row_mm))
    extent_mm = np.array([pixels.shape[1] * column_mm, pixels.shape[0] * row_mm])
    mesh = np.maximum(np.round(extent_mm / _MESH_MM), 1).astype(int).tolist()
    bspline = SimpleITK.BSplineTransformInitializer(fixed, mesh, order=3)
    method = _method()
    method.SetMetricFixedMask(_known(resliced, fixed))
    method.SetOptimizerAsLBFGS2(numberOfIterations=40, solutionAccuracy=1e-4)
    method.SetInitialTransform(bspline, inPlace=True)
    method.Execute(fixed, moving)
    field = SimpleITK.TransformToDisplacementField(bspline, SimpleITK.sitkVectorFloat64, fixed.GetSize(), (0.0, 0.0),
                                                   fixed.GetSpacing())  # fmt: skip
    shift_px: NDArray[np.float64] = SimpleITK.GetArrayFromImage(field) / (column_mm, row_mm)
    return shift_px


def _straightened(pixels: NDArray[Any], shift_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the image with a deformation taken back, to first order."""
    from scipy.ndimage import map_coordinates

    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]].astype(np.float64)
    at = np.stack([rows - shift_px[..., 1], columns - shift_px[..., 0]])
    straight: NDArray[np.float64] = map_coordinates(np.asarray(pixels, np.float64), at, order=1, mode="nearest")
    return straight


def _known(resliced: NDArray[np.float64], like: Any) -> Any:
    mask = SimpleITK.GetImageFromArray(np.isfinite(resliced).astype(np.uint8))
    mask.CopyInformation(like)
    return mask
