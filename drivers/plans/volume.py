"""The volume in which a plan's structures were drawn: a folder with one DICOM series, or what SimpleITK reads."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from drivers.errors import BadPlan
from drivers.formats.image import read_image
from drivers.plans.dicom import Identity, identity, readable

EVEN_MM: Final = 0.1
"""Spacings of slices may differ by this, as positions are written with few digits."""
PARALLEL: Final = 1e-3
_KIND: Final = "volume"


def read_volume(path: Path) -> tuple[Any, Identity]:
    """Return a volume as `SimpleITK.Image`, LPS, and whose it is.

    Parameters
    ----------
    path
        A folder that holds one DICOM series of parallel images; or a file (`.mha`, `.nii.gz`, `.nrrd`), which does not
        tell whose it is.

    Raises
    ------
    BadPlan
        If it holds no series or several, or its slices make no even stack; one sentence.
    BadRecording
        If the file is none.
    """
    import SimpleITK

    if not path.is_dir():
        image, whose = read_image(path), Identity(path, _KIND, "", "")
    else:
        with readable(path, _KIND):
            series = SimpleITK.ImageSeriesReader.GetGDCMSeriesIDs(str(path))
            if len(series) != 1:
                raise BadPlan(f"{path}: holds {len(series)} DICOM series; a folder with one is needed")
            files = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(path), series[0])
            whose = _checked_series(path, files)
            image = SimpleITK.ReadImage(files)
    if image.GetDimension() != 3 or min(image.GetSize()) < 2 or image.GetNumberOfComponentsPerPixel() != 1:
        raise BadPlan(
            f"{path}: has {' x '.join(map(str, image.GetSize()))} voxels; a volume of one value each is needed"
        )
    return image, whose


def _checked_series(path: Path, files: Sequence[str]) -> Identity:
    """Return whose a series is. Raises `BadPlan` if its slices are not parallel and evenly spaced along their normal.

    ITK only warns of a missing slice, and spreads the others evenly, which moves anatomy by millimetres.
    """
    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        heads = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
    if len(heads) > 1:
        turned = np.array([[float(v) for v in head.ImageOrientationPatient] for head in heads])
        steps = np.diff([[float(v) for v in head.ImagePositionPatient] for head in heads], axis=0)
        normal = np.cross(turned[0, :3], turned[0, 3:])
        usual = float(np.median(np.linalg.norm(steps, axis=1)))
        along = steps @ normal
        along *= np.sign(along.sum())
        if np.abs(turned - turned[0]).max() > PARALLEL:
            raise BadPlan(f"{path}: its slices are turned against each other; parallel ones are needed")
        if np.linalg.norm(steps - np.outer(steps @ normal, normal), axis=1).max() > EVEN_MM:
            raise BadPlan(f"{path}: its slices are shifted within their planes; a straight stack is needed")
        if not along.min() > EVEN_MM:
            raise BadPlan(f"{path}: several of its slices lie at one place, as those of a cine; one stack is needed")
        if np.abs(along - usual).max() > EVEN_MM:
            worst = int(np.abs(along - usual).argmax())
            raise BadPlan(
                f"{path}: slices {worst} and {worst + 1} are {along[worst]:.2f} mm apart, others {usual:.2f} mm; "
                "is one missing?"
            )
    return identity(path, _KIND, heads[0])
