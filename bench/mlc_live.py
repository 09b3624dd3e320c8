"""A live session whose target a simulated collimator follows, and which loses its processes again and again.

Run: python -m bench.mlc_live RECORDING --target-box X,Y,W,H [--track FILE.csv] [--rounds 20] [--calm-s 60]

The recording is replayed in real time to the engine; `cinegate positions` publishes, `cinegate follow` follows. After
`calm_s` seconds of undisturbed following, processes are stopped (SIGSTOP for 0.7 s) and killed (SIGKILL, then started
anew), `rounds` times each: in turn the publisher of positions, the engine, the source and the follower itself.

unsafe_ms         time in which a position was followed that had to be held by then; it must be 0
held_after_ms     longest time from the disturbance to the hold, for each process
rmse_mm           of the aperture while calm, if a track of the target is given (bench.motion_traces)
calm              share of the time with a valid position, and its age, before the first disturbance
host              cores, and processes that waited for them (the mean of the last minute) at start and end

A position must be held once the process before the follower has been silent for a lease, or once the acquisition is
older than the longest horizon allows; 20 ms are added, as in the fault suite.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.motion_traces import read_track
from gating.service.pipeline import PipelineError, Session
from gating.settings.config import Config, SafetySettings
from gating.targets.target_file import write_targets

STOPPED_S: Final = 0.7
STEADY_S: Final = 0.5
"""Following for so long counts as undisturbed."""
PATIENCE_S: Final = 90.0
SUCCESSION_NS: Final = 1_000_000_000
"""No publisher or engine that is started anew can be followed earlier (`drivers.beam.watchdog.QUIET_NS`)."""
TOLERANCE_MS: Final = 20.0
KILLED: Final = ("positions", "follow", "positions", "engine")
STOPPED: Final = ("positions", "engine", "source", "follow")

Row = dict[str, str]


@dataclass(frozen=True)
class Disturbance:
    """What was done to which process, when, and when its effect had ended."""

    kind: str
    role: str
    from_ns: int
    until_ns: int


class Scene:
    """The processes, and what the followers have recorded."""

    def __init__(self, session: Session, commands: dict[str, list[str]]) -> None:
        self._session, self._commands = session, commands
        self.records: list[Path] = []
        for role in commands:
            self.start(role)

    def start(self, role: str) -> None:
        """Start a process; a follower gets a record of its own."""
        words = list(self._commands[role])
        if role == "follow":
            self.records.append(self._session.folder / f"followed_{len(self.records)}.csv")
            words = [str(self.records[-1]), *words]
        self._session.start(role, *words)

    def signal(self, role: str, number: int) -> None:
        """Send a signal to a process."""
        self._session.processes[role].send_signal(number)

    def kill(self, role: str) -> None:
        """Kill a process and start it anew."""
        self.signal(role, signal.SIGKILL)
        self._session.processes[role].wait()
        self.start(role)

    def rows(self) -> list[Row]:
        """Return what was recorded so far; a row that is not finished is left out."""
        found: list[Row] = []
        for record in self.records:
            if record.exists():
                text = record.read_text(encoding="utf-8")
                found += csv.DictReader(text[: text.rfind("\n") + 1].splitlines())
        return found

    def await_following(self, seconds: float) -> None:
        """Wait until a position has been followed for some time without a break. Raises `PipelineError`."""
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            newest = (
                self.records[-1].read_text(encoding="utf-8").splitlines()[1:-1] if self.records[-1].exists() else []
            )
            last = newest[-round(100 * seconds) :]
            if len(last) >= round(80 * seconds) and all(line.split(",")[1] == "1" for line in last):
                return
            time.sleep(0.1)
        why = newest[-1].split(",")[2] if newest else "it recorded nothing"
        raise PipelineError(f"nothing was followed for {PATIENCE_S:g} s: {why}")

    def disturb(self, kind: str, role: str) -> Disturbance:
        """Stop or kill a process, and wait until the target is followed again."""
        self.await_following(STEADY_S)
        from_ns = time.monotonic_ns()
        if kind == "kill":
            self.kill(role)
        else:
            self.signal(role, signal.SIGSTOP)
            time.sleep(STOPPED_S)
        until_ns = time.monotonic_ns()
        if kind == "stop":
            self.signal(role, signal.SIGCONT)
        elif role != "follow":
            until_ns = from_ns + SUCCESSION_NS
        self.await_following(STEADY_S)
        return Disturbance(kind, role, from_ns, until_ns)


def latest_hold_ms(role: str, config: Config) -> float:
    """Return how long after a disturbance of a process a position may still be followed, ms."""
    positions, lease_ms = config.positions, config.safety.lease_ms
    bounds = {
        "positions": positions.lease_ms,
        "follow": 0.0,  # it cannot follow while it is stopped; afterwards every row of its own has an age
        "engine": lease_ms + positions.renew_ms,
        "source": positions.max_horizon_ms - positions.consumer_latency_ms + positions.renew_ms,
    }
    return bounds[role] + TOLERANCE_MS


def judge(rows: list[Row], disturbances: list[Disturbance], config: Config) -> dict[str, Any]:
    """Return for how long positions were followed that had to be held, and how soon each process's end was noticed."""
    times = np.array([int(row["t_ns"]) for row in rows])
    following = np.array([row["following"] == "1" for row in rows])
    ages_ms = np.array([float(row["age_ms"] or 0) for row in rows])
    sent_ms = np.array([(int(row["t_ns"]) - int(row["sent_ns"] or row["t_ns"])) / 1e6 for row in rows])
    oldest_ms = config.positions.max_horizon_ms - config.positions.consumer_latency_ms + config.positions.lease_ms
    bad = following & ((ages_ms > oldest_ms) | (sent_ms > config.positions.lease_ms + TOLERANCE_MS))
    held: dict[str, float] = defaultdict(float)
    for one in disturbances:
        inside = (times > one.from_ns) & (times <= one.until_ns) & following
        late_ms = (times - one.from_ns) / 1e6
        bad |= inside & (late_ms > latest_hold_ms(one.role, config))
        if inside.any():
            held[f"{one.kind} {one.role}"] = max(held[f"{one.kind} {one.role}"], float(late_ms[inside].max()))
    took_ms = np.diff(times, append=times[-1:]) / 1e6
    return {
        "unsafe_ms": float(np.minimum(took_ms, 1e3)[bad].sum()),
        "held_after_ms": {name: round(late_ms, 1) for name, late_ms in held.items()},
        "followed_s": float(following.sum()) / 100.0,
        "disturbances": {kind: sum(one.kind == kind for one in disturbances) for kind in ("stop", "kill")},
    }


