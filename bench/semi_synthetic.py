"""Semi-synthetic truth: real cine frames moved, deformed, faded and disturbed by known amounts.

A *still* is one real frame, resampled to 1 mm, with most of its noise removed. A *motion* is a backward displacement
field for each frame, `frame_t(x) = still(x - v(x, t))`. The label of every frame follows from the same field, so the
truth is exact. Then come the difficulties of tracking: sliding along the back, a dark band fixed in the image, anatomy
that leaves the slice, intensity drift, fresh noise and dropped frames.

Real recordings are also *shifted* (real frames and changes of appearance, with a known shift added to the reference
track) and *thinned* (every n-th frame: large steps, same reference track).
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.disturbances import OTHER, SCENARIOS, TARGETS_MM, Disturbance
from bench.truth.people import DATA
from gating.evaluation.case import Case
from gating.geometry.contours import contour_from_mask

Image = NDArray[np.float32]
BACK_FRACTION = 0.78


def breathing_mm(
    kind: str, time_s: NDArray[np.float64], depth_mm: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the superior-inferior displacement over time, mm: positive towards the feet, 0 at the first frame."""
    period = rng.uniform(3.5, 5.0)
    phase = np.cumsum(np.diff(time_s, prepend=time_s[0]) / (period * (1 + 0.15 * np.sin(time_s / 7.0))))
    quiet = np.sin(np.pi * phase) ** 4
    if kind == "free":
        trace = depth_mm * quiet * (1.0 + 0.25 * np.sin(time_s / 11.0)) / 1.25
    elif kind == "drift":
        trace = depth_mm * (0.6 * quiet + 0.4 * time_s / time_s[-1])
    elif kind == "breath_hold":
        start, end = 0.22 * time_s[-1], 0.75 * time_s[-1]
        rise = 1.0 / (1.0 + np.exp(-(time_s - start) / 0.30))
        fall = 1.0 / (1.0 + np.exp(-(end - time_s) / 0.25))
        hold = rise * fall
        trace = 0.35 * depth_mm * quiet * (1 - hold) + hold * depth_mm * (1.0 - 0.08 * (time_s - start) / (end - start))
    else:
        raise ValueError(f"motion: {kind!r} is unknown; known are free, drift, breath_hold")
    return np.asarray(trace - trace[0])


