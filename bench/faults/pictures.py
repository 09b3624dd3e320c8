"""Frames for the fault suite, drawn by the phantom, with the exact position of the target in each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from drivers.formats.pixels import WireDtype
from drivers.phantom import Breathing, Phantom, PhantomSettings, TargetLoss, Trace

Picture = NDArray[Any]
CALM_FRAMES: Final = 40
VESSEL: Final = np.s_[8:40, 8:40]
"""Rows and columns of a vessel that pulses, far from the target."""
PULSE_PER_S: Final = 1.2
PULSE_COUNTS: Final = 150.0
SHALLOW: Final = Breathing(inhale_si_mm=-1.0, inhale_ap_mm=-0.3, inhale_lr_mm=0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One frame and the truth about it."""

    pixels: Picture
    contour_px: NDArray[np.float32]
    visible: bool


class PictureBook:
    """The pictures of the scripted source: a calm patient, and motions on demand.

    Parameters
    ----------
    seed
        Seed of the phantom.
    rate_per_s
        Frames per second.
    dtype
        Dtype of the pixels.
    """

    def __init__(self, seed: int, rate_per_s: float, dtype: WireDtype) -> None:
        self.settings = PhantomSettings(
            seed=seed,
            rows=104,
            columns=88,
            pixel_spacing_mm=(2.4, 2.4),
            frames_per_s=rate_per_s,
            interval_jitter=0.0,
            target_radius_mm=14,
            noise_sigma=0.03,
            intensity_drift_per_min=0.0,
            breathing=SHALLOW,
            dtype=dtype,
        )
        phantom = Phantom(self.settings)
        self.rate_per_s = rate_per_s
        self.orientation, self.position_mm = phantom.orientation, phantom.position_mm
        self.calm = [_shot(phantom, index) for index in range(CALM_FRAMES)]
        self.contour_px = self.calm[0].contour_px

    def alive(self, pixels: Picture, slot: int) -> Picture:
        """Return a picture as a scanner shows it in a slot: with the slot's own noise, and a vessel that pulses."""
        noise = np.random.default_rng((self.settings.seed, slot)).integers(0, 2, pixels.shape)
        shown: Picture = pixels + noise.astype(pixels.dtype)
        pulse = 1 + np.sin(2 * np.pi * PULSE_PER_S * slot / self.rate_per_s)
        shown[VESSEL] += shown.dtype.type(PULSE_COUNTS * pulse)
        return shown

    def motion(
        self,
        si_mm: Callable[[float], float],
        seconds: float,
        *,
        ap_mm: Callable[[float], float] = lambda _: 0.0,
        loss: TargetLoss | None = None,
        noise_sigma: float | None = None,
    ) -> list[Shot]:
        """Draw a motion, given as displacement in mm over the time in s since its start."""
        t_s = np.arange(0, seconds + 2, 0.01)
        rest = np.zeros_like(t_s)
        trace = Trace(t_s, np.array([si_mm(t) for t in t_s]), np.array([ap_mm(t) for t in t_s]), rest)
        settings = replace(
            self.settings,
            losses=() if loss is None else (loss,),
            noise_sigma=self.settings.noise_sigma if noise_sigma is None else noise_sigma,
        )
        phantom = Phantom(settings, trace)
        return [_shot(phantom, index) for index in range(round(seconds * self.rate_per_s))]


def _shot(phantom: Phantom, index: int) -> Shot:
    pixels = np.empty(phantom.shape, phantom.settings.dtype)
    phantom.render_into(index, pixels)
    truth = phantom.truth(index)
    return Shot(pixels, np.ascontiguousarray(truth.contour_px, np.float32), truth.visible)
