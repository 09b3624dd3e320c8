"""What if: decides the same session with many settings, and finds those that no other setting beats."""

from __future__ import annotations

import csv
import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gating.analysis.figures import figures
from gating.analysis.motion import GatedMotion, beam_intervals
from gating.analysis.pareto import unbeaten
from gating.analysis.replay_tracking import TrackedSession, gated_motion
from gating.settings.config import Config
from gating.settings.private_file import private_file
from gating.settings.rules import BoundaryRule, Margins, PredictionSettings

Method = Literal["off", "persistence", "ridge", "rls", "kalman"]


class Setting(Struct, frozen=True, kw_only=True):
    """One setting of the sweep."""

    margin_mm: float
    out_percent: float
    delay_ms: float
    """Beam-on delay: every condition must hold for this long."""
    predictor: Method
    latency_ms: float
    """From acquisition to beam on or off. A predictor looks this far ahead."""


class Outcome(Struct, frozen=True, kw_only=True):
    """The result of one setting."""

    recording: str
    setting: Setting
    duty_cycle: float
    residual_p95_mm: float
    residual_sd_mm: float
    """Root of the summed variances of the axes."""
    coverage: float
    relative_d98: float
    beam_on_periods: int
    overshoot_p95_mm: float
    mostly_held_for: str = ""
    """The reason of most holds; empty if no frame was held."""
    pareto: bool = False
    """Whether no setting of the recording beats it in duty cycle and residual motion, and none before equals it."""
    times_assumed: bool = False
    """Whether the times of the recording follow from a rate that a user gave."""


def with_setting(config: Config, setting: Setting) -> Config:
    """Return the configuration with one setting applied to the common boundary and to every boundary rule."""
    margins = Margins(**dict.fromkeys(Margins.__struct_fields__, setting.margin_mm))
    out = setting.out_percent / 100
    rules = tuple(
        replace(rule, margins=margins, max_out_fraction=out) if isinstance(rule, BoundaryRule) else rule
        for rule in config.gating.rules
    )
    gating = replace(config.gating, margins=margins, max_out_fraction=out, on_delay_ms=setting.delay_ms, rules=rules)
    horizon_ms = min(setting.latency_ms, 500.0) if setting.predictor != "off" else config.prediction.horizon_ms
    return replace(
        config, gating=gating, prediction=PredictionSettings(method=setting.predictor, horizon_ms=horizon_ms)
    )


def sweep(tracked: TrackedSession, config: Config, settings: Sequence[Setting], recording: str) -> Iterator[Outcome]:
    """Decide a session with every setting.

    Settings without prediction that differ only in their latency are decided once: the decisions are the same, and the
    beam follows them later.
    """
    decided: dict[Setting, GatedMotion] = {}
    for setting in settings:
        key = decided_setting(setting)
        if key not in decided:
            decided[key] = gated_motion(tracked, with_setting(config, key))
        motion, latency_s = decided[key], setting.latency_ms / 1e3
        beam_s = beam_intervals(motion.t_s, motion.gate_on, latency_s, latency_s)
        yield _outcome(recording, setting, dataclasses.replace(motion, beam_s=beam_s))


def decided_setting(setting: Setting) -> Setting:
    """Return the setting whose decisions this one shares. Without prediction, the latency does not affect them."""
    return setting if setting.predictor != "off" else replace(setting, latency_ms=0.0)


def settings_grid(
    margins_mm: Sequence[float],
    out_percents: Sequence[float],
    delays_ms: Sequence[float],
    predictors: Sequence[Method],
    latencies_ms: Sequence[float],
) -> list[Setting]:
    """Return every combination of the values, each once."""
    every = product(margins_mm, out_percents, delays_ms, predictors, latencies_ms)
    return list(
        dict.fromkeys(
            Setting(margin_mm=m, out_percent=o, delay_ms=d, predictor=p, latency_ms=late) for m, o, d, p, late in every
        )
    )


def pareto(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Mark the outcomes that no other of the same recording and latency beats in duty cycle and residual motion.

    Latency is a property of the machine and not a choice, so only settings with the same latency are compared. Of
    settings with the same result, the first is marked.
    """
    alike: dict[tuple[str, float], list[int]] = {}
    for number, one in enumerate(outcomes):
        alike.setdefault((one.recording, one.setting.latency_ms), []).append(number)
    front: set[int] = set()
    for numbers in alike.values():
        kept = unbeaten([(outcomes[n].duty_cycle, outcomes[n].residual_p95_mm) for n in numbers])
        front.update(n for n, on_front in zip(numbers, kept, strict=True) if on_front)
    return [replace(one, pareto=number in front) for number, one in enumerate(outcomes)]


def why_none(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Return, for each recording of which no setting permits beam, why: one sentence by its name."""
    found = {}
    for recording in dict.fromkeys(one.recording for one in outcomes):
        mine = [one for one in outcomes if one.recording == recording]
        if any(one.pareto for one in mine):
            continue
        (reason, _), *_ = Counter(one.mostly_held_for for one in mine).most_common(1)
        found[recording] = (
            f"none of {len(mine)} settings permits beam on {recording}: most frames are held for "
            f"{reason.replace('_', ' ') or 'no stated reason'}"
        )
    return found


def write_csv(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Write one row per outcome."""
    columns = [
        "recording",
        *Setting.__struct_fields__,
        *(f for f in Outcome.__struct_fields__ if f not in ("recording", "setting")),
    ]
    with private_file(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for outcome in outcomes:
            row = msgspec.to_builtins(outcome)
            row |= row.pop("setting")
            writer.writerow({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()})


def _outcome(recording: str, setting: Setting, motion: GatedMotion) -> Outcome:
    found = figures(motion)
    held = Counter(reason for reason, on in zip(motion.reasons, motion.gate_on, strict=True) if not on)
    return Outcome(
        recording=recording,
        setting=setting,
        duty_cycle=found.duty_cycle,
        residual_p95_mm=found.residual_p95_mm,
        residual_sd_mm=found.residual_sd_mm,
        coverage=found.coverage,
        relative_d98=found.relative_d98,
        beam_on_periods=found.beam_on_periods,
        overshoot_p95_mm=found.beam_off.travel_p95_mm,
        mostly_held_for=max(held, key=held.__getitem__, default=""),
        times_assumed=motion.times_assumed,
    )
