"""One cine frame with the contours that the engine found in it: what a page draws. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gating.geometry.plane import HasGeometry, ImagePlane
from gating.messages import CineFrame, Pixels, TargetEstimate

MAX_SIDE: Final = 1024
"""Larger images are thinned out for the page; the engine sees them whole."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame, when it came, and its estimates; they are of this very frame, or absent."""

    number: int
    frame: CineFrame
    received_ns: int
    estimates: tuple[TargetEstimate, ...]

    def pixels(self) -> memoryview:
        """Return the bytes of the thinned image."""
        return thinned(self.frame.pixels)

    def header(self) -> dict[str, Any]:
        """Return what the page must know to draw the image."""
        header = self.frame.header
        return image_header(header, header.shape, header.dtype, header.plane) | {
            "number": self.number,
            "sequence": header.sequence,
            "simulated_by": header.simulated_by,
            "contours": [{"target": seen.target, "contour_px": seen.contour_px} for seen in self.estimates],
        }


def image_header(geometry: HasGeometry, shape: tuple[int, int], dtype: str, plane: str) -> dict[str, Any]:
    """Return what a page must know to draw a thinned image."""
    step = thinning(shape)
    rows, columns = (len(range(0, side, step)) for side in shape)
    return {
        "plane": plane,
        "rows": rows,
        "columns": columns,
        "step": step,
        "dtype": dtype,
        "spacing_mm": geometry.pixel_spacing_mm,
        "letters": letters(plane_of(geometry)),
    }


def thinned(pixels: Pixels) -> memoryview:
    """Return the bytes of an image, of which every row and column is left out that is not shown."""
    step = thinning(pixels.shape)
    shown: NDArray[Any] = np.ascontiguousarray(pixels[::step, ::step])
    return shown.data.cast("B")


def thinning(shape: tuple[int, int]) -> int:
    """Return the step between the rows, and columns, that are shown."""
    return -(-max(shape) // MAX_SIDE)


def plane_of(geometry: HasGeometry) -> ImagePlane | None:
    """Return the plane of an image; None for an orientation that is none, for which the engine holds."""
    try:
        return ImagePlane.of(geometry)
    except ValueError:
        return None


def letters(plane: ImagePlane | None) -> dict[str, str]:
    """Return the orientation letters at the edges of the image: left, right, top, bottom; dashes if unknown."""
    edges = ("left", "right", "top", "bottom")
    return dict.fromkeys(edges, "–") if plane is None else dict(zip(edges, plane.edge_letters(), strict=True))
