"""The result of each strategy's preset on recorded motion: the table of docs/gating.md.

Run: python -m bench.bench_strategies FOLDER_OF_DEVELOPMENT_RECORDINGS [--latency-ms 250]

The targets are tracked once per recording; the engine then decides under every strategy. The exhale window is where
`cinegate prepare` puts it after the first 45 s, and "as prepared" is its whole proposal; the scored session includes
those 45 s. The beam follows every decision `latency-ms` after the acquisition of its frame.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from cinegate.verbs.following import followed_session, read_motion
from gating.analysis.figures import figures
from gating.analysis.margins import gated_versus_itv
from gating.analysis.motion_profile import learn_motion
from gating.analysis.preparation import accepted_config, propose
from gating.analysis.replay_tracking import TrackedSession, gated_motion, track_motion
from gating.analysis.uncertainty import default_table
from gating.geometry.contours import equivalent_radius_mm
from gating.settings.config import Config, parse_config
from gating.settings.presets import NAMES, read_preset
from gating.settings.rules import BoundaryRule

BOXES = {"KS81_1": "60,64,40,34", "QN76_1": "56,74,36,34", "II29_1": "78,70,34,34", "ON65_2": "60,70,36,34"}
TRACES = (
    "LiverTraj_RegularBreathing70s_robot.txt",
    "LiverTraj_LargeSI70s_robot.txt",
    "LiverTraj_BreathHold1_robot.txt",
    "Prostate_PersistentExcursion.txt",
)
PHANTOM = "breath_hold.npz"
LEARN_S = 45.0
PREPARED = "as prepared"


def sessions(data: Path) -> Iterator[tuple[str, TrackedSession]]:
    """Yield the name and the tracked target of each session."""
    for name, box in BOXES.items():
        yield name, followed_session(data / "liver_cine" / f"{name}.npz", Config(), target_box=box)
    yield "phantom breath-holds", followed_session(Path("replay_data") / PHANTOM, Config())
    for file in TRACES:
        yield trace_session(data / "traces" / file)


def trace_session(path: Path) -> tuple[str, TrackedSession]:
    """Return the name of a trace, and its motion as that of a tracked target."""
    return path.stem.removesuffix("_robot"), track_motion(*read_motion(path))


def strategy_config(name: str, tracked: TrackedSession, latency_ms: float) -> Config:
    """Return a preset, with the exhale window of the first 45 s, or the proposal of `cinegate prepare` for those 45 s.

    Raises
    ------
    ValueError
        If they show too little of the target for a proposal.
    """
    first_ns = tracked.frames[0].header.acquired_ns
    head = tuple(f for f in tracked.frames if f.header.acquired_ns - first_ns <= LEARN_S * 1e9)
    dry = TrackedSession(tracked.stream, tracked.specs, head, tracked.results)
    if name == PREPARED:
        return accepted_config(propose(dry, Config(), latency_ms=latency_ms), Config())
    config = parse_config(read_preset(name), name)
    if name == "exhale":
        try:
            shift = learn_motion(gated_motion(dry, config)).exhale_shift_mm
        except ValueError:
            shift = (0.0, 0.0, 0.0)
        gating = config.gating
        rule = BoundaryRule(margins=gating.margins, max_out_fraction=gating.max_out_fraction, shift_lps_mm=shift)
        config = replace(config, gating=replace(gating, rules=(rule,)))
    return config


def strategy_row(session: str, tracked: TrackedSession, name: str, latency_ms: float = 250.0) -> str:
    """Return one row of the table."""
    try:
        config = strategy_config(name, tracked, latency_ms)
    except ValueError:
        return f"| {session} | {name} | no proposal{' | -' * 7} |"
    motion = gated_motion(tracked, config, latency_ms=latency_ms)
    found, spacing_mm = figures(motion), tracked.stream.pixel_spacing_mm
    radius_mm = equivalent_radius_mm(tracked.specs[0].contour_px, spacing_mm)
    try:
        itv = gated_versus_itv(motion, radius_mm, default_table(max(spacing_mm))).gated_over_itv
    except ValueError:
        itv = float("nan")
    cells = (
        session,
        name,
        _number(100 * found.duty_cycle, 0),
        f"{found.beam_on_periods}, {_number(found.beam_on_median_s)}",
        _number(found.residual_sd_mm),
        f"{_number(found.residual_p95_mm)} ({_number(found.free_p95_mm)})",
        _number(found.beam_off.travel_p95_mm),
        _number(100 * found.coverage, 0),
        f"{_number(100 * found.relative_d98, 0)}, {_number(100 * found.smooth_d98, 0)}",
        _number(itv, 2),
    )
    return f"| {' | '.join(cells)} |"


def _number(value: float, digits: int = 1) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else "-"


def main() -> None:
    """Print the table as markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--latency-ms", type=float, default=250.0)
    arguments = parser.parse_args()
    head = (
        "| session | strategy | duty cycle % | beam-on periods, median s | residual SD mm | residual p95 mm (free) | "
    )
    print(head + "overshoot p95 mm | coverage % | D98 %: TrackRAD2025, smooth | PTV gated / ITV |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for session, tracked in sessions(arguments.data):
        for name in (*NAMES, PREPARED):
            print(strategy_row(session, tracked, name, arguments.latency_ms), flush=True)


if __name__ == "__main__":
    main()
