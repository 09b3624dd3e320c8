"""A simulated collimator that follows recorded motion: beside no tracking, gating, and gating with tracking.

Run: python -m bench.mlc [FOLDER] [--latency-ms 250] [--rate 0] [--json FILE] [--markdown FILE]

Every frame of a trace is a measured position, known to the collimator `latency - 100 ms` after its acquisition; the
last 100 ms are the collimator's own latency, which the position stream is told. Positions come from the code of the
stream (`gating.positions.plane_track`), every 20 ms. The truth is the trace itself. The beam comes from the side, so
that the leaves see AP and SI.

static            leaves stand where the target is in the mean, beam always on
gated             leaves stand where the target mostly is; beam on while the newest known position is within 3 mm of it
tracked           leaves follow, beam on while positions are valid
gated, tracked    both: leaves follow, beam on in the window
couch             leaves stand, the couch follows, beam on while positions are valid
foreseen          tracked, were each prediction the truth: what the leaves, their width and drives leave

rmse_mm           distance of the aperture's centroid from where it should be, while the beam is on
wrong_mm2         area that is open but should be closed, and closed but should be open, mean while the beam is on
                  (dose-free form of the exposure errors of Poulsen's group, PMC4108718)
beam_on           share of the time
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from bench.motion_traces import MotionPlane, motion_planes
from bench.row_tables import add_files, tell
from drivers.machines.collimator import Collimator, CollimatorSettings, circle
from drivers.machines.couch import Couch, CouchSettings
from gating.positions.plane_track import PlaneTrack
from gating.settings.positions import PositionSettings

CYCLE_S: Final = 0.02
MACHINE_MS: Final = 100.0
"""Latency of the collimator that the positions make up for: controller and the run-up of the leaves."""
RUN_UP_MS: Final = 40.0
"""By how much leaves at limited acceleration lag a moving set-point; the rest of `MACHINE_MS` is the controller's."""
WINDOW_MM: Final = 3.0
LEARNING_S: Final = 20.0
"""Start of a trace that counts for no arm: the predictor learns."""
APERTURE_MM: Final = 40.0
SAGITTAL: Final = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
ARMS: Final = ("static", "gated", "tracked", "gated, tracked", "couch", "foreseen")


@dataclass(frozen=True)
class Cycle:
    """What is known in one cycle of the collimator."""

    t_s: float
    truth_mm: NDArray[np.float64]
    """(AP, SI)"""
    predicted_mm: NDArray[np.float64] | None
    """None: no valid position."""
    inside: bool
    """Whether the newest position that the beam can have answered is in the window."""


def heard(motion: MotionPlane, latency_ms: float) -> Iterator[tuple[float, PlaneTrack]]:
    """Yield the time of every cycle of a session with this motion, and what the position stream knows then."""
    settings = PositionSettings(consumer_latency_ms=MACHINE_MS, max_horizon_ms=min(500.0, latency_ms + 250.0))
    track, count = PlaneTrack(SAGITTAL, settings), 0
    published_s = motion.t_s + (latency_ms - MACHINE_MS) / 1e3
    for t_s in np.arange(published_s[0], motion.t_s[-1], CYCLE_S).tolist():
        while count < len(published_s) and published_s[count] <= t_s:
            acquired_ns, (ap, si) = round(motion.t_s[count] * 1e9), motion.position_mm[count]
            track.observe(acquired_ns, acquired_ns, (0.0, float(ap), float(si)))
            count += 1
        yield t_s, track


def ahead(track: PlaneTrack, when_s: float) -> NDArray[np.float64] | None:
    """Return where the target is predicted to be at a time, (AP, SI); None if that is not known."""
    found = track.at(round(when_s * 1e9))
    return None if found is None else (found.axes.T @ found.position_mm)[1:]


def cycles(motion: MotionPlane, latency_ms: float, window_mm: float = WINDOW_MM) -> list[Cycle]:
    """Return every cycle of a session with this motion."""
    home, found = motion.mostly_mm, []
    for t_s, track in heard(motion, latency_ms):
        answered = int(np.searchsorted(motion.t_s + latency_ms / 1e3, t_s, side="right")) - 1
        away = np.inf if answered < 0 else float(np.linalg.norm(motion.position_mm[answered] - home))
        found.append(Cycle(t_s, motion.at(t_s), ahead(track, t_s + MACHINE_MS / 1e3), away <= window_mm))
    return found


