"""Contours, masks and boxes on the pixel grid.

Integer coordinates are pixel centres (DICOM PS3.3 C.7.6.2). Contours are (n, 2) arrays of (x = column, y = row), closed
implicitly. A mask is the set of pixels whose centres lie inside the contour.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

CELLS_PER_PX = 4
"""Sub-pixel resolution of areas: a cell is a sixteenth of a pixel. Compiled code contains this constant."""
NO_AREA = 2e-9
"""Twice the area, px², of an outline that encloses none."""


def box_contour(x_px: float, y_px: float, width_px: float, height_px: float) -> NDArray[np.float32]:
    """Return the contour of a box that covers the pixels x .. x + width - 1 and y .. y + height - 1.

    Parameters
    ----------
    x_px, y_px
        Column and row of the first pixel.
    width_px, height_px
        Number of columns and rows; both above 0.

    Returns
    -------
    (4, 2) float32
        Outer edges of those pixels. Their centroid is (x + (width - 1) / 2, y + (height - 1) / 2).

    Raises
    ------
    ValueError
        If width or height is not above 0.
    """
    if not (width_px > 0 and height_px > 0):
        raise ValueError(f"box: width and height must be above 0 px, got {width_px} x {height_px}")
    left, top = x_px - 0.5, y_px - 0.5
    right, bottom = left + width_px, top + height_px
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)


def contour_from_mask(mask: ArrayLike) -> NDArray[np.float32]:
    """Return the outline of a mask along the edges of its pixels, one vertex per pixel edge.

    Every component and every hole is kept. Their outlines are joined by bridges of zero width, which run once in each
    direction and so enclose nothing. `mask_from_contour` returns the same mask, pixel for pixel.

    Parameters
    ----------
    mask
        (rows, columns), non-zero inside.

    Returns
    -------
    (n, 2) float32
        (x, y) at half-integer coordinates; (0, 2) for an empty mask.

    Raises
    ------
    ValueError
        If the mask has not two dimensions.
    """
    inside = np.asarray(mask) != 0
    if inside.ndim != 2:
        raise ValueError(f"mask: must have 2 dimensions (rows, columns), got {inside.ndim}")
    loops = _pixel_edge_loops(inside)
    if not loops:
        return np.empty((0, 2), np.float32)
    there = [vertex for loop in loops for vertex in (*loop, loop[0])]
    back = [loop[0] for loop in reversed(loops[:-1])]
    return np.asarray((there + back)[:-1], np.float32) - np.float32(0.5)


def _pixel_edge_loops(inside: NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    """Return closed loops of (x, y) pixel corners, with the inside on the right in image coordinates."""
    padded = np.pad(inside, 1)
    core = padded[1:-1, 1:-1]
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def add(pixels: NDArray[np.bool_], start: tuple[int, int], end: tuple[int, int]) -> None:
        for row, column in np.argwhere(pixels).tolist():
            following.setdefault((column + start[0], row + start[1]), []).append((column + end[0], row + end[1]))

    add(core & ~padded[:-2, 1:-1], (0, 0), (1, 0))
    add(core & ~padded[1:-1, 2:], (1, 0), (1, 1))
    add(core & ~padded[2:, 1:-1], (1, 1), (0, 1))
    add(core & ~padded[1:-1, :-2], (0, 1), (0, 0))
    loops = []
    while following:
        start = next(iter(following))
        loop, here = [], start
        while True:
            loop.append(here)
            ends = following[here]
            there = ends.pop()
            if not ends:
                del following[here]
            here = there
            if here == start:
                break
        loops.append(loop)
    return loops


def mask_from_contour(contour_px: ArrayLike, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels whose centres lie inside a contour.

    The even-odd rule applies; centres on a left or upper edge are inside. `cv2.fillPoly` also fills every pixel that
    the outline touches, which makes small targets up to 40 % too large.

    Parameters
    ----------
    contour_px
        (n, 2) of (x, y); fewer than three vertices enclose nothing.
    shape
        (rows, columns) of the mask. Parts of the contour outside it are cut off.

    Returns
    -------
    (rows, columns) bool
    """
    rows, columns = shape
    mask = np.zeros(shape, np.bool_)
    vertices = np.asarray(contour_px, np.float64).reshape(-1, 2)
    if len(vertices) < 3 or not np.isfinite(vertices).all():
        return mask
    x0, y0 = vertices.T
    x1, y1 = np.roll(vertices, -1, axis=0).T
    first = np.clip(np.ceil(np.minimum(y0, y1)), 0, rows).astype(np.intp)
    last = np.clip(np.ceil(np.maximum(y0, y1)), 0, rows).astype(np.intp)
    count = last - first
    edge = np.repeat(np.arange(len(vertices)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    slope = (x1[edge] - x0[edge]) / (y1[edge] - y0[edge])
    crossing = np.clip(np.ceil(x0[edge] + (row - y0[edge]) * slope), 0, columns).astype(np.intp)
    if not len(edge):
        return mask
    top, bottom = int(row.min()), int(row.max()) + 1
    left, right = int(crossing.min()), int(crossing.max())
    crossings = np.zeros((bottom - top, right - left + 1), np.int32)
    np.add.at(crossings, (row - top, crossing - left), 1)
    mask[top:bottom, left:right] = np.cumsum(crossings[:, :-1], axis=1) & 1
    return mask


def runs_of_mask(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the runs of a (rows, columns) mask: (n, 3) of row, first column, one past the last column, by row."""
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    starts, stops = np.argwhere(edges == 1), np.argwhere(edges == -1)
    return np.ascontiguousarray(np.column_stack([starts, stops[:, 1]]), dtype=np.int64)


def contour_centroid(contour_px: ArrayLike) -> tuple[float, float]:
    """Return the centroid (x, y) of the area inside a contour, px; NaN if it encloses no area.

    The shoelace formula, written as a fan of triangles from the first vertex to keep full precision.
    """
    vertices = np.asarray(contour_px, np.float64).reshape(-1, 2)
    if len(vertices) < 3:
        return float("nan"), float("nan")
    fan = vertices[1:] - vertices[0]
    one, other = fan[:-1], fan[1:]
    cross = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    twice_area = float(cross.sum())
    if not abs(twice_area) > NO_AREA:
        return float("nan"), float("nan")
    x, y = (cross @ (one + other) / (3.0 * twice_area) + vertices[0]).tolist()
    return x, y


def equivalent_radius_mm(contour_px: NDArray[np.floating], spacing_mm: tuple[float, float]) -> float:
    """Return the radius of a circle with the contour's area."""
    x, y = np.asarray(contour_px, float).T
    area_px = abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
    return float(np.sqrt(area_px * spacing_mm[0] * spacing_mm[1] / np.pi))