def calm_figures(rows: list[Row]) -> dict[str, float]:
    """Return how much of the calm time something was followed, from the first position on, and how old it was."""
    following = [row["following"] == "1" for row in rows]
    begun = rows[following.index(True) :] if True in following else []
    ages_ms = [float(row["age_ms"]) for row in begun if row["following"] == "1"]
    if not ages_ms:
        return {"valid": 0.0, "seconds": 0.0}
    p50, p99 = np.percentile(ages_ms, (50, 99))
    seconds = (int(begun[-1]["t_ns"]) - int(begun[0]["t_ns"])) / 1e9
    return {"valid": len(ages_ms) / len(begun), "seconds": seconds, "age_p50_ms": float(p50), "age_p99_ms": float(p99)}


def tracking_error_mm(rows: list[Row], track: Path) -> dict[str, float]:
    """Return the RMSE of what the aperture made up for, against a track of the target, while something was followed."""
    t_s, position = read_track(track)
    missed = []
    for row in rows:
        if row["following"] == "1" and row["at_si_mm"]:
            now_s = t_s[int(row["frame_sequence"]) % len(t_s)] + float(row["age_ms"]) / 1e3
            if now_s <= t_s[-1]:
                truth = [np.interp(now_s, t_s, axis) - axis[0] for axis in position.T]
                missed.append((float(row["at_ap_mm"]) - truth[0], float(row["at_si_mm"]) - truth[1]))
    errors = np.array(missed)
    rmse = np.sqrt((errors**2).mean(axis=0))
    return {"rmse_mm": float(np.hypot(*rmse)), "ap_mm": float(rmse[0]), "si_mm": float(rmse[1]), "rows": len(errors)}


def run(
    recording: Path,
    box: str,
    *,
    rounds: int,
    calm_s: float,
    track: Path | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Run the session and return the figures.

    Raises
    ------
    PipelineError
        If the target is not followed for a long time although every process runs.
    """
    from cinegate.verbs.options import load_targets
    from drivers.recordings import open_recording

    config = Config(
        safety=SafetySettings(hold_over_budget=False),
        overrides={"safety.hold_over_budget": "processes of this bench are stopped on purpose"},
    )
    load = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory(prefix="cinegate-mlc-") as name:
        folder = Path(name)
        targets = folder / "targets.json"
        write_targets(targets, load_targets(open_recording(recording), box, None))
        session = Session(config, "mlc", folder)
        commands = {
            "beam": [],
            "engine": ["--target", str(targets), "--arm-by-itself"],
            "positions": [],
            "follow": [],
            "source": [str(recording), "--loop"],
        }
        try:
            scene = Scene(session, commands)
            scene.await_following(1.0)
            time.sleep(calm_s)
            calm, disturbances = scene.rows(), []
            for number in range(rounds):
                for kind, roles in (("stop", STOPPED), ("kill", KILLED)):
                    disturbances.append(scene.disturb(kind, roles[number % len(roles)]))
                told(f"round {number + 1} of {rounds}")
            rows = scene.rows()
        except PipelineError as error:
            ends = {role: session.output(role).splitlines()[-3:] for role in session.processes}
            raise PipelineError(f"{error}; last words: {ends}") from None
        finally:
            session.stop()
    load.append(os.getloadavg()[0])
    about = {
        "recording": recording.name,
        "predictor": config.positions.method,
        "host": {"cores": os.cpu_count(), "load": [round(one, 1) for one in load]},
    }
    found = about | judge(rows, disturbances, session.config) | {"calm": calm_figures(calm)}
    return found if track is None else found | tracking_error_mm(calm, track)


def main() -> None:
    """Print the figures as JSON; the exit code is 1 if anything was followed that had to be held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--target-box", required=True, metavar="X,Y,W,H")
    parser.add_argument("--track", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--calm-s", type=float, default=60.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = run(
        arguments.recording,
        arguments.target_box,
        rounds=arguments.rounds,
        calm_s=arguments.calm_s,
        track=arguments.track,
        told=lambda sentence: print(sentence, file=sys.stderr),
    )
    text = json.dumps(found, indent=1)
    sys.stdout.write(text + "\n")
    if arguments.json is not None:
        arguments.json.write_text(text, encoding="utf-8")
    sys.exit(1 if found["unsafe_ms"] > 0 else 0)


if __name__ == "__main__":
    main()
