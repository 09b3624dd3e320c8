"""Distances between two outlines in mm, whatever the size and shape of the pixels.

They stand beside the challenge's own figures (`metrics`), which count pixels. Definitions: Maier-Hein et al., "Metrics
reloaded", Nature Methods 21, 195-212 (2024), doi 10.1038/s41592-023-02151-z, supplementary notes on HD95 and MASD.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Series = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FrameDistances:
    """One value per frame; NaN where the label is empty, the longer side of the image where the prediction is.

    Attributes
    ----------
    hd95_mm : (frames,) float64
        The larger of both directed 95th percentiles of the distance from edge to edge.
    masd_mm : (frames,) float64
        The mean of both directed mean distances.
    """

    hd95_mm: Series
    masd_mm: Series


def frame_distances(predicted: Mask, true: Mask, spacing_mm: tuple[float, float]) -> FrameDistances:
    """Return the distances of every frame.

    Parameters
    ----------
    predicted, true : (frames, rows, columns) bool
    spacing_mm : tuple of float
        Spacing of (rows, columns).

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if predicted.shape != true.shape:
        raise ValueError(f"predicted masks are {predicted.shape}, the labels {true.shape} (frames, rows, columns)")
    longest_mm = max(true.shape[1] * spacing_mm[0], true.shape[2] * spacing_mm[1])
    values = np.full((2, len(true)), np.nan)
    for frame in np.flatnonzero(true.any(axis=(1, 2))):
        one, other = predicted[frame], true[frame]
        values[:, frame] = surface_distances_mm(one, other, spacing_mm) if one.any() else longest_mm
    return FrameDistances(values[0], values[1])


def surface_distances_mm(one: Mask, other: Mask, spacing_mm: tuple[float, float]) -> tuple[float, float]:
    """Return HD95 and MASD of two masks that are not empty, mm. Edges are the pixels that an erosion removes."""
    points = np.argwhere(one | other)
    (top, left), (bottom, right) = np.maximum(points.min(axis=0) - 1, 0), points.max(axis=0) + 2
    edges = [
        mask ^ ndimage.binary_erosion(mask) for mask in (one[top:bottom, left:right], other[top:bottom, left:right])
    ]
    to_one, to_other = (ndimage.distance_transform_edt(~edge, sampling=spacing_mm) for edge in edges)
    there, back = to_other[edges[0]], to_one[edges[1]]
    return float(max(np.quantile(there, 0.95), np.quantile(back, 0.95))), float((there.mean() + back.mean()) / 2)
