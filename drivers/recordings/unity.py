"""A folder of `.bin` frames from the 1.5 T MR-linac, as a recording whose target is the vendor's own outline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from drivers.formats.frame import VendorFrame
from drivers.formats.unity import read_unity
from drivers.recordings.files import read_folder
from drivers.recordings.recording import Recording


def read_unity_folder(folder: Path, given_spacing_mm: Sequence[float] | None = None, plane: str = "") -> Recording:
    """Open a folder of `.bin` files. Raises `BadRecording`."""

    def read(path: Path) -> tuple[VendorFrame]:
        return (read_unity(path).frame,)

    def target(path: Path) -> NDArray[Any] | None:
        return read_unity(path).target_contour_px()

    return read_folder(
        folder,
        sorted(folder.glob("*.bin")),
        read,
        given_spacing_mm,
        plane=plane,
        target_contour_px=target,
        description="1.5 T MR-linac research frames",
    )
