"""Where a target is across its only plane: told by how it moves in the plane, and by how it looks there.

Run: python -m bench.out_of_plane [--seeds 6] [--markdown FILE]

A volume phantom moves through a sagittal plane. In a preparation of 45 s a coronal plane shows in turn where it is
across; then the sagittal one is alone for two minutes. Two estimates are judged by the truth: that of the coupling of
the axes, as rules in 3D use it, and one from the appearance of the target and its surroundings, a ridge regression on
the principal components of the patch that the tracker found. Each states a bound that held for 99 % of the errors in
the second half of the preparation, learned from its first half. Where a patch resembles none of the preparation's, the
estimate from appearance is unknown. What each would cost and prevent is told by a window across the plane, in which
the estimate must be with all of its bound. Table of docs/explanation/out_of_plane.md.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from bench.registration import MIDDLE_MM, VOXEL_MM, phantom_volume

Array = NDArray[np.float64]

FRAMES_PER_S: Final = 4.0
PREPARED_S: Final = 45.0
TREATED_S: Final = 120.0
PERIOD_S: Final = 4.2
SPEED_OVER: Final = 2
"""Frames over which speed is taken: half a second, as in `gating.targets.motion_3d`."""
HALF_PX: Final = 13
STEP_MM: Final = 2.0
TRACKED_MM: Final = 0.2
"""Standard deviation of the tracker's error in the plane, and of what the other plane showed."""
NOISE: Final = 0.05
"""Of the image, beside the target's signal."""
COMPONENTS: Final = 8
COVERAGE: Final = 0.99
DRIFT_MM_PER_MIN: Final = 0.5
"""By which the bound of the coupling grows, as `gating.three_d.couplings` has it."""
GENEROUS_MM_PER_MIN: Final = 3.0
"""The same, stated generously by a session that has one plane."""
WINDOW_MM: Final = 3.0
"""The beam is on where the target cannot be further than this from its reference, across the plane."""
NOVEL: Final = 1.3
"""A patch is unlike the preparation's if the components leave this many times what they left there at most."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens across the plane after the preparation, beside breathing."""

    name: str
    drift_mm_per_min: float = 0.0
    jump_mm: float = 0.0
    """After half a minute, for good."""
    turn_deg: float = 0.0
    """In the plane, after half a minute, for good: nothing across it."""
    shading: float = 0.0
    """Of the signal from the middle of the patch to its edge, after half a minute, for good."""
    variability: float = 0.12
    lag_s: float = 0.4


SCENARIOS: Final = (
    Scenario("as prepared, hysteresis of 0.4 s"),
    Scenario("irregular breathing", variability=0.3),
    Scenario("drift across of 1 mm/min", drift_mm_per_min=1.0),
    Scenario("drift across of 3 mm/min", drift_mm_per_min=3.0),
    Scenario("roll: 3 mm across, once", jump_mm=3.0),
    Scenario("roll: 8 mm across, once", jump_mm=8.0),
    Scenario("turn of 5 degrees in the plane", turn_deg=5.0),
    Scenario("shading of 20 %", shading=0.2),
)


def motion_mm(scenario: Scenario, seed: int) -> Array:
    """Return (frames, 3) displacements of preparation and treatment, LPS; the target goes round a loop."""
    random = np.random.default_rng(seed)
    count = round((PREPARED_S + TREATED_S) * FRAMES_PER_S)
    t_s = np.arange(count) / FRAMES_PER_S
    ends_s = np.cumsum(PERIOD_S * (1 + scenario.variability * random.standard_normal(80).clip(-2, 2)))
    depths = 1 + scenario.variability * random.standard_normal(81).clip(-2, 2)

    def breath(at_s: Array) -> Array:
        starts_s = np.concatenate([[-20.0, 0.0], ends_s])
        which = np.searchsorted(starts_s, at_s, side="right") - 1
        phase = (at_s - starts_s[which]) / np.diff(starts_s)[which]
        drawn: Array = depths[which] * np.sin(np.pi * phase.clip(0, 1)) ** 4
        return drawn

    later_s = np.maximum(0.0, t_s - PREPARED_S)
    across = 5.0 * breath(t_s - scenario.lag_s) + scenario.drift_mm_per_min * later_s / 60
    across += scenario.jump_mm * (later_s > 30)
    return np.stack([across, 5.0 * breath(t_s - 0.2), -12.0 * breath(t_s)], axis=1)


