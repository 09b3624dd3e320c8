"""Dose of the development recordings, gated, un-gated and with an ITV: the table of docs/dose.md.

Run: python -m bench.bench_dose FOLDER_OF_DEVELOPMENT_RECORDINGS --logs FOLDER [--later-ms 0,250]

Each recording is replayed once by `cinegate run` at its real rate, unless the folder holds its log, and the plan is
that of `cinegate phantom plan`. The beam of a replay follows its command at once; `later-ms` adds what a linac takes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from bench.bench_strategies import BOXES
from cinegate.plans import read_planned, read_points
from drivers.phantom.water_plan import WaterPlan
from drivers.plans.writing import PlanFiles
from gating.analysis.definitions import distance_mm, free_mm
from gating.analysis.unknown import number
from gating.delivered.assessment import GATED, ITV, PLANNED, UNGATED, Assessment, Question, assess
from gating.delivered.deliveries import DosePlan, gated_timeline
from gating.delivered.dvh import StructurePoints
from gating.delivered.motion import structure_motion, tracked_structures
from gating.delivered.spread import position_errors
from gating.pages.page import UNKNOWN
from gating.session.summary_data import read_data

RECORDINGS: Final = ("KS81_1", "QN76_1", "II29_1")
PLAN: Final = WaterPlan()
PIXEL_MM: Final = 1.818
HEAD: Final = (
    "| recording | delivery | beam on s (unknown) | motion p95 mm | D98 Gy | 5 to 95 % | D95 Gy | Dmean Gy | D2cc Gy | "
    "45 Gy cm3 | organ D2cc Gy |"
)


def log_of(name: str, data: Path, logs: Path, config: str | None) -> Path:
    """Return the log of a recording; it is replayed if there is none."""
    folder = logs / name
    if not (found := sorted(folder.glob("*.mcap"))):
        command = [sys.executable, "-m", "cinegate", "run", str(data / "liver_cine" / f"{name}.npz")]
        command += [] if config is None else ["--config", config]
        subprocess.run([*command, "--target-box", BOXES[name], "--log", str(folder), "--json"], check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        found = sorted(folder.glob("*.mcap"))
    return found[-1]


@lru_cache(maxsize=1)
def water_plan() -> tuple[DosePlan, list[StructurePoints]]:
    """Return the dose and the structures of the test plan, read back from DICOM."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        PlanFiles(PLAN).write(folder)
        found = [read_points(folder / "structures.dcm", name) for name in ("GTV", "Duodenum")]
        planned = read_planned([folder / "dose.dcm"], folder / "plan.dcm")
    return planned.plan, found


def row(name: str, delivery: str, found: Assessment, motion_p95_mm: float) -> str:
    """Return a row of the table."""
    target, organ = (one.figures[delivery] for one in found.structures)
    spread = found.structures[0].spread if delivery == GATED else None
    one = next(one for one in found.deliveries if one.name == delivery)
    cells = (
        name,
        f"{number(one.beam_on_s, 1)} ({number(one.unknown_s, 1)})",
        number(motion_p95_mm, 1),
        number(target.d98_gy, 2),
        UNKNOWN if spread is None else f"{number(spread.p5.d98_gy, 2)} to {number(spread.p95.d98_gy, 2)}",
        number(target.d95_gy, 2),
        number(target.mean_gy, 2),
        number(target.d2cc_gy, 2),
        number(one.prescribed_cm3, 1),
        number(organ.d2cc_gy, 2),
    )
    return f"| {' | '.join(cells)} |"


def rows(name: str, log: Path, later_ms: Sequence[float]) -> Iterator[str]:
    """Yield the rows of a recording: the plan, un-gated, with an ITV, and gated with each latency."""
    data = read_data(log)
    tracked = tracked_structures(data)[0]
    motion, errors = structure_motion(data, tracked), position_errors(PIXEL_MM)
    free_p95_mm = distance_mm(free_mm(motion))
    for place, late_ms in enumerate(later_ms):
        question = Question("GTV", tracked, PLAN.prescribed_gy, errors, later_ms=late_ms)
        found = assess(*water_plan(), motion, question)
        if place == 0:
            yield row(f"{name} | {PLANNED}", PLANNED, found, float("nan"))
            yield row(f"{name} | {UNGATED}", UNGATED, found, free_p95_mm)
            yield row(f"{name} | {ITV}", ITV, found, free_p95_mm)
        away_mm = gated_timeline(motion, late_ms).displacement_mm
        residual_p95_mm = distance_mm(away_mm[np.isfinite(away_mm).all(axis=1)])
        yield row(f"{name} | {GATED}, beam {late_ms:g} ms later", GATED, found, residual_p95_mm)


def main() -> None:
    """Print the table as markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--logs", type=Path, required=True)
    parser.add_argument("--config", help="settings of the replays")
    parser.add_argument("--later-ms", default="0,250")
    arguments = parser.parse_args()
    print(f"{HEAD}\n{'|---' * (HEAD.count('|') - 1)}|", flush=True)
    for name in RECORDINGS:
        log = log_of(name, arguments.data, arguments.logs, arguments.config)
        for line in rows(name, log, [float(ms) for ms in arguments.later_ms.split(",")]):
            print(line, flush=True)


if __name__ == "__main__":
    main()
