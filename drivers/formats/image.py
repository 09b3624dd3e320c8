"""Image files that SimpleITK reads (`.mha`, `.nii.gz`, `.nrrd`, `.png`)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

from drivers.errors import BadRecording

MAX_IMAGE_BYTES: Final = 2**31
"""Unpacked: a packed file of some MB may hold any number of zeros. A CT of 512 x 512 x 500 takes an eighth of it."""


def read_image(path: Path) -> Any:
    """Return a `SimpleITK.Image`.

    Raises
    ------
    BadRecording
        If the file is not an image, is incomplete, or would be larger than `MAX_IMAGE_BYTES`.
    """
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        value = SimpleITK.Image([1] * reader.GetDimension(), reader.GetPixelID(), reader.GetNumberOfComponents())
        size = math.prod(reader.GetSize()) * value.GetNumberOfComponentsPerPixel() * value.GetSizeOfPixelComponent()
        if size <= MAX_IMAGE_BYTES:
            return reader.Execute()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1][:200]
        raise BadRecording(f"{path}: is not a readable {path.suffix} image, or is incomplete: {reason}") from None
    shape = " x ".join(map(str, reader.GetSize()))
    raise BadRecording(f"{path}: has {shape} pixels, which take {size} bytes; {MAX_IMAGE_BYTES} is the limit")
