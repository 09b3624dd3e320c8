"""The bundled sessions: the phantom behind each, and what an engine should do with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from drivers.phantom import BreathHold, Breathing, Cough, PhantomSettings, TargetLoss


@dataclass(frozen=True, slots=True)
class Session:
    """One session: its name, phantom, description and expected outcome."""

    name: str
    settings: PhantomSettings
    description: str
    expected: str


SESSIONS: Final = (
    Session(
        "free_breathing",
        PhantomSettings(
            seed=11,
            rows=104,
            columns=88,
            pixel_spacing_mm=(2.4, 2.4),
            duration_s=25,
            target_radius_mm=14,
            noise_sigma=0.03,
        ),
        "sagittal, free breathing, 15 mm SI, cycles of uneven length and depth",
        "tracked in every frame; beam on around exhale, held at every inhale",
    ),
    Session(
        "drift_cough",
        PhantomSettings(
            seed=23,
            rows=104,
            columns=88,
            pixel_spacing_mm=(2.4, 2.4),
            duration_s=28,
            target_radius_mm=14,
            noise_sigma=0.03,
            breathing=Breathing(inhale_si_mm=-10.0, inhale_ap_mm=-3.0),
            drift_si_mm_per_min=-14.0,
            drift_ap_mm_per_min=3.0,
            coughs=(Cough(at_s=15.0, amplitude_mm=14.0),),
        ),
        "sagittal, baseline shift of 14 mm per minute towards inferior, a cough at 15 s",
        "tracked throughout; held at once in the cough; duty cycle falls as the baseline leaves the gating boundary",
    ),
    Session(
        "breath_hold",
        PhantomSettings(
            seed=37,
            rows=104,
            columns=88,
            pixel_spacing_mm=(2.4, 2.4),
            frames_per_s=6.0,
            duration_s=36,
            target_radius_mm=14,
            noise_sigma=0.03,
            breathing=Breathing(inhale_si_mm=-16.0),
            breath_holds=(BreathHold(start_s=10.0, duration_s=14.0),),
        ),
        "sagittal, 6 frames/s, exhale breath-hold from 10 s to 24 s between free breathing",
        "beam on without interruption from about 12 s to 24 s; cyclic before and after",
    ),
    Session(
        "high_rate",
        PhantomSettings(
            seed=41,
            rows=88,
            columns=80,
            pixel_spacing_mm=(2.8, 2.8),
            dtype="uint8",
            plane="coronal",
            frames_per_s=60.0,
            duration_s=6,
            interval_jitter=0.2,
            target_radius_mm=16,
            noise_sigma=0.03,
            breathing=Breathing(period_s=3.0, inhale_si_mm=-14.0),
        ),
        "coronal, 60 frames/s, uint8, intervals uneven by a fifth",
        "one decision for each frame, none skipped, none stale; cyclic gating",
    ),
    Session(
        "target_lost",
        PhantomSettings(
            seed=53,
            rows=104,
            columns=88,
            pixel_spacing_mm=(2.4, 2.4),
            duration_s=24,
            target_radius_mm=14,
            noise_sigma=0.03,
            breathing=Breathing(inhale_si_mm=-12.0),
            losses=(TargetLoss(start_s=9.0, duration_s=7.0, noise_factor=3.0),),
        ),
        "sagittal, the target leaves the slice from 9 s to 16 s while the noise triples",
        "beam held from 9.5 s to 16 s by low confidence or target lost, never on at a wrong place; on again afterwards",
    ),
)
