"""One cine frame with the contours that the engine found in it: what a page draws. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gating.geometry.plane import ImagePlane
from gating.messages import CineFrame, TargetEstimate

MAX_SIDE: Final = 1024
"""Larger images are thinned out for the page; the engine sees them whole."""
_TOWARDS: Final = (("R", "L"), ("A", "P"), ("I", "S"))
"""Letters of the negative and the positive direction of each LPS axis."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame, when it came, and its estimates; they are of this very frame, or absent."""

    number: int
    frame: CineFrame
    received_ns: int
    estimates: tuple[TargetEstimate, ...]

    def pixels(self) -> memoryview:
        """Return the bytes of the thinned image."""
        step = thinning(self.frame.header.shape)
        thinned: NDArray[Any] = np.ascontiguousarray(self.frame.pixels[::step, ::step])
        return memoryview(thinned).cast("B")  # type: ignore[arg-type]

    def header(self) -> dict[str, Any]:
        """Return what the page must know to draw the image."""
        header = self.frame.header
        step = thinning(header.shape)
        rows, columns = (len(range(0, side, step)) for side in header.shape)
        return {
            "number": self.number,
            "sequence": header.sequence,
            "plane": header.plane,
            "rows": rows,
            "columns": columns,
            "step": step,
            "dtype": header.dtype,
            "spacing_mm": header.pixel_spacing_mm,
            "letters": letters(ImagePlane.of(header)),
            "simulated_by": header.simulated_by,
            "contours": [{"target": seen.target, "contour_px": seen.contour_px} for seen in self.estimates],
        }


def thinning(shape: tuple[int, int]) -> int:
    """Return the step between the rows, and columns, that are shown."""
    return -(-max(shape) // MAX_SIDE)


def letters(plane: ImagePlane) -> dict[str, str]:
    """Return the orientation letters at the edges of the image: left, right, top, bottom.

    Of an oblique plane, they are those of the closest axes, the closest first: `SA`.
    """
    left, right = _ends(plane.along_columns)
    top, bottom = _ends(plane.along_rows)
    return {"left": left, "right": right, "top": top, "bottom": bottom}


def _ends(direction: NDArray[np.float64]) -> tuple[str, str]:
    """Return the letters at the beginning and at the end of a direction; axes within 17 degrees count as one."""
    order = [int(axis) for axis in np.argsort(-np.abs(direction)) if abs(direction[axis]) > 0.3]
    end = "".join(_TOWARDS[axis][int(direction[axis] > 0)] for axis in order)
    begin = "".join(_TOWARDS[axis][int(direction[axis] <= 0)] for axis in order)
    return begin, end
