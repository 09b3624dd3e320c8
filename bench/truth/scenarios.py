"""The catalogue of scenes: what moves, how the picture changes, and whose anatomy it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bench.truth.people import TONGUES, TRUNKS


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One kind of scene. Depth-dependent effects are complete at full depth.

    Attributes
    ----------
    motion
        `free`, `holds` or `recorded`, see `bench.truth.breathing`.
    depth_mm, lag_s, drift_mm
        SI excursion, lag of what else moves, baseline shift over the recording.
    target
        `organ`, `region` or `small`, see `bench.truth.people`.
    organ_mm
        The still is scaled until the target has at most this (width, height); None leaves it as it is.
    compression, expansion
        Loss of the target's height and gain of its depth (AP), as fractions.
    rotation_deg
        Of the target about its centre.
    held
        Fraction of the motion around it that the target does not share.
    ripple_mm, ripple_scale_px
        Random smooth deformation.
    beat_mm
        Pull of the heart at the target's top.
    texture, inside
        Fraction of the structure finer than 12 mm that is left everywhere (little in an organ at low field), and of
        what is inside the target.
    through_plane, stranger
        Fraction of the target's texture that another still replaces; whether that still is another person's.
    shading, phase_shading
        Relative change of intensity over the image, fixed in it; and the one that comes and goes with depth.
    band
        Whether a dark line lies still in the image.
    snr
        Mean signal around the target, divided by the standard deviation of the noise in one channel.
    psf_mm
        Standard deviation of the point spread, which noise and picture share.
    frames_per_s, seconds
        Cine rate and length.
    shape
        (rows, columns) of the frames, with 1 mm pixels.
    people
        Whose stills are used.
    """

    motion: str = "free"
    depth_mm: float = 18.0
    lag_s: float = 0.15
    drift_mm: float = 0.0
    target: str = "region"
    organ_mm: tuple[float, float] | None = None
    compression: float = 0.05
    expansion: float = 0.02
    rotation_deg: float = 0.0
    held: float = 0.0
    ripple_mm: float = 1.0
    ripple_scale_px: float = 28.0
    beat_mm: float = 0.5
    texture: float = 1.0
    inside: float = 1.0
    through_plane: float = 0.15
    stranger: bool = False
    shading: float = 0.0
    phase_shading: float = 0.0
    band: bool = False
    snr: float = 20.0
    psf_mm: float = 0.8
    frames_per_s: float = 4.0
    seconds: float = 37.5
    shape: tuple[int, int] = (350, 350)
    people: tuple[str, ...] = TRUNKS


ORGAN_MM: Final = (90.0, 170.0)
HOLDS_S: Final = 72.0

SCENARIOS: Final[dict[str, Scenario]] = {
    "free": Scenario(),
    "hysteresis": Scenario(depth_mm=22.0, lag_s=0.5, drift_mm=6.0),
    "recorded_trace": Scenario(motion="recorded", depth_mm=25.0, seconds=60.0),
    "holds": Scenario(motion="holds", depth_mm=30.0, seconds=HOLDS_S, through_plane=0.3),
    "holds_organ": Scenario(
        motion="holds", depth_mm=41.0, target="organ", organ_mm=ORGAN_MM, compression=0.15, expansion=0.1,
        ripple_mm=3.0, ripple_scale_px=45.0, beat_mm=1.0, through_plane=0.5, seconds=HOLDS_S,
    ),
    "holds_organ_0.35T": Scenario(
        motion="holds", depth_mm=41.0, target="organ", organ_mm=ORGAN_MM, compression=0.2, expansion=0.12,
        ripple_mm=4.0, ripple_scale_px=50.0, beat_mm=1.0, texture=0.4, through_plane=0.7, stranger=True, shading=0.3,
        phase_shading=0.2, snr=5.0, psf_mm=2.0, seconds=HOLDS_S,
    ),
    "organ": Scenario(
        depth_mm=25.0, target="organ", organ_mm=ORGAN_MM, compression=0.12, expansion=0.08, ripple_mm=2.0, beat_mm=1.0,
    ),
    "through_plane": Scenario(depth_mm=20.0, through_plane=0.9),
    "through_plane_other": Scenario(depth_mm=20.0, through_plane=0.6, stranger=True),
    "through_plane_organ": Scenario(
        depth_mm=20.0, target="organ", organ_mm=ORGAN_MM, through_plane=0.6, stranger=True, compression=0.1,
    ),
    "shading": Scenario(depth_mm=20.0, shading=0.6, phase_shading=0.4),
    "low_field": Scenario(depth_mm=20.0, texture=0.6, snr=5.0, psf_mm=1.6),
    "low_signal": Scenario(depth_mm=20.0, snr=2.5, psf_mm=1.6),
    "small": Scenario(depth_mm=15.0, target="small"),
    "small_0.35T": Scenario(depth_mm=15.0, target="small", snr=6.0, psf_mm=1.6),
    "rotation": Scenario(depth_mm=15.0, rotation_deg=15.0),
    "held": Scenario(depth_mm=14.0, held=0.7, lag_s=0.0),
    "held_faint": Scenario(depth_mm=14.0, held=0.7, lag_s=0.0, inside=0.0),
    "held_small": Scenario(depth_mm=14.0, held=0.7, lag_s=0.0, target="small", inside=0.5),
    "band": Scenario(depth_mm=20.0, band=True),
    "band_organ": Scenario(
        depth_mm=20.0, target="organ", organ_mm=ORGAN_MM, band=True, compression=0.1, expansion=0.05,
    ),
    "speech": Scenario(
        depth_mm=8.0, target="organ", compression=0.15, expansion=0.12, rotation_deg=8.0, ripple_mm=2.5,
        ripple_scale_px=18.0, beat_mm=0.0, frames_per_s=12.0, seconds=12.5, shape=(192, 192), people=TONGUES,
    ),
}  # fmt: skip
