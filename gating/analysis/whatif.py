"""What if: decides the same session with many settings, and finds those that no other setting beats."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from gating.analysis.figures import SessionFigures, figures
from gating.analysis.motion import GatedMotion, beam_intervals
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
    pareto: bool = False
    """Whether no other setting of the recording beats it in both duty cycle and residual motion."""


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
        yield _outcome(recording, setting, figures(dataclasses.replace(motion, beam_s=beam_s)))


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
    """Return every combination of the values."""
    return [
        Setting(margin_mm=m, out_percent=o, delay_ms=d, predictor=p, latency_ms=late)
        for m, o, d, p, late in product(margins_mm, out_percents, delays_ms, predictors, latencies_ms)
    ]


def pareto(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Mark the outcomes that no other of the same recording and latency beats in duty cycle and residual motion.

    Latency is a property of the machine and not a choice, so only settings with the same latency are compared.
    """
    marked = []
    for one in outcomes:
        others = [
            o for o in outcomes if o.recording == one.recording and o.setting.latency_ms == one.setting.latency_ms
        ]
        beaten = any(
            o.duty_cycle >= one.duty_cycle
            and o.residual_p95_mm <= one.residual_p95_mm
            and (o.duty_cycle > one.duty_cycle or o.residual_p95_mm < one.residual_p95_mm)
            for o in others
        )
        marked.append(replace(one, pareto=bool(np.isfinite(one.residual_p95_mm)) and not beaten))
    return marked


def write_csv(path: Path, outcomes: Sequence[Outcome]) -> None:
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


def write_plot(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write an HTML page that opens offline: duty cycle against residual motion, with the Pareto front as a line."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for recording in dict.fromkeys(o.recording for o in outcomes):
        mine = [o for o in outcomes if o.recording == recording]
        front = sorted((o for o in mine if o.pareto), key=lambda o: (o.setting.latency_ms, o.duty_cycle))
        figure.add_scatter(
            x=[o.residual_p95_mm for o in mine],
            y=[100 * o.duty_cycle for o in mine],
            mode="markers",
            name=recording,
            text=[_label(o.setting) for o in mine],
        )
        for latency_ms in dict.fromkeys(o.setting.latency_ms for o in front):
            line = [o for o in front if o.setting.latency_ms == latency_ms]
            figure.add_scatter(
                x=[o.residual_p95_mm for o in line],
                y=[100 * o.duty_cycle for o in line],
                mode="lines",
                name=f"{recording}: front at {latency_ms:g} ms",
                text=[_label(o.setting) for o in line],
            )
    figure.update_layout(
        title="Duty cycle against residual motion",
        xaxis_title="residual motion while the beam is on, 95th percentile (mm)",
        yaxis_title="duty cycle (%)",
        template="simple_white",
    )
    figure.write_html(private_file(path), include_plotlyjs=True, full_html=True)


def _label(s: Setting) -> str:
    return (
        f"{s.margin_mm:g} mm, {s.out_percent:g} %, delay {s.delay_ms:g} ms, {s.predictor}, latency {s.latency_ms:g} ms"
    )


def _outcome(recording: str, setting: Setting, found: SessionFigures) -> Outcome:
    return Outcome(
        recording=recording,
        setting=setting,
        duty_cycle=found.duty_cycle,
        residual_p95_mm=found.residual_p95_mm,
        residual_sd_mm=float(np.sqrt(sum(axis.sd_mm**2 for axis in found.residual))),
        coverage=found.coverage,
        relative_d98=found.relative_d98,
        beam_on_periods=found.beam_on_periods,
        overshoot_p95_mm=found.beam_off.travel_p95_mm,
    )
