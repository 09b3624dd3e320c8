"""The newest 30 s of a session: displacement, target-out fraction and confidence of each target. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
from msgspec import Struct

from gating.messages import GateState, TargetEstimate, TargetReference

TRACE_NS: Final = 30_000_000_000
MAX_SAMPLES: Final = 20_000


class Sample(Struct, frozen=True, array_like=True):
    """One estimate; an array on the way to the page."""

    number: int
    at_ms: float
    """When it came, on the clock of the console."""
    target: str
    lr_mm: float | None
    """Displacement of the centre from the reference, as reports show it: towards left, anterior and superior.

    None if the target was not found.
    """
    ap_mm: float | None
    si_mm: float | None
    out_fraction: float | None
    confidence: float | None
    on: bool
    """Whether the gate was on after the frame."""
    bound_mm: tuple[float, float, float] | None
    """How far the target may be from there along LR, AP and SI, where rules judge it in 3D; None: no bound."""


class Trace:
    """Samples in the order in which they came."""

    def __init__(self) -> None:
        self._samples: deque[tuple[int, Sample]] = deque(maxlen=MAX_SAMPLES)
        self.number = 0
        """Number of the newest sample."""

    def add(self, seen: TargetEstimate, reference: TargetReference, now_ns: int) -> None:
        """Add an estimate of a target with its reference."""
        left, posterior, superior = displacement_mm(seen, reference)
        self.number += 1
        sample = Sample(
            self.number,
            now_ns / 1e6,
            seen.target,
            _known(left),
            _known(-posterior),
            _known(superior),
            _known(seen.target_out_fraction),
            _known(seen.confidence),
            seen.gate is GateState.ON,
            seen.bound_mm,
        )
        self._samples.append((now_ns, sample))
        while self._samples[0][0] < now_ns - TRACE_NS:
            self._samples.popleft()

    def since(self, number: int) -> list[Sample]:
        """Return the samples after a number."""
        newer: list[Sample] = []
        for _, sample in reversed(self._samples):
            if sample.number <= number:
                break
            newer.append(sample)
        return newer[::-1]


def displacement_mm(seen: TargetEstimate, reference: TargetReference) -> tuple[float, float, float]:
    """Return the displacement of a target's centre from its reference, LPS; NaN if it was not found.

    Where rules judge the position in 3D, it is the displacement that they judge.
    """
    if seen.status != "tracked":
        return (np.nan, np.nan, np.nan)
    if seen.displacement_mm is not None:
        return seen.displacement_mm
    left, posterior, superior = np.subtract(seen.position_mm, reference.centre_mm).tolist()
    return left, posterior, superior


def _known(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None
