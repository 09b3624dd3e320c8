"""What each strategy's preset gives on recorded motion: the table of docs/gating.md.

Run: python -m bench.bench_strategies FOLDER_OF_DEVELOPMENT_RECORDINGS [--latency-ms 250]

The targets are followed once per recording; every strategy is then decided by the engine. The exhale window stands
where `cinegate prepare` puts it after the first 45 s; the session that is scored contains them. The beam follows every
decision `latency-ms` after the acquisition of its frame.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from gating.analysis.again import Followed, follow_motion, gated_motion
from gating.analysis.figures import figures
from gating.analysis.margins import gated_versus_itv
from gating.analysis.uncertainty import default_table
from gating.cli.sessions import followed_session, read_motion
from gating.config import Config, parse_config
from gating.preparation import learn_motion
from gating.presets import NAMES, read_preset
from gating.rule_settings import BoundaryRule

BOXES = {"KS81_1": "60,64,40,34", "QN76_1": "56,74,36,34", "II29_1": "78,70,34,34", "ON65_2": "62,100,34,34"}
TRACES = (
    "LiverTraj_RegularBreathing70s_robot.txt",
    "LiverTraj_LargeSI70s_robot.txt",
    "LiverTraj_BreathHold1_robot.txt",
    "Prostate_PersistentExcursion.txt",
)
PHANTOM = "breath_hold.npz"
LEARN_S = 45.0


def sessions(data: Path) -> Iterator[tuple[str, Followed, float]]:
    """Yield name, followed target and its radius, mm."""
    for name, box in BOXES.items():
        followed = followed_session(data / "liver_cine" / f"{name}.npz", Config(), target_box=box)
        row_mm, column_mm = followed.stream.pixel_spacing_mm
        width, height = (float(part) for part in box.split(",")[2:])
        yield name, followed, float(np.sqrt(width * column_mm * height * row_mm / np.pi))
    yield "phantom breath-holds", followed_session(Path("replay_data") / PHANTOM, Config()), 15.0
    for file in TRACES:
        t_s, away_mm = read_motion(data / "traces" / file)
        yield Path(file).stem.removesuffix("_robot"), follow_motion(t_s, away_mm), 15.0


def strategy_config(name: str, followed: Followed) -> Config:
    """Return a preset; the exhale window stands where the first 45 s say."""
    config = parse_config(read_preset(name), name)
    if name == "exhale":
        first_ns = followed.frames[0].header.acquired_ns
        head = tuple(f for f in followed.frames if f.header.acquired_ns - first_ns <= LEARN_S * 1e9)
        dry = Followed(followed.stream, followed.specs, head, followed.results)
        try:
            shift = learn_motion(gated_motion(dry, config)).exhale_mm
        except ValueError:
            shift = (0.0, 0.0, 0.0)
        gating = config.gating
        rule = BoundaryRule(margins=gating.margins, max_out_fraction=gating.max_out_fraction, shift_lps_mm=shift)
        config = replace(config, gating=replace(gating, rules=(rule,)))
    return config


def main() -> None:
    """Print the table as markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--latency-ms", type=float, default=250.0)
    arguments = parser.parse_args()
    head = (
        "| session | strategy | duty cycle % | beam-on periods, median s | residual SD mm | residual p95 mm (free) | "
    )
    print(head + "overshoot p95 mm | coverage % | D98 % | PTV gated / ITV |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for session, followed, radius_mm in sessions(arguments.data):
        for name in NAMES:
            config = strategy_config(name, followed)
            motion = gated_motion(followed, config, latency_ms=arguments.latency_ms)
            found = figures(motion)
            pixel_mm = max(followed.stream.pixel_spacing_mm)
            itv = gated_versus_itv(motion, radius_mm, default_table(pixel_mm)).gated_over_itv
            sd_mm = float(np.sqrt(sum(axis.sd_mm**2 for axis in found.residual)))
            print(
                f"| {session} | {name} | {100 * found.duty_cycle:.0f} | {found.beam_on_periods}, "
                f"{found.beam_on_median_s:.1f} | {sd_mm:.1f} | {found.residual_p95_mm:.1f} ({found.free_p95_mm:.1f}) | "
                f"{found.beam_off.travel_p95_mm:.1f} | {100 * found.coverage:.0f} | {100 * found.relative_d98:.0f} | "
                f"{itv:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
