"""The targets and disturbances of the semi-synthetic recordings (`bench.semi_synthetic`)."""

from __future__ import annotations

from dataclasses import dataclass

TARGETS_MM: dict[str, dict[str, tuple[float, float, float, float]]] = {
    "KS81_1": {
        "vessels": (146, 146, 22, 18),
        "dome": (140, 95, 24, 14),
        "parenchyma": (110, 165, 14, 14),
        "kidney": (173, 240, 20, 30),
        "edge": (185, 125, 12, 16),
        "liver": (150, 150, 46, 44),
    },
    "QN76_1": {
        "vessels": (134, 165, 20, 18),
        "parenchyma": (120, 130, 12, 12),
        "small": (140, 170, 8, 8),
        "liver": (150, 150, 44, 40),
    },
    "II29_1": {
        "vessels": (172, 157, 18, 18),
        "parenchyma": (140, 140, 14, 12),
        "small": (165, 150, 8, 8),
        "liver": (150, 165, 42, 40),
    },
}

OTHER = {"KS81_1": "QN76_1", "QN76_1": "II29_1", "II29_1": "KS81_1"}
"""Volunteer whose anatomy comes into the slice when the target leaves it."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """The motion of the frames, and what else is done to them.

    Attributes
    ----------
    motion
        Name of a breathing trace, see `bench.semi_synthetic.breathing_mm`.
    depth_mm
        Superior-inferior excursion of a deep breath at the target.
    deformation_mm
        Amplitude of a smooth random deformation at full inspiration.
    deformation_scale_px
        Correlation length of that deformation.
    stretch_per_mm
        Decrease of the motion per mm towards the feet (compression of the organs).
    fade
        Fraction of the target's texture that through-plane motion replaces at full inspiration.
    noise
        Standard deviation of fresh noise, as a fraction of the 99th percentile.
    blur_mm
        Loss of resolution, as of a 0.35 T cine.
    band
        Whether a dark horizontal line stays fixed in the image.
    ripple
        Standard deviation of a pattern fixed in the image (aliasing, parallel imaging), in the unit of the noise.
    ramp
        Relative change of intensity over the recording.
    frames_per_s
        Cine rate.
    drop
        Fraction of frames that never arrive.
    """

    motion: str = "breath_hold"
    depth_mm: float = 35.0
    deformation_mm: float = 2.0
    fade: float = 0.3
    deformation_scale_px: float = 22.0
    stretch_per_mm: float = 0.0015
    noise: float = 0.03
    blur_mm: float = 0.0
    band: bool = False
    ripple: float = 0.0
    ramp: float = 0.2
    frames_per_s: float = 4.0
    drop: float = 0.0


SCENARIOS: dict[str, Disturbance] = {
    "breath_hold": Disturbance(),
    "breath_hold_45mm": Disturbance(depth_mm=45.0, deformation_mm=3.0, fade=0.45),
    "deforming": Disturbance(depth_mm=50.0, deformation_mm=5.0, stretch_per_mm=0.004, fade=0.45),
    "breath_hold_1Hz": Disturbance(frames_per_s=1.0),
    "low_field": Disturbance(blur_mm=1.5, noise=0.05),
    "free": Disturbance(motion="free", depth_mm=20.0, fade=0.2),
    "free_band": Disturbance(motion="free", depth_mm=25.0, band=True),
    "fast_drops": Disturbance(motion="free", depth_mm=30.0, drop=0.3),
    "noisy": Disturbance(motion="free", depth_mm=25.0, noise=0.12),
    "fading": Disturbance(depth_mm=30.0, fade=0.8),
    "gone": Disturbance(motion="free", depth_mm=25.0, fade=1.2),
    "artefact": Disturbance(motion="free", depth_mm=20.0, noise=0.05, ripple=0.12),
    "artefact_strong": Disturbance(motion="free", depth_mm=12.0, noise=0.05, ripple=0.3),
    "drift": Disturbance(motion="drift", depth_mm=15.0, ramp=0.6),
}