def smooth_field(shape: tuple[int, int], scale_px: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a smooth random field of unit standard deviation, (2, rows, columns): along rows first."""
    field = np.stack([cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), scale_px) for _ in "yx"])
    return np.asarray(field / field.std(), np.float32)


def load_still(name: str, frame: int = 0) -> tuple[Image, float]:
    """Return a real frame, resampled to 1 mm, smoothed along its edges, with a 99th percentile of 1; and its mm/px."""
    with np.load(DATA / "liver_cine" / f"{name}.npz") as arrays:
        pixels, spacing = arrays["frames"][frame].astype(np.float32), arrays["pixel_spacing_mm"]
    fx, fy = float(spacing[1]), float(spacing[0])
    pixels = pixels / np.percentile(pixels, 99)
    calm = cv2.bilateralFilter(pixels, 5, 0.12, 1.5)
    return cv2.resize(calm, None, fx=fx, fy=fy, interpolation=cv2.INTER_CUBIC), fx


def elliptic_label(shape: tuple[int, int], target: tuple[float, float, float, float], wobble: float) -> Image:
    """Return a map like a signed distance, above 0 in a wavy ellipse; `target` is x, y, rx, ry in mm."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    x, y, rx, ry = target
    angle = np.arctan2(rows - y, columns - x)
    radius = 1.0 + wobble * np.sin(3 * angle + 1.0)
    return np.asarray((radius - np.hypot((columns - x) / rx, (rows - y) / ry)) * min(rx, ry), np.float32)


def make_case(name: str, target: str, scenario: str, *, seed: int = 0, seconds: float = 30.0) -> Case:
    """Return one recording with exact labels and 1 mm pixels."""
    what = SCENARIOS[scenario]
    rng = np.random.default_rng([seed, *name.encode(), *target.encode(), *scenario.encode()])
    still, _ = load_still(name)
    shape = (still.shape[0], still.shape[1])
    label_map = elliptic_label(shape, TARGETS_MM[name][target], 0.12)
    time_s = np.arange(0.0, seconds, 1.0 / what.frames_per_s)
    if what.drop:
        time_s = time_s[np.sort(np.append(0, 1 + np.flatnonzero(rng.random(len(time_s) - 1) >= what.drop)))]
    motion = breathing_mm(what.motion, time_s, what.depth_mm, rng)
    frames, labels = [], []
    scene = Scene(still, load_still(OTHER[name])[0], label_map, TARGETS_MM[name][target], what, rng)
    for index, moved in enumerate(motion):
        pixels, label = scene.render(float(moved), index / max(len(motion) - 1, 1))
        frames.append(pixels)
        labels.append(label)
    elapsed = np.diff(time_s, prepend=time_s[0])
    contour = contour_from_mask(labels[0])
    return Case(f"{name}/{target}/{scenario}", np.stack(frames), elapsed, (1.0, 1.0), contour, np.stack(labels))


class Scene:
    """One still, with the fields that move and disturb it."""

    def __init__(
        self,
        still: Image,
        other: Image,
        label_map: Image,
        target: tuple[float, float, float, float],
        what: Disturbance,
        rng: np.random.Generator,
    ) -> None:
        rows, columns = still.shape
        self._still, self._label_map, self._what, self._rng = still, label_map, what, rng
        self._grid = np.mgrid[:rows, :columns].astype(np.float32)
        x, y, rx, ry = target
        back = BACK_FRACTION * columns
        slide = 1.0 / (1.0 + np.exp((self._grid[1] - back) / 2.0))
        stretch = 1.0 - what.stretch_per_mm * rng.uniform(0.3, 1.5) * (self._grid[0] - y)
        self._weight = (slide * np.clip(stretch, 0.3, 1.4)).astype(np.float32)
        self._ap = float(rng.uniform(-0.25, 0.25))
        self._field = smooth_field((rows, columns), what.deformation_scale_px, rng) * slide.astype(np.float32)
        self._other = np.roll(cv2.resize(other, (columns, rows)), rng.integers(-25, 25, 2), (0, 1))
        away = ((self._grid[1] - x) / (1.6 * rx)) ** 2 + ((self._grid[0] - y) / (1.6 * ry)) ** 2
        self._window = np.exp(-0.5 * away)
        pattern = smooth_field((rows, columns), 1.3, rng)[0] - smooth_field((rows, columns), 3.0, rng)[0]
        self._ripple = pattern * np.float32(what.ripple / pattern.std())
        self._band_row = int(y + rng.uniform(-0.3, 0.3) * ry)

    def render(self, moved_mm: float, progress: float) -> tuple[Image, NDArray[np.bool_]]:
        """Return frame and label with the target displaced by `moved_mm`."""
        what = self._what
        depth = min(abs(moved_mm) / what.depth_mm, 1.2)
        v_rows = self._weight * moved_mm + self._field[0] * what.deformation_mm * depth
        v_columns = self._weight * moved_mm * self._ap + self._field[1] * what.deformation_mm * depth
        map_rows, map_columns = self._grid[0] - v_rows, self._grid[1] - v_columns
        alpha = np.minimum(what.fade * depth * self._window, 1.0).astype(np.float32)
        faded = self._still * (1 - alpha) + self._other * alpha
        pixels = cv2.remap(faded, map_columns, map_rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        label = cv2.remap(self._label_map, map_columns, map_rows, cv2.INTER_LINEAR, borderValue=-10.0) > 0
        if what.blur_mm:
            pixels = cv2.GaussianBlur(pixels, (0, 0), what.blur_mm)
        noise = self._rng.standard_normal(pixels.shape).astype(np.float32)
        noise = cv2.GaussianBlur(noise, (0, 0), 0.7 + what.blur_mm / 2)
        pixels = (pixels + self._ripple) * (1.0 + what.ramp * progress) + noise * np.float32(what.noise / noise.std())
        if what.band:
            pixels[self._band_row : self._band_row + 2] *= 0.25
        return np.clip(400.0 * np.abs(pixels), 0, 65535).astype(np.uint16), label


def thinned(case: Case, step: int) -> Case:
    """Return every `step`-th frame of a recording."""
    kept = slice(None, None, step)
    time_s = np.cumsum(case.elapsed_s)[kept]
    track = None if case.track_px is None else case.track_px[kept]
    elapsed = np.diff(time_s, prepend=time_s[0])
    return replace(case, name=f"{case.name}/every{step}", frames=case.frames[kept], elapsed_s=elapsed, track_px=track)


def shifted(case: Case, depth_mm: float, *, seed: int = 0) -> Case:
    """Return real frames with the added shift of a breath-hold, and the reference track shifted alike."""
    rng = np.random.default_rng([seed, *case.name.encode()])
    time_s = np.cumsum(case.elapsed_s)
    step = breathing_mm("breath_hold", time_s, depth_mm, rng) / case.pixel_spacing_mm[0]
    frames = np.empty_like(case.frames)
    for index, pixels in enumerate(case.frames):
        move = np.array([[1, 0, 0], [0, 1, step[index]]], np.float32)
        size = pixels.shape[::-1]
        frames[index] = cv2.warpAffine(pixels, move, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    assert case.track_px is not None
    track = case.track_px + np.stack([np.zeros_like(step), step], axis=1)
    return replace(case, name=f"{case.name}/shifted{depth_mm:g}", frames=frames, track_px=track)
