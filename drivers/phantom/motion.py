"""Motion of the phantom's anatomy: breathing, drift, coughs and breath-holds, or a recorded trace."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from drivers.phantom.settings import PhantomSettings, Trace

_STREAM = 2


@dataclass(frozen=True, slots=True)
class Displacement:
    """Displacement of the target from exhale in patient axes (LPS), and how the slice shows it."""

    lr_mm: float
    ap_mm: float
    si_mm: float
    depth: float
    """0: exhale, 1: full inhale of an average breath."""
    lost: float
    """Share of the signal that comes from a slice without the target, 0 to 1."""
    noise_factor: float


class Motion:
    """Displacement as a function of time. Times may come in any order."""

    def __init__(self, settings: PhantomSettings, trace: Trace | None = None) -> None:
        self._settings = settings
        self._trace = None if trace is None else trace.checked()
        self._cycles: list[tuple[float, float, float]] = []
        """Start in s, period in s, and depth of each breathing cycle."""

    def at(self, t_s: float) -> Displacement:
        """Return the displacement at a time of 0 s or later."""
        lost, noise_factor = self._loss(t_s)
        if self._trace is not None:
            return self._traced(self._trace, t_s, lost, noise_factor)
        settings, breathing = self._settings, self._settings.breathing
        depth, lagging, aside = (
            self._depth(max(0.0, t_s - lag_s)) for lag_s in (0.0, breathing.ap_lag_s, breathing.lr_lag_s)
        )
        minutes = t_s / 60.0
        return Displacement(
            lr_mm=aside * breathing.inhale_lr_mm,
            ap_mm=lagging * breathing.inhale_ap_mm + minutes * settings.drift_ap_mm_per_min,
            si_mm=depth * breathing.inhale_si_mm + minutes * settings.drift_si_mm_per_min + self._coughs(t_s),
            depth=depth,
            lost=lost,
            noise_factor=noise_factor,
        )

    def _depth(self, t_s: float) -> float:
        depth = self._free_depth(t_s)
        for hold in self._settings.breath_holds:
            held = _plateau(t_s, hold.start_s, hold.duration_s, hold.ramp_s)
            depth += held * (hold.depth - depth)
        return depth

    def _free_depth(self, t_s: float) -> float:
        """Return the depth of Lujan's cos^2n, with cycles from exhale to exhale, each of its own length and depth."""
        breathing = self._settings.breathing
        while not self._cycles or t_s >= self._cycles[-1][0] + self._cycles[-1][1]:
            start_s = self._cycles[-1][0] + self._cycles[-1][1] if self._cycles else 0.0
            random = np.random.Generator(np.random.PCG64([self._settings.seed, _STREAM, len(self._cycles)]))
            change = (np.clip(random.standard_normal(2), -2, 2) * breathing.variability).tolist()
            self._cycles.append((start_s, breathing.period_s * (1 + change[0] / 2), 1 + change[1]))
        start_s, period_s, depth = next(cycle for cycle in reversed(self._cycles) if t_s >= cycle[0])
        return depth * math.sin(math.pi * (t_s - start_s) / period_s) ** (2 * breathing.lujan_n)

    def _coughs(self, t_s: float) -> float:
        return sum(
            cough.amplitude_mm
            * math.exp(-(t_s - cough.at_s) / cough.decay_s)
            * math.sin(2 * math.pi * cough.frequency_per_s * (t_s - cough.at_s))
            for cough in self._settings.coughs
            if t_s >= cough.at_s
        )

    def _loss(self, t_s: float) -> tuple[float, float]:
        lost, noise_factor = 0.0, 1.0
        for loss in self._settings.losses:
            part = _plateau(t_s, loss.start_s, loss.duration_s, loss.ramp_s)
            lost, noise_factor = max(lost, part), max(noise_factor, 1 + part * (loss.noise_factor - 1))
        return lost, noise_factor

    def _traced(self, trace: Trace, t_s: float, lost: float, noise_factor: float) -> Displacement:
        t_s += float(trace.t_s[0])
        lr_mm, ap_mm, si_mm = (
            float(np.interp(t_s, trace.t_s, axis) - axis[0]) for axis in (trace.lr_mm, trace.ap_mm, trace.si_mm)
        )
        full_si_mm = self._settings.breathing.inhale_si_mm
        depth = si_mm / full_si_mm if full_si_mm else 0.0
        return Displacement(lr_mm, ap_mm, si_mm, min(max(depth, 0.0), 2.0), lost, noise_factor)


def _plateau(t_s: float, start_s: float, duration_s: float, ramp_s: float) -> float:
    """Rise from 0 to 1 within `ramp_s` after `start_s`, and fall likewise after the duration."""
    rise, fall = (t_s - start_s) / ramp_s, (t_s - start_s - duration_s) / ramp_s
    return smoothstep(rise) - smoothstep(fall)


def smoothstep(x: float) -> float:
    """Return 0 below 0, 1 above 1, and 3 x^2 - 2 x^3 between."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)
