"""Image files that SimpleITK reads (`.mha`, `.nii.gz`, `.nrrd`, `.png`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drivers.errors import BadRecording


def read_image(path: Path) -> Any:
    """Return a `SimpleITK.Image`.

    Raises
    ------
    BadRecording
        If the file is not an image, or is incomplete.
    """
    import SimpleITK

    try:
        return SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1][:200]
        raise BadRecording(f"{path}: is not a readable {path.suffix} image, or is incomplete: {reason}") from None