def patches_of(
    scenario: Scenario, volume: SimpleITK.Image, moved_mm: Array, seen_mm: Array, random: np.random.Generator
) -> Array:
    """Return (frames, pixels) of the patch around where the tracker saw the target, each with mean 0 and length 1."""
    steps = (np.arange(2 * HALF_PX + 1) - HALF_PX) * STEP_MM
    ap, si = (axis.ravel() for axis in np.meshgrid(steps, steps))
    corner = np.array(volume.GetOrigin())
    changed = np.arange(len(moved_mm)) > (PREPARED_S + 30) * FRAMES_PER_S
    angle = np.radians(scenario.turn_deg) * changed[:, None]
    turned = np.stack(
        [0 * angle * ap, np.cos(angle) * ap - np.sin(angle) * si, np.sin(angle) * ap + np.cos(angle) * si], axis=-1
    )
    in_plane = seen_mm * (0.0, 1.0, 1.0)
    points = (MIDDLE_MM + turned + (in_plane - moved_mm)[:, None] - corner) / VOXEL_MM
    voxels = SimpleITK.GetArrayViewFromImage(volume).astype(np.float64)
    signal = map_coordinates(voxels, np.moveaxis(points[..., ::-1], -1, 0), order=1, mode="nearest")
    signal *= 1 + scenario.shading * changed[:, None] * ap / (HALF_PX * STEP_MM)
    signal += NOISE * 700 * random.standard_normal(signal.shape)
    signal -= signal.mean(axis=1, keepdims=True)
    patches: Array = signal / np.linalg.norm(signal, axis=1, keepdims=True)
    return patches


@dataclass(frozen=True, slots=True)
class Estimate:
    """Where the target is across the plane by one way of telling, (frames,) each."""

    across_mm: Array
    bound_mm: Array
    known: NDArray[np.bool_]


def by_coupling(
    seen_mm: Array, across_mm: Array, prepared: int, drift_mm_per_min: float = DRIFT_MM_PER_MIN
) -> Estimate:
    """Estimate from displacement and speed along SI, fitted to the whole preparation, as `cinegate couplings` does."""
    along = seen_mm[:, 2]
    speed: Array = (
        (along - np.concatenate([np.repeat(along[0], SPEED_OVER), along[:-SPEED_OVER]])) * FRAMES_PER_S / SPEED_OVER
    )
    features = np.stack([np.ones(len(along)), along, speed], axis=1)
    fitted = features @ _ridge(features[:prepared], across_mm[:prepared], 1.0)
    minutes = np.maximum(0, np.arange(len(along)) - prepared) / FRAMES_PER_S / 60
    bound = _rank(np.abs(fitted - across_mm)[:prepared]) + drift_mm_per_min * minutes
    return Estimate(fitted, bound, np.ones(len(along), np.bool_))


def by_appearance(patches: Array, across_mm: Array, prepared: int) -> Estimate:
    """Estimate from the principal components of the patches, learned in half of the preparation, bound from the rest.

    Halves are every other two seconds, so that both see all phases of the breath.
    """
    mean = patches[:prepared].mean(axis=0)
    learns = np.arange(prepared) // round(2 * FRAMES_PER_S) % 2 == 0
    first = patches[:prepared][learns] - mean
    components = np.linalg.svd(first, full_matrices=False)[2][:COMPONENTS]
    scores = (patches - mean) @ components.T
    spread = scores[:prepared].std(axis=0)
    linear = scores / spread
    features = np.concatenate([np.ones((len(scores), 1)), linear, linear[:, :3] ** 2], axis=1)
    fitted = features @ _ridge(features[:prepared][learns], across_mm[:prepared][learns], 1.0)
    left: Array = np.sqrt(np.square(patches - mean - scores @ components).sum(axis=1))
    known = left <= NOVEL * left[:prepared].max()
    bound = _rank(np.abs(fitted - across_mm)[:prepared][~learns])
    return Estimate(fitted, np.full(len(fitted), bound), known)


