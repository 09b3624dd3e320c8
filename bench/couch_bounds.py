"""What bounds a couch that follows recorded motion: its follower, its acceleration, or the prediction.

Run: python -m bench.couch_bounds [FOLDER] [--latency-ms 250] [--json FILE] [--markdown FILE]

RMSE in mm, as in `bench.mlc`, whose couch, cycles and truth these are:

couch         as `drivers.machines.couch` follows the predictions
planned       with the accelerations, within its limit, that bring it closest to all of the predicted path for 0.36 s,
              chosen anew in each cycle: about the best that a follower can make of these predictions
faster        the couch, were its acceleration 150 or 200 mm/s2
unlimited     were it where it is sent at once, after its latency
foreseen      as the couch follows, were each prediction the truth
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear
from threadpoolctl import threadpool_limits

from bench.mlc import CYCLE_S, LEARNING_S, MACHINE_MS, RUN_UP_MS, ahead, heard
from bench.motion_traces import MotionPlane, motion_planes
from bench.row_tables import add_files, tell
from drivers.machines.couch import Couch, CouchSettings

LATENCY_MS: Final = MACHINE_MS - RUN_UP_MS
STEPS: Final = 18
WAITING: Final = round(LATENCY_MS / 1e3 / CYCLE_S)
LEADS_S: Final = LATENCY_MS / 1e3 + CYCLE_S * np.arange(STEPS)
FASTER_MM_S2: Final = (150.0, 200.0)
ARMS: Final = ("couch", "planned", "150 mm/s2", "200 mm/s2", "unlimited", "foreseen")
Path2 = NDArray[np.float64]
"""(leads, 2): AP and SI from where the target mostly is; NaN where nothing is predicted."""


class Planner:
    """A couch on two axes whose accelerations are planned. Its speed is not limited, which can only help it."""

    def __init__(self, limit_mm_s2: float) -> None:
        self.position_mm, self._velocity = np.zeros(2), np.zeros(2)
        self._limit = limit_mm_s2
        self._coming = deque([np.zeros(2)] * WAITING)
        steps = np.arange(STEPS)
        self._effect = CYCLE_S**2 * np.tril(steps[:, None] - steps + 1.0)
        """What an acceleration in one step changes in the position after another."""

    def advance(self, path: Path2) -> NDArray[np.float64]:
        """Move for a cycle, plan the acceleration that takes effect after the latency, and return the position."""
        self._velocity = self._velocity + self._coming.popleft() * CYCLE_S
        self.position_mm = self.position_mm + self._velocity * CYCLE_S
        self._coming.append(self._plan(_continued(path)) if np.isfinite(path[0]).all() else np.zeros(2))
        return self.position_mm

    def _plan(self, path: Path2) -> NDArray[np.float64]:
        position, velocity = self.position_mm, self._velocity
        for acceleration in self._coming:
            velocity = velocity + acceleration * CYCLE_S
            position = position + velocity * CYCLE_S
        coasting = position + np.arange(1, STEPS + 1)[:, None] * CYCLE_S * velocity
        away = path - coasting
        free = np.linalg.lstsq(self._effect, away, rcond=None)[0]
        if np.abs(free).max() <= self._limit:
            return np.asarray(free[0])
        bounds = (-self._limit, self._limit)
        return np.array([lsq_linear(self._effect, one, bounds, method="bvls").x[0] for one in away.T])


def _continued(path: Path2) -> Path2:
    """Return a path whose unknown end goes on as it went last."""
    known = int(np.isfinite(path).all(axis=1).sum())
    slope = path[known - 1] - path[known - 2] if known > 1 else np.zeros(2)
    beyond = path[known - 1] + np.arange(1, len(path) - known + 1)[:, None] * slope
    return np.concatenate([path[:known], beyond])


def _couch(**limits: float) -> Couch:
    return Couch(CouchSettings(latency_ms=LATENCY_MS, **limits))


def compare(motion: MotionPlane, latency_ms: float) -> dict[str, Any]:
    """Return the RMSE of each arm on one trace, mm."""
    couches = {"couch": _couch(), "foreseen": _couch()}
    couches |= {f"{limit:.0f} mm/s2": _couch(acceleration_mm_s2=limit) for limit in FASTER_MM_S2}
    planner, sent, home = Planner(CouchSettings().acceleration_mm_s2), deque([np.zeros(2)] * WAITING), motion.mostly_mm
    missed: dict[str, list[float]] = {name: [] for name in ARMS}
    for number, (t_s, track) in enumerate(heard(motion, latency_ms)):
        path = np.array([_from(home, ahead(track, t_s + lead_s)) for lead_s in LEADS_S])
        told, true = _from(home, ahead(track, t_s + MACHINE_MS / 1e3)), motion.at(t_s + MACHINE_MS / 1e3) - home
        at = {name: _moved(one, t_s, true if name == "foreseen" else told) for name, one in couches.items()}
        sent.append(path[0] if np.isfinite(path[0]).all() else sent[-1])
        at |= {"planned": planner.advance(path), "unlimited": sent.popleft()}
        if number * CYCLE_S >= LEARNING_S and np.isfinite(told).all():
            for name in ARMS:
                missed[name].append(float(np.linalg.norm(motion.at(t_s) - home - at[name])))
    rmse = {name: float(np.sqrt(np.mean(np.square(found)))) for name, found in missed.items()}
    return {"trace": motion.name, "latency_ms": latency_ms, "rmse_mm": rmse}


def _from(home: NDArray[np.float64], place: NDArray[np.float64] | None) -> NDArray[np.float64]:
    return np.full(2, np.nan) if place is None else place - home


def _moved(couch: Couch, t_s: float, wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the displacement that a couch makes up for after a cycle."""
    if np.isfinite(wanted).all():
        couch.follow(t_s, np.array([0.0, *wanted]))
    else:
        couch.hold()
    return -couch.advance(t_s)[1:]


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of docs/explanation/following.md."""
    lines = [f"| trace | {' | '.join(ARMS)} |", "|---|" + "---|" * len(ARMS)]
    for row in rows:
        cells = [row["trace"], *(f"{row['rmse_mm'][name]:.2f}" for name in ARMS)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"), help="folder with traces")
    parser.add_argument("--latency-ms", type=float, default=250.0)
    parser.add_argument("--only", default="iver", help="traces whose name contains this")
    add_files(parser)
    arguments = parser.parse_args()
    threadpool_limits(1)
    chosen = (one for one in motion_planes(arguments.data) if arguments.only in one.name)
    tell((compare(one, arguments.latency_ms) for one in chosen), markdown, arguments)


if __name__ == "__main__":
    main()
