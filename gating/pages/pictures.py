"""Frames as pictures in a page, windowed, with outlines over them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

MIN_VIEW_PX: Final = 72.0
VIEW_OVER_TARGET: Final = 2.2
SCALE_BARS_MM: Final = (1, 2, 5, 10, 20, 50, 100)
_EDGES: Final = ("left", "right", "top", "bottom")


def picture(
    pixels: NDArray[np.generic],
    spacing_mm: tuple[float, float],
    outlines: Sequence[tuple[str, list[tuple[float, float]]]],
    edges: tuple[str, str, str, str] | None = None,
) -> str:
    """Return the part of a frame around its outlines.

    Parameters
    ----------
    pixels : (rows, columns)
    spacing_mm : tuple of float
        Spacing of (rows, columns); the picture keeps true proportions.
    outlines
        (kind, points) of each, in px; `page.css` has the kinds.
    edges
        Letters for the left, right, top and bottom edge, which also ask for a scale bar.
    """
    rows, columns = pixels.shape
    x, y, side = view_around([point for _, points in outlines for point in points], rows, columns)
    drawn = "".join(f'<polygon class="{kind}" points="{svg_points(points)}"/>' for kind, points in outlines if points)
    marks = "" if edges is None else _marks(edges, side * spacing_mm[1])
    return f"""<div class="picture"><svg viewBox="{x:.2f} {y:.2f} {side:.2f} {side:.2f}" preserveAspectRatio="none"
 style="aspect-ratio:{spacing_mm[1]:g}/{spacing_mm[0]:g}" role="img">
<image x="-0.5" y="-0.5" width="{columns}" height="{rows}" href="{png_data_uri(pixels)}"/>{drawn}</svg>{marks}</div>"""


def _marks(edges: tuple[str, str, str, str], width_mm: float) -> str:
    """Return letters at the edges and a scale bar of a round length, at most a third of the width, over a picture."""
    letters = "".join(f'<i class="edge {where}">{text}</i>' for where, text in zip(_EDGES, edges, strict=True))
    bar_mm = max((mm for mm in SCALE_BARS_MM if mm <= width_mm / 3), default=SCALE_BARS_MM[0])
    return f'{letters}<i class="scale" style="width:{100 * bar_mm / width_mm:.1f}%">{bar_mm:g} mm</i>'


def view_around(points: list[tuple[float, float]], rows: int, columns: int) -> tuple[float, float, float]:
    """Return (x, y, side) of a square around the target, inside the image if possible."""
    outline = np.array(points if points else [(0, 0), (columns - 1, rows - 1)], dtype=np.float64)
    low, high = np.nanmin(outline, axis=0), np.nanmax(outline, axis=0)
    side = float(min(max(MIN_VIEW_PX, VIEW_OVER_TARGET * float((high - low).max())), max(rows, columns)))
    x, y = (low + high) / 2 - side / 2
    return (
        float(np.clip(x, -0.5, max(-0.5, columns - 0.5 - side))),
        float(np.clip(y, -0.5, max(-0.5, rows - 0.5 - side))),
        side,
    )


def svg_points(points: list[tuple[float, float]]) -> str:
    """Return points (x, y) as the attribute of a polygon."""
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in points)


def png_data_uri(pixels: NDArray[np.generic]) -> str:
    """Return an 8-bit PNG as a data URI, in a window of its own. NaN and infinity are black."""
    import cv2

    encoded = cv2.imencode(".png", grey(pixels, window([pixels])))[1]
    return "data:image/png;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


def window(images: Sequence[NDArray[np.generic]]) -> tuple[float, float]:
    """Return what is drawn black and white in all of some images: their 1st and 99.5th percentile."""
    levels = np.concatenate([pixels.astype(np.float32).ravel() for pixels in images])
    finite = levels[np.isfinite(levels)]
    low, high = np.percentile(finite, [1, 99.5]) if len(finite) else (0.0, 0.0)
    return float(low), float(high)


def grey(pixels: NDArray[np.generic], black_white: tuple[float, float]) -> NDArray[np.uint8]:
    """Return an image with 256 grey levels, from black to white. NaN and infinity are black."""
    low, high = black_white
    levels = pixels.astype(np.float32)
    known = np.where(np.isfinite(levels), levels, low)
    return (np.clip((known - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)
