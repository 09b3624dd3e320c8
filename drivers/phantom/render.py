"""Pixels and truth of a phantom at any time.

The anatomy is drawn once, three times finer than the frames. A frame looks up where each of its pixels came from:
X = x - u(x, t), with u smooth and known everywhere. The outline of the target in a frame solves x = X + u(x, t) for the
outline at exhale. So position and contour are exact to the solver's 1e-6 mm, and pixels to the interpolation.

Pixels pass through sums, products, square roots and table look-ups only. These round alike on every machine, so the
same seed gives the same bits (a library's warp may contract products, depending on the processor).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import Unavailable
from drivers.phantom.anatomy import TARGET_CENTRE, Slice, draw, target_outline
from drivers.phantom.motion import Displacement, Motion, smoothstep
from drivers.phantom.settings import PhantomSettings, Trace, checked_settings
from gating.geometry.contours import contour_centroid

FINENESS: Final = 3
MARGIN_MM: Final = 60.0
COUNTS: Final = {"uint8": 200.0, "uint16": 600.0, "float32": 600.0}
"""Pixel value of a signal of 1 (fat)."""
MAX_FOLD: Final = 0.9
"""Largest allowed gradient of the displacement field; at 1 the anatomy folds over itself."""
_STAMP_STREAM: Final = 1
_NOISE_STREAM: Final = 5
_PSF: Final = np.array([1.0, 6.0, 15.0, 20.0, 15.0, 6.0, 1.0]) / 64.0
"""Binomial, with a sigma of 1.2 samples of the fine grid or 0.4 px of a frame: no detail is finer than a pixel."""

_ORIENTATIONS: Final = {"sagittal": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0), "coronal": (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)}


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The target in one frame."""

    centre_px: tuple[float, float]
    """Centroid (x, y) of the outline."""
    contour_px: NDArray[np.float64]
    """(72, 2) of (x, y)."""
    visible: bool
    """False where the slice misses the target."""


