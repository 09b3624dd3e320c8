"""Brute-force truth for the kernels (every placement, one at a time, in float64), and scenes to search."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

DTYPES = (np.uint8, np.uint16, np.float32)


def zncc_oracle(
    region: NDArray[Any], template: NDArray[Any], mask: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Zero-mean normalised cross-correlation of `template` at every placement in `region`; a flat patch scores 0.

    Returns
    -------
    (H - h + 1, W - w + 1) float64 in [-1, 1]
    """
    inside = np.ones(template.shape, bool) if mask is None else mask
    weights = template.astype(np.float64)[inside]
    weights = weights - weights.mean()
    patches = sliding_window_view(region.astype(np.float64), template.shape)[..., inside]
    patches = patches - patches.mean(axis=-1, keepdims=True)
    energy = (patches**2).sum(axis=-1) * (weights**2).sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(energy > 0.0, (patches @ weights) / np.sqrt(energy), 0.0)


def frame_of(dtype: type, seed: int = 0, side: int = 96) -> np.ndarray:
    """A smooth scene with noise, over most of the type's useful range."""
    rng = np.random.default_rng(seed)
    scene = cv2.GaussianBlur(rng.normal(size=(side, side)), (0, 0), 3.0) + 0.03 * rng.normal(size=(side, side))
    scene = (scene - scene.min()) / np.ptp(scene)
    return (scene * {np.uint8: 255, np.uint16: 3000, np.float32: 1.0}[dtype]).astype(dtype)
