"""Target masks from image files: `.npy`, and all that SimpleITK reads (`.mha`, `.nii.gz`, `.nrrd`, `.png`).

A volume, or a structure of an RTSTRUCT (`FILE.dcm:NAME`), is cut with the cine plane.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadRecording
from drivers.formats.image import read_image
from drivers.recordings.cine_plane import CinePlane
from drivers.recordings.mask_volume import read_volume_mask
from drivers.recordings.rtstruct import read_structure


def read_target_mask(path: Path, plane: CinePlane | None) -> NDArray[np.bool_]:
    """Return the mask of a target, (rows, columns), drawn in the image or cut from a volume or structure set.

    Parameters
    ----------
    path
        An image file, or `FILE.dcm:NAME` for a structure of an RTSTRUCT.
    plane
        Where the image lies in the patient; None if unknown, which only drawn masks allow.

    Raises
    ------
    BadRecording
        One sentence that names the file and what is wrong with it.
    """
    file, _, structure = str(path).partition(".dcm:")
    if structure:
        if plane is None:
            raise BadRecording(f"{path}: a structure is cut with the cine plane, which is unknown without a recording")
        return read_structure(Path(f"{file}.dcm"), structure).mask_in(plane)
    if plane is not None and path.is_file() and path.suffix != ".npy" and _is_volume(_read_array(path)):
        return read_volume_mask(path, plane)
    return read_mask(path)


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Return a mask, (rows, columns), True inside.

    A first or last axis of length 1 is dropped: the TrackRAD2025 layout keeps time last.

    Raises
    ------
    BadRecording
        One sentence that names the file and what is wrong with it.
    """
    if not path.is_file():
        raise BadRecording(f"{path}: there is no such file")
    array = _read_array(path)
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        array = array[..., 0] if array.shape[2] == 1 else array[0]
    if array.ndim != 2:
        raise BadRecording(f"{path}: the mask has shape {array.shape}; one image of (rows, columns) is needed")
    if array.dtype.kind not in "buif":
        raise BadRecording(f"{path}: the mask holds {array.dtype}; numbers are needed")
    inside: NDArray[np.bool_] = np.nan_to_num(array) > 0
    return inside


def _is_volume(array: NDArray[Any]) -> bool:
    return array.ndim == 3 and 1 not in (array.shape[0], array.shape[2])


def _read_array(path: Path) -> NDArray[Any]:
    try:
        if path.suffix == ".npy":
            loaded: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)  # never more than the file holds
            return loaded
        import SimpleITK

        read: NDArray[Any] = SimpleITK.GetArrayFromImage(read_image(path))
        return read
    except (ValueError, OSError, EOFError) as error:
        first_line = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise BadRecording(f"{path}: is not a mask image: {first_line[:200]}") from None
