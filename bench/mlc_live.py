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

pauses            disturbances that were repeated because this machine paused meanwhile (a thread of ordinary priority
                  was run 20 ms too late), sessions that such a pause ended, and the longest pause

What was followed during such a disturbance must have been valid too; only how soon its process was missed is not
judged, as a machine that pauses disturbs late. The calm time is begun anew, twice at most, if the machine pauses for a
lease. Where a session ends although the machine did not pause, so does the run.

A position must be held once the process before the follower has been silent for a lease, or once the acquisition is
older than the longest horizon allows; 20 ms are added, as in the fault suite.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.mlc_scene import Disturbance, Row, Scene
from bench.motion_traces import read_track
from bench.pauses import Pauses
from gating.service.pipeline import PipelineError, Session
from gating.settings.config import Config, SafetySettings
from gating.targets.target_file import write_targets

TOLERANCE_MS: Final = 20.0
KILLED: Final = ("positions", "follow", "positions", "engine")
STOPPED: Final = ("positions", "engine", "source", "follow")
CALM_AGAIN: Final = 2
"""How often the calm time is begun anew at most, if the machine paused."""


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


def calm_rows(scene: Scene, pauses: Pauses, calm_s: float, lease_ms: float) -> tuple[list[Row], dict[str, Any]]:
    """Return what was recorded in an undisturbed time, and how often it was begun anew as the machine paused."""
    longest_ms: list[float] = []
    while len(longest_ms) <= CALM_AGAIN and (not longest_ms or longest_ms[-1] >= lease_ms):
        before, from_ns = len(scene.rows()), time.monotonic_ns()
        time.sleep(calm_s)
        longest_ms.append(pauses.longest_ms(from_ns))
    return scene.rows()[before:], {"repeated": len(longest_ms) - 1, "longest_pause_ms": longest_ms[-1]}


def disturb_all(
    scene: Scene, pauses: Pauses, rounds: int, told: Callable[[str], None]
) -> tuple[list[Disturbance], dict[str, Any]]:
    """Return every disturbance during which the machine did not pause, and what had to be repeated.

    Raises
    ------
    PipelineError
        If the target is no longer followed although the machine did not pause, or if it pauses more often than not.
    """
    asked = [each for n in range(rounds) for each in (("stop", STOPPED[n % 4]), ("kill", KILLED[n % 4]))]
    done: list[Disturbance] = []
    spoilt_ms: list[float] = []
    ended, is_over = 0, False
    while len(done) < len(asked):
        from_ns = time.monotonic_ns()
        try:
            if is_over:
                scene.begin()
            is_over, one = False, scene.disturb(*asked[len(done)])
        except PipelineError:
            is_over = True
            if not pauses.longest_ms(from_ns):
                raise
        if paused_ms := pauses.longest_ms(from_ns):
            spoilt_ms.append(paused_ms)
            ended += is_over
            if len(spoilt_ms) > len(asked):
                raise PipelineError(f"this machine paused in {len(spoilt_ms)} disturbances, and not in {len(done)}")
        else:
            done.append(one)
            told(f"disturbance {len(done)} of {len(asked)}")
    longest_ms = max(spoilt_ms, default=0.0)
    return done, {"repeated": len(spoilt_ms), "sessions_ended": ended, "longest_ms": longest_ms}


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
        If the target is not followed for a long time although every process runs and the machine does not pause.
    """
    from cinegate.verbs.options import load_targets
    from drivers.recordings import open_recording

    config = Config(
        safety=SafetySettings(hold_over_budget=False),
        overrides={"safety.hold_over_budget": "processes of this bench are stopped on purpose"},
    )
    load = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory(prefix="cinegate-mlc-") as name, Pauses(TOLERANCE_MS) as pauses:
        targets = Path(name, "targets.json")
        write_targets(targets, load_targets(open_recording(recording), box, None))
        commands = {
            "beam": [],
            "engine": ["--target", str(targets), "--arm-by-itself"],
            "positions": [],
            "follow": [],
            "source": [str(recording), "--loop"],
        }
        scene = Scene(lambda: Session(config, "mlc", Path(tempfile.mkdtemp(dir=name))), commands)
        try:
            scene.begin()
            calm, calm_pauses = calm_rows(scene, pauses, calm_s, config.positions.lease_ms)
            disturbances, paused = disturb_all(scene, pauses, rounds, told)
            rows = scene.rows()
        finally:
            scene.stop()
    load.append(os.getloadavg()[0])
    about = {
        "recording": recording.name,
        "predictor": config.positions.method,
        "host": {"cores": os.cpu_count(), "load": [round(one, 1) for one in load]},
    }
    found = about | judge(rows, disturbances, config) | {"pauses": paused, "calm": calm_figures(calm) | calm_pauses}
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
