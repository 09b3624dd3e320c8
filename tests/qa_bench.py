"""Sessions of the QA chain by law: a phantom, a tracker with noise, a gate and a beam that follows it late."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec.structs import replace

from gating.qa.figures import ChainRecord
from gating.qa.judging import StepResult, judge
from gating.qa.motion import Part, Rest, Sine, Steps, make_motion
from gating.qa.procedure import Step
from gating.qa.runs import QaRun

LEVEL_MM = 4.0
MOTION = Rest(seconds=3), Steps(positions_mm=(1, 2, 5, 10, 20, 0)), Sine(peak_mm=-8, period_s=4.1, cycles=8)
STEP = Step(name="delay", measure="beam_off_chain_ms", session="s", unit="ms", expected=20, tolerance=10, action=50,
            source="ours")  # fmt: skip


def chain_record(
    *,
    off_ms: float = 20.0,
    on_ms: float = 50.0,
    rate_hz: float = 8.0,
    noise_mm: float = 0.05,
    offset_mm: float = 0.0,
    late_ms: float = 2.0,
    parts: Sequence[Part] = MOTION,
    seed: int = 1,
    **changes: Any,
) -> ChainRecord:
    """A session whose tracker sees the target `offset_mm` farther out than it is, and whose beam follows so late."""
    random, motion = np.random.default_rng(seed), make_motion(parts)
    count = int(motion.duration_s * rate_hz)
    t_s = (np.arange(count) + random.uniform(-0.02, 0.02, count)) / rate_hz
    t_s[0] = 0.0
    si_mm = np.interp(t_s, motion.t_s, motion.si_mm)
    truth = np.column_stack([np.zeros(count), -si_mm])
    outwards = np.sign(truth) * (0, offset_mm)
    seen = truth + random.normal(0, noise_mm, truth.shape) + outwards
    inside = np.abs(seen[:, 1]) <= LEVEL_MM
    on = inside & np.append(False, inside[:-1])
    beam = [
        (float(t_s[at] + (on_ms if on[at] else off_ms) / 1e3 + random.normal(0, 1e-3)), bool(on[at]))
        for at in np.flatnonzero(np.diff(on.astype(int))) + 1
    ]
    record = ChainRecord(
        t_s=t_s, truth_mm=truth, seen_mm=seen, known_s=t_s + late_ms / 1e3, inside=inside.astype(float),
        beam=tuple(beam), windows=motion.windows, level_mm=LEVEL_MM, interval_s=1 / rate_hz, frames_expected=count,
        resume_frames=2,
    )  # fmt: skip
    return dataclasses.replace(record, **changes)


def qa_run(day: int, *values: float | None, step: Step = STEP) -> QaRun:
    """A run of that day with a step for each value: delay 0, delay 1, ..."""
    results: tuple[StepResult, ...] = tuple(
        judge(replace(step, name=f"delay {number}"), value) for number, value in enumerate(values)
    )
    return QaRun(
        procedure="daily", title="Daily QA", procedure_hash="p", duration_s=60, config_hash="c", operator="dr_who",
        started_at=f"2026-{1 + day // 28:02}-{1 + day % 28:02}T06:00:00+00:00", results=results,
    )  # fmt: skip
