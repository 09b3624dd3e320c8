"""Images in files, read by SimpleITK (`.mha`, `.nii.gz`, `.nrrd`, `.png`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drivers.errors import BadRecording


def read_image(path: Path) -> Any:
    """Return a `SimpleITK.Image`.

    Raises
    ------
    BadRecording
        If the file is no image, or only a part of one.
    """
    import SimpleITK

    try:
        return SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        said = str(error).strip().splitlines()[-1][:200]
        raise BadRecording(f"{path}: is not a readable {path.suffix} image, or only a part of one: {said}") from None