class Phantom:
    """Frames and truth by index. The constructor draws the anatomy, in a fraction of a second.

    Raises
    ------
    Unavailable
        If a setting is out of bounds.
    """

    def __init__(self, settings: PhantomSettings, trace: Trace | None = None) -> None:
        self.settings = checked_settings(settings)
        self.orientation = _ORIENTATIONS[settings.plane]
        self.shape = settings.rows, settings.columns
        self.spacing_mm = settings.pixel_spacing_mm
        self._motion = Motion(self.settings, trace)
        fov_mm = settings.rows * self.spacing_mm[0], settings.columns * self.spacing_mm[1]
        self.unit_mm = min(fov_mm) / 2
        """The anatomy's unit of length: half the smaller side of the field of view."""
        self.position_mm = self._first_pixel_mm()
        self._outline_mm = target_outline(settings.target_radius_mm / self.unit_mm) * self.unit_mm
        self._prepare()
        self._draw()

    def stamp_ns(self, index: int) -> int:
        """Return the acquisition stamp of a frame, ns. Stamps increase in uneven steps on a 0.1 ms grid."""
        interval_ns = 1e9 / self.settings.frames_per_s
        random = np.random.Generator(np.random.PCG64([self.settings.seed, _STAMP_STREAM, index]))
        jitter = random.uniform(-0.5, 0.5) * self.settings.interval_jitter * bool(index)
        return round((index + jitter) * interval_ns / 1e5) * 100_000

    def displacement(self, index: int) -> Displacement:
        """Return the displacement of the anatomy at the target in a frame."""
        return self._motion.at(self.stamp_ns(index) / 1e9)

    def truth(self, index: int) -> Truth:
        """Return the exact position of the target in a frame."""
        displacement = self.displacement(index)
        across_mm, down_mm = self.in_image(displacement)
        here = self._outline_mm.copy()
        for _ in range(400):
            sideways, downward = self.motion_weights(here[:, 0], here[:, 1])
            moved = self._outline_mm + np.stack([across_mm * sideways, down_mm * downward], axis=1)
            change, here = float(np.abs(moved - here).max()), moved
            if change < 1e-6:
                break
        row_mm, column_mm = self.spacing_mm
        contour_px = here / (column_mm, row_mm) + ((self.shape[1] - 1) / 2, (self.shape[0] - 1) / 2)
        return Truth(contour_centroid(contour_px), contour_px, displacement.lost < 0.5)

    def render_into(self, index: int, pixels: NDArray[Any]) -> None:
        """Write a frame into `pixels`, (rows, columns) of the dtype in the settings."""
        settings, displacement = self.settings, self.displacement(index)
        signal = self.signal(displacement)
        minutes = self.stamp_ns(index) / 60e9
        scale = COUNTS[settings.dtype] * max(0.05, 1 + settings.intensity_drift_per_min * minutes)
        signal *= self._gain * np.float32(scale)
        random = np.random.Generator(np.random.PCG64([settings.seed, _NOISE_STREAM, index]))
        noise = random.standard_normal((2, *self.shape), dtype=np.float32)
        noise *= np.float32(COUNTS[settings.dtype] * settings.noise_sigma * displacement.noise_factor)
        signal += noise[0]
        np.sqrt(signal * signal + noise[1] * noise[1], out=signal)
        if settings.dtype == "float32":
            pixels[...] = signal
        else:
            np.rint(signal, out=signal)
            pixels[...] = np.minimum(signal, np.float32(np.iinfo(settings.dtype).max))

    def signal(self, displacement: Displacement) -> NDArray[np.float32]:
        """Return the signal of the displaced anatomy at every pixel, without gain and noise."""
        across_mm, down_mm = self.in_image(displacement)
        fine_x = self._fine_x - self._sideways * np.float32(across_mm / self._fine_mm[1])
        fine_y = self._fine_y - self._downward * np.float32(down_mm / self._fine_mm[0])
        return self._look_up(fine_x, fine_y, displacement)

    def _look_up(self, fine_x: NDArray[Any], fine_y: NDArray[Any], displacement: Displacement) -> NDArray[np.float32]:
        """Mix the slices, each interpolated bilinearly: a deep breath shows the neighbour, a loss the empty one."""
        height, width = self._slices[0].shape
        np.clip(fine_x, 0, width - 2, out=fine_x)
        np.clip(fine_y, 0, height - 2, out=fine_y)
        left, top = fine_x.astype(np.int32), fine_y.astype(np.int32)
        fine_x -= left
        fine_y -= top
        corner = top * np.int32(width) + left
        lost = displacement.lost
        neighbour = (1 - lost) * 0.6 * smoothstep((displacement.depth - 0.7) / 0.6)
        signal = np.zeros(self.shape, np.float32)
        for share, slice_ in zip((1 - neighbour - lost, neighbour, lost), self._slices, strict=True):
            if share > 0:
                flat = slice_.ravel()
                above = flat.take(corner)
                above += (flat.take(corner + 1) - above) * fine_x
                below = flat.take(corner + width)
                below += (flat.take(corner + (width + 1)) - below) * fine_x
                above += (below - above) * fine_y
                signal += above * np.float32(share)
        return signal

    def motion_weights(self, x_mm: NDArray[Any], y_mm: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return how far each point moves along (columns, rows), relative to the target's centre.

        The dome of the liver moves most, organs below it less and less, spine and skin not at all.
        """
        at_target = self._participation(np.array(TARGET_CENTRE[0]), np.array(TARGET_CENTRE[1]))
        sideways, downward = self._participation(x_mm / self.unit_mm, y_mm / self.unit_mm)
        return sideways / at_target[0], downward / at_target[1]

    def _participation(self, x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        if self.settings.plane == "sagittal":
            sideways = 1 - _smooth((x - 0.10) / 0.50)
            inner = sideways * _smooth((x + 0.85) / 0.45)
        else:
            inner = _smooth((x + 0.85) / 0.45) * (1 - _smooth((x - 0.40) / 0.45))
            sideways = inner
        lower = 1 - 0.5 * _smooth((y + 0.1) / 1.1)
        return sideways * lower, inner * lower

    def in_image(self, displacement: Displacement) -> tuple[float, float]:
        """Return a displacement along (columns, rows), mm."""
        patient = np.array([displacement.lr_mm, displacement.ap_mm, displacement.si_mm])
        across, down = np.reshape(self.orientation, (2, 3)) @ patient
        return float(across), float(down)

    def _first_pixel_mm(self) -> tuple[float, float, float]:
        """Return the patient position of pixel (0, 0), with the origin in the middle of the field of view."""
        axes = np.reshape(self.orientation, (2, 3))
        half_x = (self.shape[1] - 1) / 2 * self.spacing_mm[1]
        half_y = (self.shape[0] - 1) / 2 * self.spacing_mm[0]
        x, y, z = (float(value) + 0.0 for value in -half_x * axes[0] - half_y * axes[1])
        return x, y, z

    def _draw(self) -> None:
        """Draw the slices: the imaged one, its neighbour with other vessels, and one that misses the target."""
        settings = self.settings
        down_mm, across_mm = self._fine_axes_mm()
        y, x = down_mm[:, None] / self.unit_mm, across_mm[None, :] / self.unit_mm
        images = draw(
            x,
            y,
            0.4 * min(self.spacing_mm) / self.unit_mm,
            plane=settings.plane,
            seed=settings.seed,
            slices=(Slice(0, True), Slice(1, True), Slice(2, False)),
            target_radius=settings.target_radius_mm / self.unit_mm,
            target_signal=settings.target_signal,
        )
        self._slices = [_quantised(_blurred(image)) for image in images]

    def _fine_axes_mm(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the coordinates of the fine grid's rows and columns, with a margin around the frame."""
        axes = []
        for side, fine_mm in zip(self.shape, self._fine_mm, strict=True):
            border = int(MARGIN_MM / fine_mm) + 1
            steps = np.arange(side * FINENESS + 2 * border, dtype=np.float64)
            axes.append((steps - (side * FINENESS - 1) / 2 - border) * fine_mm)
        return axes[0], axes[1]

    def _prepare(self) -> None:
        """Compute everything that stays the same from frame to frame."""
        rows, columns = self.shape
        y_mm = ((np.arange(rows) - (rows - 1) / 2) * self.spacing_mm[0])[:, None] + np.zeros((1, columns))
        x_mm = ((np.arange(columns) - (columns - 1) / 2) * self.spacing_mm[1])[None, :] + np.zeros((rows, 1))
        sideways, downward = self.motion_weights(x_mm, y_mm)
        self._check_folding(sideways, downward)
        self._sideways, self._downward = sideways.astype(np.float32), downward.astype(np.float32)
        self._fine_mm = self.spacing_mm[0] / FINENESS, self.spacing_mm[1] / FINENESS
        first_y_mm, first_x_mm = (float(axis[0]) for axis in self._fine_axes_mm())
        self._fine_x = ((x_mm - first_x_mm) / self._fine_mm[1]).astype(np.float32)
        self._fine_y = ((y_mm - first_y_mm) / self._fine_mm[0]).astype(np.float32)
        x, y = x_mm / self.unit_mm, y_mm / self.unit_mm
        gain = 1.05 - 0.22 * (x + 0.2) ** 2 - 0.12 * (y - 0.1) ** 2
        from_band = (np.arange(rows) / (rows - 1) - self.settings.band_row) * rows * self.spacing_mm[0] / 5.0
        band = 1 - self.settings.band_depth / (1 + from_band**2) ** 2
        self._gain = (np.maximum(gain, 0.3) * band[:, None]).astype(np.float32)

    def _check_folding(self, sideways: NDArray[Any], downward: NDArray[Any]) -> None:
        breathing = self.settings.breathing
        largest_mm = max(abs(breathing.inhale_si_mm), abs(breathing.inhale_ap_mm)) * (1 + 2 * breathing.variability)
        steepest = max(
            float(np.abs(np.diff(weights, axis=axis)).max()) / self.spacing_mm[axis]
            for weights in (sideways, downward)
            for axis in (0, 1)
        )
        if not largest_mm * steepest < MAX_FOLD:
            raise Unavailable(
                f"phantom settings: a breath of {largest_mm:.0f} mm folds the anatomy of a {2 * self.unit_mm:.0f} mm "
                f"field of view; {MAX_FOLD / steepest:.0f} mm is the most"
            )


def _smooth(x: NDArray[Any]) -> NDArray[Any]:
    x = np.clip(x, 0, 1)
    step: NDArray[Any] = x * x * (3 - 2 * x)
    return step


def _blurred(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convolve with the point spread function along rows, then columns; the border repeats its nearest value."""
    reach = len(_PSF) // 2
    for axis in (0, 1):
        wide = np.pad(image, [(reach, reach) if axis == at else (0, 0) for at in (0, 1)], mode="edge")
        size = image.shape[axis]
        image = sum(weight * np.take(wide, range(start, start + size), axis=axis) for start, weight in enumerate(_PSF))
    return image


def _quantised(image: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round to 2^-14, to absorb the last bits in which mathematical libraries differ."""
    return np.ascontiguousarray(np.rint(image * 16384) / 16384, np.float32)
