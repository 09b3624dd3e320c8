"""A target that breathes, and may be held, for tests of the memory of a preparation."""

import cv2
import numpy as np

from gating.geometry.contours import box_contour

SHAPE = (110, 100)
TARGET = box_contour(38, 26, 22, 24)
FRAME_S = 0.25


def texture(seed, shape=SHAPE, scale=2.2):
    field = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal(shape).astype(np.float32), (0, 0), scale)
    return field / field.std()


def breathing(count, depth_px=10.0):
    """Displacement in px of frames of quiet breathing that begin at rest."""
    return depth_px * np.sin(np.pi * np.arange(count) * FRAME_S / 4.0) ** 4


def held(count, depth_px=30.0):
    """Quiet breathing for 4 s, and a hold well beyond it."""
    quiet = breathing(count)
    ramp = np.clip((np.arange(count) - 16) / 4.0, 0.0, 1.0)
    return np.where(np.arange(count) < 16, quiet, quiet * (1 - ramp) + depth_px * ramp)


def cine(motion_px, *, changes=0.0, noise=0.03, seed=1):
    """Frames (n, rows, columns) uint16 moved down by `motion_px`; `changes` blends in another texture with depth."""
    scenes = texture(seed, (220, 100)), texture(seed + 50, (220, 100))
    depth = max(float(np.abs(motion_px).max()), 1e-6)
    frames = []
    for index, shift in enumerate(motion_px):
        share = changes * abs(shift) / depth
        scene = (1.0 - share) * scenes[0] + share * scenes[1]
        move = np.array([[1, 0, 0], [0, 1, shift - 55]], np.float32)
        pixels = cv2.warpAffine(scene, move, SHAPE[::-1], flags=cv2.INTER_CUBIC)
        frames.append(400 + 80 * (pixels + noise * texture(900 + index, scale=0.6)))
    return np.clip(np.stack(frames), 0, 65535).astype(np.uint16)


def elapsed(count):
    return np.concatenate([[0.0], np.full(count - 1, FRAME_S)])