def _ridge(features: Array, wanted: Array, pull: float) -> Array:
    pulled = pull * np.diag([1e-9, *[1.0] * (features.shape[1] - 1)])
    return np.asarray(np.linalg.solve(features.T @ features + pulled, features.T @ wanted), np.float64)


def _rank(errors: Array) -> float:
    """Return the order statistic that covers `COVERAGE` of errors that can be exchanged."""
    return float(np.sort(errors)[min(len(errors), math.ceil((len(errors) + 1) * COVERAGE)) - 1])


@dataclass(frozen=True, slots=True)
class Judged:
    """One way in one scenario: estimates of all seeds, their bounds, where it was known, and the truth."""

    across_mm: Array
    bound_mm: Array
    known: NDArray[np.bool_]
    true_mm: Array

    @property
    def error_mm(self) -> Array:
        """How far the estimate is from the truth."""
        return np.abs(self.across_mm - self.true_mm)

    @property
    def beam(self) -> NDArray[np.bool_]:
        """Frames in which a window of `WINDOW_MM` has the beam on."""
        return self.known & (np.abs(self.across_mm) + self.bound_mm <= WINDOW_MM)

    @property
    def outside(self) -> NDArray[np.bool_]:
        """Frames in which the target is outside the window, in truth, with the beam on."""
        return self.beam & (np.abs(self.true_mm) > WINDOW_MM)

    def cells(self) -> str:
        """Return p95 of the error, median bound, share within it; shares of frames known, with beam, and outside."""
        beam = f"{100 * self.beam.mean():.1f} | {100 * self.outside.mean():.2f}"
        if not self.known.any():
            return f"- | - | - | 0 | {beam}"
        error, bound = self.error_mm[self.known], self.bound_mm[self.known]
        within = 100 * float(np.mean(error <= bound))
        known = 100 * self.known.mean()
        return f"{np.percentile(error, 95):.2f} | {np.median(bound):.2f} | {within:.1f} | {known:.0f} | {beam}"


def judge(scenario: Scenario, seeds: Sequence[int]) -> dict[str, Judged]:
    """Return what each way of telling came to during treatment."""
    prepared = round(PREPARED_S * FRAMES_PER_S)
    found: dict[str, list[tuple[Array, Array, NDArray[np.bool_], Array]]] = {}
    for seed in seeds:
        random = np.random.default_rng(100 + seed)
        moved = motion_mm(scenario, seed)
        seen = moved + TRACKED_MM * random.standard_normal(moved.shape)
        coupling = by_coupling(seen, seen[:, 0], prepared)
        appearance = by_appearance(
            patches_of(scenario, phantom_volume(seed), moved, seen, random), seen[:, 0], prepared
        )
        ways = {
            "coupling": coupling,
            f"coupling, {GENEROUS_MM_PER_MIN:g} mm/min": by_coupling(seen, seen[:, 0], prepared, GENEROUS_MM_PER_MIN),
            "appearance": appearance,
            "both": hull(coupling, appearance),
        }
        for name, one in ways.items():
            kept = (one.across_mm[prepared:], one.bound_mm[prepared:], one.known[prepared:], moved[prepared:, 0])
            found.setdefault(name, []).append(kept)
    return {name: Judged(*map(np.concatenate, zip(*runs, strict=True))) for name, runs in found.items()}


def hull(coupling: Estimate, appearance: Estimate) -> Estimate:
    """Return the coupling's estimate with a bound that reaches all of the other's: it can only take beam away."""
    apart = np.abs(coupling.across_mm - appearance.across_mm) + appearance.bound_mm
    return Estimate(coupling.across_mm, np.maximum(coupling.bound_mm, apart), appearance.known)


def main() -> None:
    """Judge every scenario, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--markdown", type=Path)
    asked = parser.parse_args()
    head = (
        "| across the plane | told by | p95 error mm | bound mm, median | within the bound % | known % | beam on % "
        "| outside with beam % |"
    )
    lines = [head, "|" + "---|" * 8]
    for scenario in SCENARIOS:
        for name, judged in judge(scenario, range(asked.first, asked.first + asked.seeds)).items():
            lines.append(f"| {scenario.name} | {name} | {judged.cells()} |")
            print(lines[-1], flush=True)
    if asked.markdown:
        asked.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
