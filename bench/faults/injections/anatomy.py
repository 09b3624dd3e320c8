"""Faults of the anatomy: whatever the picture shows, no beam while the target is truly outside its boundary."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bench.faults.injections.registry import INJECTIONS, Steps, Unmet
from bench.faults.pictures import Picture, Shot
from bench.faults.scene import AFTER_DRAWING_MS, Scene
from drivers.phantom import TargetLoss

OUTSIDE = 0.25
"""True target-out fraction that is beyond doubt; the limit is 0.10."""

Film = Callable[[Scene], list[Shot]]


def _film_fault(fault_id: str, film: Film) -> None:
    """Register a film whose target ends outside, visible from its first frame that stays outside beyond doubt."""

    def inject(scene: Scene) -> Steps:
        shots = film(scene)
        outside = [scene.outside(shot) > OUTSIDE for shot in shots]
        if not (any(outside) and outside[-1]):
            raise Unmet("the film does not end with the target outside")
        last_inside = max((index for index, is_out in enumerate(outside) if not is_out), default=-1)
        scene.settle(AFTER_DRAWING_MS)
        scene.play(shots)
        scene.next_frame(last_inside + 2)
        scene.mark_visible(scene.source.sent_ns)
        yield
        scene.calm()

    INJECTIONS[fault_id] = inject


def _ramp(to_mm: float, seconds: float) -> Callable[[float], float]:
    return lambda t: to_mm * min(t / seconds, 1.0)


def _cough(t: float) -> float:
    return -14.0 * min(1.0, t / 0.1) if t < 0.5 else -14.0


def _film(si_mm: Callable[[float], float], seconds: float, **more: object) -> Film:
    return lambda scene: scene.book.motion(si_mm, seconds, **more)  # type: ignore[arg-type]  # of several types


_film_fault("target_leaves_window", _film(_ramp(-15, 1.0), 1.5))
_film_fault("target_leaves_window_forward", _film(lambda _: 0.0, 1.5, ap_mm=_ramp(-14, 1.0)))
_film_fault("target_jumps", _film(lambda t: -16.0 if t > 0.01 else 0.0, 1.0))
_film_fault("cough", _film(_cough, 0.8))
_film_fault("swallow", _film(lambda t: 14 * math.sin(min(t / 0.6, 1) * math.pi / 2) ** 2, 1.0))
_film_fault("baseline_drift", _film(_ramp(-16, 5.0), 5.5))
_film_fault("deep_breath_hold", _film(_ramp(-22, 1.2), 1.8))
_film_fault(
    "through_plane_motion",
    _film(lambda _: 0.0, 1.5, loss=TargetLoss(start_s=0.1, duration_s=60, ramp_s=0.4)),
)
_film_fault(
    "target_leaves_image",
    lambda scene: [_shifted(scene, shot, index * 8) for index, shot in enumerate(scene.book.calm[:14])],
)
_film_fault(
    "lookalike_stays_when_target_leaves",
    lambda scene: _with_lookalike(scene, scene.book.motion(_ramp(-18, 0.8), 1.4)),
)
_film_fault("noise_artefact_and_leave", _film(_ramp(-15, 1.0), 1.5, noise_sigma=0.15))
_film_fault(
    "rotating_spikes_and_leave",
    lambda scene: [_spiked(shot, index) for index, shot in enumerate(scene.book.motion(_ramp(-15, 1.0), 1.5))],
)
_film_fault(
    "contrast_change_and_leave",
    lambda scene: [_repainted(shot, _inverted(shot.pixels)) for shot in scene.book.motion(_ramp(-15, 1.0), 1.5)],
)
_film_fault(
    "intensity_step_and_leave",
    lambda scene: [_repainted(shot, _scaled(shot.pixels, 4.0)) for shot in scene.book.motion(_ramp(-15, 1.0), 1.5)],
)
_film_fault(
    "signal_fades_and_leave",
    lambda scene: [_repainted(shot, _scaled(shot.pixels, 0.1)) for shot in scene.book.motion(_ramp(-15, 1.0), 1.5)],
)


def _repainted(shot: Shot, pixels: Picture) -> Shot:
    return replace(shot, pixels=pixels)


def _scaled(pixels: Picture, factor: float) -> Picture:
    most = np.iinfo(pixels.dtype).max
    scaled: Picture = np.clip(pixels.astype(np.float64) * factor, 0, most).astype(pixels.dtype)
    return scaled


def _inverted(pixels: Picture) -> Picture:
    inverted: Picture = (pixels.max() - pixels).astype(pixels.dtype)
    return inverted


def _spiked(shot: Shot, index: int) -> Shot:
    """Add stripes as strong as the anatomy, turned by 20 degrees a frame: a gantry that rotates beside the coil."""
    rows, columns = np.mgrid[: shot.pixels.shape[0], : shot.pixels.shape[1]]
    angle = math.radians(20 * index)
    stripes = np.sin((columns * math.cos(angle) + rows * math.sin(angle)) * 0.9)
    spiked = shot.pixels + 0.5 * float(np.percentile(shot.pixels, 95)) * (stripes + 1)
    return _repainted(shot, np.clip(spiked, 0, np.iinfo(shot.pixels.dtype).max).astype(shot.pixels.dtype))


def _shifted(scene: Scene, shot: Shot, pixels_down: int) -> Shot:
    """Slide the whole picture out of the image."""
    moved = np.zeros_like(shot.pixels)
    height = shot.pixels.shape[0] - pixels_down
    if height > 0:
        moved[pixels_down:] = shot.pixels[:height]
    noise = scene.book.calm[pixels_down % len(scene.book.calm)].pixels
    moved[:pixels_down] = noise[:pixels_down] // 20
    return Shot(moved, shot.contour_px + np.array([0, pixels_down], np.float32), True)


def _with_lookalike(scene: Scene, shots: list[Shot]) -> list[Shot]:
    """Leave a copy of the target's centre where the target was, while the target itself moves away."""
    reference = scene.book.calm[0]
    x, y = reference.contour_px.mean(axis=0)
    rows, columns = np.mgrid[: reference.pixels.shape[0], : reference.pixels.shape[1]]
    reach = np.ptp(reference.contour_px[:, 0]) / 2 * 0.8
    inside = np.hypot(columns - x, rows - y) < reach
    pasted = []
    for index, shot in enumerate(shots):
        pixels = shot.pixels.copy()
        pixels[inside] = scene.book.calm[index % len(scene.book.calm)].pixels[inside]
        pasted.append(_repainted(shot, pixels))
    return pasted
