"""What lies between the anatomy and the frame: through-plane motion, shading, saturation band, noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
COARSE_PX = 12.0


def smooth_map(shape: tuple[int, int], scale_px: float, rng: np.random.Generator) -> Image:
    """Return a smooth random map between -1 and 1, (rows, columns)."""
    white = rng.standard_normal((16, 16)).astype(np.float32)
    coarse = cv2.GaussianBlur(white, (0, 0), 16.0 * scale_px / max(shape))
    smooth = np.asarray(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)
    smooth -= smooth.mean()
    return np.asarray(smooth / np.abs(smooth).max(), np.float32)


def interior(shape: tuple[int, int], mask: NDArray[np.bool_], edge_px: float) -> Image:
    """Return 1 inside a target, falling to 0 at its outline over `edge_px`, so that the outline itself stays."""
    assert mask.shape == shape
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(np.clip(depth / edge_px, 0.0, 1.0), np.float32)


def saturation_band(rows: int, row: float, width_px: float = 1.6, loss: float = 0.8) -> Image:
    """Return the factor of every row, (rows, 1): a dark line that lies still in the image."""
    away = (np.arange(rows, dtype=np.float32)[:, None] - np.float32(row)) / np.float32(width_px)
    return np.asarray(1.0 - loss * np.exp(-0.5 * away**2), np.float32)


def blurred(pixels: Image, psf_px: float) -> Image:
    """Return an image at the resolution of a Gaussian point spread with standard deviation `psf_px`."""
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), psf_px), np.float32) if psf_px > 0 else pixels


def faint(pixels: Image, texture: float) -> Image:
    """Return an image that keeps a fraction of its structure finer than `COARSE_PX`; edges of organs stay."""
    if texture == 1.0:
        return pixels
    coarse = cv2.bilateralFilter(pixels, 0, 0.25, COARSE_PX / 2.0)
    return np.asarray(coarse + np.float32(texture) * (pixels - coarse), np.float32)


def rician(signal: Image, sigma: float, psf_px: float, rng: np.random.Generator) -> Image:
    """Return the magnitude of a signal with complex Gaussian noise.

    Parameters
    ----------
    signal
        (rows, columns), 0 or more.
    sigma
        Standard deviation of the noise in each channel, in the unit of the signal, after smoothing.
    psf_px
        Standard deviation of the Gaussian that the noise is smoothed with; 0 for white noise.

    Notes
    -----
    Source: H. Gudbjartsson, S. Patz, "The Rician distribution of noisy MRI data", MRM 34, 1995.
    """
    noise = rng.standard_normal((2, *signal.shape), dtype=np.float32)
    if psf_px > 0:
        kernel = cv2.getGaussianKernel(2 * int(np.ceil(4 * psf_px)) + 1, psf_px, cv2.CV_32F)
        noise = np.stack([cv2.sepFilter2D(one, -1, kernel, kernel) for one in noise])
        sigma = sigma / float((kernel**2).sum())
    real, imaginary = noise * np.float32(sigma)
    return np.asarray(cv2.magnitude(signal + real, imaginary), np.float32)
