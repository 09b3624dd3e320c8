"""What a frame and a target must satisfy to be tracked, with one sentence for each failure."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gating.geometry.contours import contour_centroid, mask_from_contour
from gating.tracking.tracker import TrackingError

MIN_FRAME_PX = 16
MIN_TARGET_PX = 12
MIN_TARGET_SIDE_PX = 3


def checked_pixels(pixels: NDArray[Any], shape: tuple[int, ...] | None = None) -> NDArray[Any]:
    """Return a frame as uint8, uint16 or float32, C-contiguous; other types become float32.

    Parameters
    ----------
    pixels : (rows, columns) real numbers
    shape : tuple of int, optional
        Shape of the reference frame.

    Raises
    ------
    TrackingError
        If it is not a 2D image of finite real numbers, differs in shape from the reference, is tiny, or is flat.
    """
    frame = np.asarray(pixels)
    if frame.ndim != 2 or frame.dtype.kind not in "uif":
        raise TrackingError(f"the frame must be a 2D array of real numbers, got shape {frame.shape}, {frame.dtype}")
    if shape is not None and frame.shape != shape:
        raise TrackingError(f"the frame is {frame.shape}, the reference frame was {shape} (rows, columns)")
    if min(frame.shape) < MIN_FRAME_PX:
        raise TrackingError(f"the frame is {frame.shape} px, each side must be {MIN_FRAME_PX} px or more")
    frame = np.ascontiguousarray(frame, None if frame.dtype.char in "BHf" else np.float32)
    low, high = cv2.minMaxLoc(frame)[:2] if frame.dtype.kind == "u" else (float(frame.min()), float(frame.max()))
    if not (math.isfinite(low) and math.isfinite(high)):
        raise TrackingError("the frame holds NaN or infinite pixels")
    if not high > low:
        raise TrackingError(f"the frame is flat: every pixel is {low:g}")
    return frame


def checked_frame(pixels: NDArray[Any], shape: tuple[int, ...] | None = None) -> NDArray[np.float32]:
    """Return a frame as float32; see `checked_pixels`."""
    return np.ascontiguousarray(checked_pixels(pixels, shape), np.float32)


def checked_target(contour_px: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a target's contour as float32.

    Parameters
    ----------
    contour_px : (n, 2) real numbers
        Points (x, y).
    shape : tuple of int
        Rows and columns of the frame.

    Raises
    ------
    TrackingError
        If it is not a closed outline of finite points, lies outside the frame or is too small to track.
    """
    contour = np.asarray(contour_px)
    if contour.ndim != 2 or contour.shape[1:] != (2,) or contour.dtype.kind not in "uif":
        raise TrackingError(f"the target contour must be an (n, 2) array of x and y, got shape {contour.shape}")
    if len(contour) < 3:
        raise TrackingError(f"the target contour is empty: it has {len(contour)} points and needs 3 or more")
    if not np.isfinite(contour).all():
        raise TrackingError("the target contour holds NaN or infinite points")
    rows, columns = shape
    mask = mask_from_contour(contour, (rows, columns))
    covered = int(mask.sum())
    outside = (contour.min(axis=0) < -1.0).any() or (contour.max(axis=0) > (columns, rows)).any()
    if covered == 0 and outside:
        raise TrackingError(f"the target lies outside the frame of {rows} x {columns} px (rows x columns)")
    if outside:
        raise TrackingError(f"the target reaches beyond the frame of {rows} x {columns} px (rows x columns)")
    sides = (int(mask.any(axis=0).sum()), int(mask.any(axis=1).sum()))
    if covered < MIN_TARGET_PX or min(sides) < MIN_TARGET_SIDE_PX:
        raise TrackingError(
            f"the target covers {covered} px ({sides[0]} wide, {sides[1]} high), it must cover "
            f"{MIN_TARGET_PX} px and be {MIN_TARGET_SIDE_PX} px wide and high"
        )
    if not np.isfinite(contour_centroid(contour)).all():
        raise TrackingError("the target contour encloses no area")
    return contour.astype(np.float32)
