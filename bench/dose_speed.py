"""How long delivered dose takes: five minutes at 8 frames/s on a 2.5 mm grid of 200x200x120, and live, per frame.

Run: python -m bench.dose_speed
"""

from __future__ import annotations

import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cinegate.plans import read_planned, read_points
from drivers.phantom.water_plan import WaterPlan
from drivers.plans.writing import PlanFiles
from gating.analysis.motion import GatedMotion
from gating.delivered.assessment import Question, assess
from gating.delivered.deliveries import DosePlan, gated_timeline, part_kernels, received
from gating.delivered.dose_cloud import whole
from gating.delivered.dvh import StructurePoints
from gating.delivered.live import LiveDose
from gating.delivered.spread import position_errors

SECONDS, RATE_HZ = 300.0, 8.0
PLAN = WaterPlan(cylinder_radius_mm=250.0, cylinder_length_mm=300.0)


def breathing() -> GatedMotion:
    """Return five minutes of breathing in a sagittal plane, with beam near the exhale."""
    t_s = np.arange(0, SECONDS, 1 / RATE_HZ)
    inhale = np.sin(np.pi * t_s / 4.1) ** 4
    away = np.outer(inhale, [0.0, -4.0, -14.0]) + np.random.default_rng(1).normal(0, 0.3, (len(t_s), 3)) * (0, 1, 1)
    begin = np.arange(2.5, SECONDS - 4, 4.1)
    rows = len(t_s)
    return GatedMotion(
        target="GTV", t_s=t_s, displacement_mm=away, position_mm=away, gate_on=np.ones(rows, bool),
        reasons=("in_window",) * rows, status=("tracked",) * rows, confidence=np.ones(rows),
        out_fraction=np.zeros(rows), max_out_fraction=0.1, window_mm=np.zeros(3),
        beam_s=np.stack([begin, begin + 2.2], axis=1), beam_known_by="simulated", span_s=(0.0, SECONDS),
        shown=(False, True, True),
    )  # fmt: skip


def plan_and_structures(plan: WaterPlan = PLAN) -> tuple[DosePlan, list[StructurePoints]]:
    """Return a plan and its structures, read back from DICOM."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        PlanFiles(plan).write(folder)
        found = [read_points(folder / "structures.dcm", name) for name in ("GTV", "PTV", "BODY", "Duodenum")]
        planned = read_planned([folder / "dose.dcm"], folder / "plan.dcm").plan
    return planned, found


@dataclass(frozen=True)
class Times:
    """What was measured: voxels of the grid; s for all figures, and for the moved grid alone; ms per live frame."""

    voxels: tuple[int, int, int]
    assessed_s: float
    processor_s: float
    """Of the figures: the time on processors, whatever else they did meanwhile."""
    moved_s: float
    live_ms: tuple[float, float, float]
    """p50, p99, max."""
    live_processor_ms: float
    """Mean."""


def measure(plan: DosePlan, structures: list[StructurePoints], samples: int = 100, frames: int = 200) -> Times:
    """Return how long a session takes: gated, un-gated and ITV for all structures, and the Monte Carlo."""
    motion = breathing()
    begin, processor_s = time.perf_counter(), time.process_time()
    assess(plan, structures, motion, Question("GTV", "GTV", 45.0, position_errors(2.0), samples=samples))
    assessed, processor_s = time.perf_counter(), time.process_time() - processor_s
    received(plan, part_kernels(plan, gated_timeline(motion)), whole(plan.parts[0]))
    moved = time.perf_counter()
    live, times_ms, live_s = LiveDose(plan, structures[0], SECONDS, 45.0), [], time.process_time()
    for away in motion.displacement_mm[:frames]:
        start = time.perf_counter()
        live.add(away, 1 / RATE_HZ)
        live.figures()
        times_ms.append(1e3 * (time.perf_counter() - start))
    p50, p99, most = np.percentile(times_ms, [50, 99, 100]).tolist()
    live_ms = 1e3 * (time.process_time() - live_s) / frames
    return Times(plan.parts[0].shape, assessed - begin, processor_s, moved - assessed, (p50, p99, most), live_ms)


def main() -> None:
    """Print the times, and the most memory that the process used."""
    begin = time.perf_counter()
    plan, structures = plan_and_structures()
    made_s, found = time.perf_counter() - begin, measure(plan, structures)
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"grid {found.voxels} voxels of 2.5 mm; plan made, written, read, structures filled: {made_s:.1f} s")
    print("gated, un-gated, ITV, four structures, Monte Carlo of 100:", end=" ")
    print(f"{found.assessed_s:.1f} s (processor {found.processor_s:.1f} s)")
    print(f"the gated dose on the whole grid: {found.moved_s:.2f} s")
    print(
        "live, a frame with its figures: p50 {:.1f}, p99 {:.1f}, max {:.1f} ms (n 200),".format(*found.live_ms), end=" "
    )
    print(f"processor {found.live_processor_ms:.1f} ms (mean)")
    print(f"most memory: {peak_gb:.2f} GB")


if __name__ == "__main__":
    main()
