"""The volume in which a plan's structures were drawn: a folder with one DICOM series, or what SimpleITK reads."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from drivers.errors import BadPlan
from drivers.formats.image import read_image
from drivers.plans.dicom import Identity, identity, readable

_KIND = "volume"


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
        If it holds no series or several, or they make no volume; one sentence.
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
            image, whose = SimpleITK.ReadImage(files), _identity(path, Path(files[0]))
    if image.GetDimension() != 3 or min(image.GetSize()) < 2 or image.GetNumberOfComponentsPerPixel() != 1:
        raise BadPlan(
            f"{path}: has {' x '.join(map(str, image.GetSize()))} voxels; a volume of one value each is needed"
        )
    return image, whose


def _identity(path: Path, file: Path) -> Identity:
    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return identity(path, _KIND, pydicom.dcmread(file, stop_before_pixels=True))