class Arm:
    """One way to treat this motion: what moves, and when the beam is on."""

    def __init__(self, name: str, motion: MotionPlane, leaves: CollimatorSettings) -> None:
        self._leaves, self._tables = name in ("tracked", "gated, tracked", "foreseen"), name == "couch"
        self._gated = "gated" in name
        self.home = motion.position_mm.mean(axis=0) if name == "static" else motion.mostly_mm
        self.collimator = Collimator(circle(APERTURE_MM), leaves)
        self._couch = Couch(CouchSettings(latency_ms=leaves.latency_ms))

    def move(self, cycle: Cycle) -> tuple[bool, NDArray[np.float64]]:
        """Follow for one cycle; return whether the beam is on, and where the target is in the room, (AP, SI)."""
        if cycle.predicted_mm is None:
            self.collimator.hold()
            self._couch.hold()
        else:
            ap, si = (cycle.predicted_mm - self.home).tolist()
            if self._leaves:
                self.collimator.follow(cycle.t_s, si, ap)
            if self._tables:
                self._couch.follow(cycle.t_s, np.array([0.0, ap, si]))
        self.collimator.advance(cycle.t_s)
        moved = self._couch.advance(cycle.t_s)[1:]
        valid = cycle.predicted_mm is not None or not (self._leaves or self._tables)
        return valid and (cycle.inside or not self._gated), cycle.truth_mm - self.home + moved


def run_arm(name: str, motion: MotionPlane, known: list[Cycle], leaves: CollimatorSettings) -> dict[str, float]:
    """Return the figures of one arm."""
    arm, begin_s = Arm(name, motion, leaves), known[0].t_s + LEARNING_S
    missed, wrong, counted = [], [], 0
    if name == "foreseen":
        known = [replace(cycle, predicted_mm=motion.at(cycle.t_s + MACHINE_MS / 1e3)) for cycle in known]
    for cycle in known:
        beam_on, (ap, si) = arm.move(cycle)
        counted += cycle.t_s >= begin_s
        if beam_on and cycle.t_s >= begin_s:
            exposure = arm.collimator.exposure(float(si), float(ap))
            missed.append(np.hypot(exposure.off_u_mm, exposure.off_v_mm))
            wrong.append((exposure.over_mm2, exposure.under_mm2))
    over, under = np.mean(wrong, axis=0) if wrong else (np.nan, np.nan)
    return {
        "rmse_mm": float(np.sqrt(np.mean(np.square(missed)))) if missed else float("nan"),
        "over_mm2": float(over),
        "under_mm2": float(under),
        "wrong_mm2": float(over + under),
        "beam_on": len(wrong) / max(counted, 1),
    }


def compare(motion: MotionPlane, latency_ms: float, widths_mm: Sequence[float]) -> Iterator[dict[str, Any]]:
    """Yield the figures of every arm, and by how much tracking reduces the wrong area, for each width of leaves."""
    known = cycles(motion, latency_ms)
    for leaf_mm in widths_mm:
        pairs = 2 * round(70 / leaf_mm)
        settings = CollimatorSettings(leaf_width_mm=leaf_mm, leaf_pairs=pairs, latency_ms=MACHINE_MS - RUN_UP_MS)
        arms = {arm: run_arm(arm, motion, known, settings) for arm in ARMS}
        less = {arm: 1.0 - arms[arm]["wrong_mm2"] / arms["static"]["wrong_mm2"] for arm in ARMS[1:]}
        row = {"trace": motion.name, "latency_ms": latency_ms, "leaf_mm": leaf_mm}
        yield row | {"arms": arms, "less_than_static": less}


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of docs/explanation/following.md."""
    heads = " / ".join(ARMS)
    lines = [
        f"| trace | leaves mm | RMSE mm: {heads} | wrong area mm2: {heads} "
        "| below static %: tracked / both / couch / foreseen | beam on %: gated / tracked |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        arms, saved = row["arms"], row["less_than_static"]
        rmse = " / ".join(f"{arms[arm]['rmse_mm']:.2f}" for arm in ARMS)
        wrong = " / ".join(f"{arms[arm]['wrong_mm2']:.0f}" for arm in ARMS)
        on = " / ".join(f"{100 * arms[arm]['beam_on']:.0f}" for arm in ("gated", "tracked"))
        below = " / ".join(f"{100 * saved[arm]:.0f}" for arm in ARMS[2:])
        lines.append(f"| {row['trace']} | {row['leaf_mm']:g} | {rmse} | {wrong} | {below} | {on} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"), help="folder with traces")
    parser.add_argument("--latency-ms", type=float, nargs="+", default=[250.0])
    parser.add_argument("--leaf-mm", type=float, nargs="+", default=[7.1, 4.15], help="widths of the leaves")
    parser.add_argument("--only", default="iver", help="traces whose name contains this")
    parser.add_argument("--rate", type=float, default=0.0, help="frames/s; 0: those of the trace")
    add_files(parser)
    arguments = parser.parse_args()
    chosen = [one for one in motion_planes(arguments.data) if arguments.only in one.name]
    threadpool_limits(1)
    asked = product(chosen, arguments.latency_ms)
    found = (compare(motion.sampled(arguments.rate), latency_ms, arguments.leaf_mm) for motion, latency_ms in asked)
    tell(chain.from_iterable(found), markdown, arguments)


if __name__ == "__main__":
    main()
