"""TrackRAD2025 metrics, number for number those of the organisers' evaluation program.

Masks are (frames, rows, columns); distances are in pixels, which the challenge resamples to 1 mm.

Source: TrackRAD2025 challenge, repository LMUK-RADONC-PHYS-RES/trackrad2025, folder `evaluation`. Its unusual choices
(crop by the number of rows in both directions, averages to the true edges only) are kept on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Series = NDArray[np.float64]
DOSE_BIN = 0.1
DOSE_LEVEL = 0.25


@dataclass(frozen=True, slots=True)
class FrameMetrics:
    """One value per frame; NaN where the true label is empty, the penalty where the prediction is.

    Attributes
    ----------
    dice_similarity_coefficient : (frames,) float64
        Dimensionless, 0 to 1.
    hausdorff_distance_95, surface_distance_average, center_distance : (frames,) float64
        Distances in px.
    empty_prediction : (frames,) bool
    """

    dice_similarity_coefficient: Series
    hausdorff_distance_95: Series
    surface_distance_average: Series
    center_distance: Series
    empty_prediction: NDArray[np.bool_]


def dice(predicted: Mask, true: Mask) -> float:
    """Return the Dice similarity coefficient; at least one of the masks must not be empty."""
    return float(np.float32(2 * np.logical_and(true, predicted).sum() / (int(true.sum()) + int(predicted.sum()))))


def surface_distances(predicted: Mask, true: Mask) -> tuple[float, float]:
    """Return HD95 and mean surface distance, px; infinite if a mask has no edge.

    Edges are the pixels that an erosion removes. HD95 is the larger of both directed 95th percentiles; the mean is over
    the predicted edge alone.
    """
    predicted, true = _crop_to_union(predicted, true)
    edge_predicted = ndimage.binary_erosion(predicted) ^ predicted
    edge_true = ndimage.binary_erosion(true) ^ true
    if not edge_predicted.any() or not edge_true.any():
        return float("inf"), float("inf")
    to_true = ndimage.distance_transform_edt(~edge_true).astype(np.float32)[edge_predicted]
    to_predicted = ndimage.distance_transform_edt(~edge_predicted).astype(np.float32)[edge_true]
    hausdorff = max(np.float32(np.quantile(to_true, 0.95)), np.quantile(to_predicted, 0.95))
    return float(np.float32(hausdorff)), float(np.mean(to_true))


def _crop_to_union(predicted: Mask, true: Mask) -> tuple[Mask, Mask]:
    points = np.argwhere(predicted | true)
    low, high = points.min(axis=0) - 1, points.max(axis=0) + 1
    (top, left), (bottom, right) = np.clip([low, high], 0, predicted.shape[0])
    return predicted[top:bottom, left:right], true[top:bottom, left:right]


def frame_metrics(predicted: Mask, true: Mask) -> FrameMetrics:
    """Return the metrics of every frame; one without a prediction has DSC 0 and distances of max(rows, columns).

    Parameters
    ----------
    predicted, true : (frames, rows, columns) bool

    Raises
    ------
    ValueError
        If their shapes differ.
    """
    if predicted.shape != true.shape:
        raise ValueError(f"predicted masks are {predicted.shape}, the labels {true.shape} (frames, rows, columns)")
    penalty = float(max(true.shape[1:]))
    values = np.full((4, len(true)), np.nan)
    empty = np.array([not one.any() for one in predicted])
    for frame in range(len(true)):
        one, other = predicted[frame], true[frame]
        if not other.any():
            continue
        if empty[frame]:
            values[:, frame] = 0.0, penalty, penalty, penalty
            continue
        distance = np.linalg.norm(np.subtract(ndimage.center_of_mass(other), ndimage.center_of_mass(one)))
        values[:, frame] = dice(one, other), *surface_distances(one, other), distance
    return FrameMetrics(values[0], values[1], values[2], values[3], empty)


def relative_d98(predicted: Mask, true: Mask, *, sigma_px: float = 4.0, level: float = DOSE_LEVEL) -> float:
    """Return D98 of the target under tracking errors, divided by D98 without them, dimensionless.

    The first label, dilated three times, smoothed and cut at `level`, stands for the dose. It is shifted by the error
    of the centre in every frame, and averaged. Frames without a prediction add no dose.

    Parameters
    ----------
    predicted, true : (frames, rows, columns) bool
    sigma_px : float
        Smoothing; the organisers use 4, and 6 for the lung.
    level : float
        Threshold after smoothing; 0.25 here, 0.5 in some revisions of the organisers' program.
    """
    labelled = true.any(axis=(1, 2))
    predicted, true = predicted[labelled], true[labelled]
    target = true[0]
    grown = ndimage.binary_dilation(target, structure=ndimage.generate_binary_structure(2, 1), iterations=3)
    dose = (ndimage.gaussian_filter(grown.astype(np.float32), sigma=sigma_px) > level).astype(np.uint8)
    delivered = np.zeros(target.shape, np.float32)
    for one, other in zip(predicted, true, strict=True):
        if one.any():
            error = np.subtract(ndimage.center_of_mass(one), ndimage.center_of_mass(other))
            delivered += ndimage.shift(dose, shift=error, order=3, mode="nearest")
    delivered /= len(true)
    return _d98(delivered, target) / _d98(dose, target)


def _d98(dose: NDArray[np.generic], target: Mask) -> float:
    """Return the dose that 98 % of the target receives, interpolated in a dose-volume histogram with bins of 0.1."""
    edges = np.arange(-DOSE_BIN / 2, dose.max() + DOSE_BIN, DOSE_BIN)
    counts, edges = np.histogram(dose[target], bins=edges)
    centres = np.round(((edges[1:] + edges[:-1]) / 2.0).astype(float), decimals=10)
    volume = np.cumsum(counts[::-1])[::-1]
    if not volume.any():
        return 0.0
    volume = volume / volume.max()
    if volume[0] == volume.sum():
        return 0.0
    return float(np.interp(0.98, volume[::-1], centres[::-1]))


def case_metrics(metrics: FrameMetrics, first: int = 1) -> dict[str, float]:
    """Return mean, deviation, least and largest of each metric over a case, under the organisers' names.

    Frames from 1 to `first` - 1 were the preparation and do not count.

    As in the organisers' program, empty predictions are moved behind the others and the first value is left out: the
    first frame's label is given, so it is not scored.
    """
    labelled = np.isfinite(metrics.center_distance)
    labelled[1:first] = False
    order = np.concatenate(
        [np.flatnonzero(labelled & ~metrics.empty_prediction), np.flatnonzero(labelled & metrics.empty_prediction)]
    )
    summary: dict[str, float] = {}
    for field in fields(metrics)[:4]:
        values = getattr(metrics, field.name)[order]
        scored = values[1:] if len(values) > 1 else values
        summary[field.name] = float(scored.mean())
        summary[f"std_{field.name}"] = float(scored.std())
        summary[f"min_{field.name}"] = float(scored.min())
        summary[f"max_{field.name}"] = float(values.max())
    return summary
