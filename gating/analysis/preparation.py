"""Preparation: learns a patient's motion from 30 to 60 s of cine frames without beam, and proposes how to gate it.

The result is a proposal: a configuration file with its reasons. It takes effect only if a session is started with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from gating.analysis.definitions import SENTENCES, distance_mm, duty_cycle, residual_mm
from gating.analysis.motion_profile import MotionProfile, learn_motion
from gating.analysis.pareto import unbeaten
from gating.analysis.preparation_3d import InThreeD, compare, three_d_of
from gating.analysis.replay_tracking import TrackedSession, gated_motion
from gating.analysis.unknown import number
from gating.analysis.whatif import Method
from gating.messages import ASSUMED_TIME_MEANS
from gating.settings.config import Config, GatingSettings, parse_config, to_toml
from gating.settings.presets import AIMS, Aim, PresetName, read_preset
from gating.settings.rules import BoundaryRule, BreathHoldRule, CentreRule, ExcursionRule, Margins, PredictionSettings
from gating.settings.three_d import ThreeDSettings

MARGINS_MM: Final = (2.0, 3.0, 4.0, 5.0, 7.0, 10.0)
"""Margins to choose from, unless others are given."""
CENTRED: Final = (False, True)
"""Each margin is tried without and with a rule for the centre."""
ALIKE: Final = 0.02
"""Duty cycles that differ by less are taken as equal, and the smaller residual motion decides."""


class GridPoint(Struct, frozen=True, kw_only=True):
    """What is predicted for one window."""

    margin_mm: float
    centred: bool
    """Whether the centre is held within the margin too, as percent out lets a large target move beyond it."""
    duty_cycle: float
    residual_p95_mm: float
    """95th percentile; NaN if the beam would never be on."""
    pareto: bool = False
    """Whether no other window beats it in both."""


class Proposal(Struct, frozen=True, kw_only=True):
    """A strategy, its window, and what is predicted for it."""

    strategy: PresetName
    why: str
    margin_mm: float
    centred: bool
    shift_lps_mm: tuple[float, float, float]
    profile: MotionProfile
    grid: tuple[GridPoint, ...]
    aim: Aim
    meets_aim: bool
    why_this_window: str
    latency_ms: float
    predictor: Method
    three_d: InThreeD | None = None
    """None if the dry run shows only one plane of the target."""


@dataclass(frozen=True, slots=True)
class _Window:
    strategy: PresetName
    shift_lps_mm: tuple[float, float, float]
    why: str


def propose(
    tracked: TrackedSession,
    config: Config,
    *,
    latency_ms: float = 250.0,
    predictor: Method = "off",
    margins_mm: Sequence[float] = MARGINS_MM,
    max_residual_mm: float | None = None,
    decided: Callable[[], None] = lambda: None,
) -> Proposal:
    """Learn the motion, choose a strategy, and choose its window on the Pareto front of what is predicted.

    Parameters
    ----------
    tracked
        The dry run.
    config
        Settings that the proposal keeps.
    latency_ms
        Measured latency from acquisition to beam off and on.
    predictor
        Predictor of the proposed session.
    margins_mm
        Margins to choose from.
    max_residual_mm
        Largest residual motion (95th percentile) of a proposal; that of the strategy's preset if not given.
    decided
        Called after each margin, without and with a rule for the centre, for progress.

    Raises
    ------
    ValueError
        If the dry run shows too little of the target.
    """
    three_d = three_d_of(tracked, config)
    config = _in_3d(config, three_d)
    profile = learn_motion(gated_motion(tracked, config))
    window = _choose(profile)
    aim = AIMS[window.strategy]
    if max_residual_mm is not None:
        aim = replace(aim, max_residual_mm=max_residual_mm, source="set by the user")
    points = []
    for centred, margin_mm in product(CENTRED, margins_mm):
        trial = proposed_config(
            config, window.strategy, margin_mm, window.shift_lps_mm, predictor, latency_ms, centred=centred
        )
        motion = gated_motion(tracked, trial, latency_ms=latency_ms)
        duty, residual_p95_mm = duty_cycle(motion.beam_s, motion.span_s), distance_mm(residual_mm(motion))
        points.append(GridPoint(margin_mm=margin_mm, centred=centred, duty_cycle=duty, residual_p95_mm=residual_p95_mm))
        decided()
    front = unbeaten([(point.duty_cycle, point.residual_p95_mm) for point in points])
    grid = [replace(point, pareto=on_front) for point, on_front in zip(points, front, strict=True)]
    chosen, why = choose_window(grid, aim)
    proposal = Proposal(
        strategy=window.strategy,
        why=window.why,
        margin_mm=chosen.margin_mm,
        centred=chosen.centred,
        shift_lps_mm=window.shift_lps_mm,
        profile=profile,
        grid=tuple(grid),
        aim=aim,
        meets_aim=_meets(chosen, aim),
        why_this_window=why,
        latency_ms=latency_ms,
        predictor=predictor,
    )
    if three_d is None:
        return proposal
    return replace(proposal, three_d=compare(tracked, accepted_config(proposal, config), latency_ms=latency_ms))


def _in_3d(config: Config, three_d: ThreeDSettings | None) -> Config:
    return config if three_d is None else replace(config, gating=replace(config.gating, three_d=three_d))


def choose_window(grid: Sequence[GridPoint], aim: Aim) -> tuple[GridPoint, str]:
    """Return the window to propose, and why: residual motion comes first, then duty cycle."""
    front = [point for point in grid if point.pareto]
    if not front:
        return grid[0], "nothing meets both aims: no window permits beam in this dry run"
    within = [point for point in front if point.residual_p95_mm <= aim.max_residual_mm]
    limit = f"a residual motion of at most {aim.max_residual_mm:g} mm ({aim.source})"
    if not within:
        least = min(front, key=lambda point: point.residual_p95_mm)
        return least, f"nothing meets both aims: no window has {limit}; this one has the least"
    best = max(point.duty_cycle for point in within)
    chosen = min((p for p in within if p.duty_cycle >= best - ALIKE), key=lambda point: point.residual_p95_mm)
    if not _meets(chosen, aim):
        share = f"a duty cycle of {100 * aim.least_duty_cycle:g} %"
        return chosen, f"nothing meets both aims: no window with {limit} reaches {share}; this one comes nearest"
    alike = f"of those within {100 * ALIKE:g} percentage points of it, the least residual motion"
    return chosen, f"the highest duty cycle with {limit}; {alike}"


def _meets(point: GridPoint, aim: Aim) -> bool:
    return point.residual_p95_mm <= aim.max_residual_mm and point.duty_cycle >= aim.least_duty_cycle


def strategy_settings(strategy: PresetName, config: Config) -> GatingSettings:
    """Return the gating settings of a strategy's preset; what `config` sets itself, other than by default, stays."""
    usual = GatingSettings()
    own = {name: getattr(config.gating, name) for name in GatingSettings.__struct_fields__}
    own = {name: value for name, value in own.items() if value != getattr(usual, name)}
    return replace(parse_config(read_preset(strategy), strategy).gating, **own)


def proposed_config(
    config: Config,
    strategy: PresetName,
    margin_mm: float,
    shift_lps_mm: tuple[float, float, float],
    predictor: Method = "off",
    latency_ms: float = 250.0,
    *,
    centred: bool = False,
) -> Config:
    """Return the configuration with the settings of a strategy's preset, and its window."""
    settings = strategy_settings(strategy, config)
    margins = Margins(**dict.fromkeys(Margins.__struct_fields__, margin_mm))
    window = BoundaryRule(margins=margins, max_out_fraction=settings.max_out_fraction, shift_lps_mm=shift_lps_mm)
    centre = CentreRule(lr_mm=margin_mm, ap_mm=margin_mm, si_mm=margin_mm, shift_lps_mm=shift_lps_mm)
    extra = [rule for rule in settings.rules if isinstance(rule, BreathHoldRule | ExcursionRule)]
    gating = replace(settings, margins=margins, rules=(window, *([centre] if centred else []), *extra))
    prediction = PredictionSettings(method=predictor, horizon_ms=min(latency_ms, 500.0))
    return replace(config, gating=gating, prediction=prediction)


def accepted_config(proposal: Proposal, config: Config) -> Config:
    """Return the configuration of an accepted proposal."""
    return proposed_config(
        _in_3d(config, None if proposal.three_d is None else proposal.three_d.settings),
        proposal.strategy,
        proposal.margin_mm,
        proposal.shift_lps_mm,
        proposal.predictor,
        proposal.latency_ms,
        centred=proposal.centred,
    )


def proposal_toml(proposal: Proposal, config: Config, source: str) -> str:
    """Return the proposal as a configuration file, with what was learned in comments at its top."""
    p = proposal.profile
    chosen = accepted_config(proposal, config)
    lines = [
        "PROPOSAL, not in force: it takes effect only in a session that is started with this file.",
        f"Learned from {source}: {p.frames} frames in {p.duration_s:.0f} s, "
        f"target found in {100 * p.found_fraction:.0f} % of them.",
        *([f"The {ASSUMED_TIME_MEANS}."] if p.times_assumed else []),
        f"Range (5 to 95 %): {_axes(p.range_mm)} mm; "
        f"period {number(p.period_s)} s (SD {number(p.period_sd_s)} s); speed (95 %) {p.speed_p95_mm_s:.0f} mm/s.",
        f"Exhale at {_axes(p.exhale_mm, sign=True)} mm (left, posterior, superior) from the reference frame; it "
        f"repeats within {number(p.exhale_sd_mm)} mm (SD); "
        f"the target is within 3 mm of it for {100 * p.exhale_dwell:.0f} % of the time.",
        f"Frames for templates: exhale {p.exhale_frame}, inhale {p.inhale_frame}.",
        f"Strategy: {proposal.strategy}: {proposal.why}.",
        f"Settings of the preset {proposal.strategy}: {100 * chosen.gating.max_out_fraction:g} % out, beam-on delay "
        f"{chosen.gating.on_delay_ms:g} ms, {chosen.gating.resume_good_frames} good frames before beam on.",
        f"Predicted with a latency of {proposal.latency_ms:g} ms, prediction {proposal.predictor} (*: on the Pareto "
        "front of duty cycle and residual motion):",
        *(_grid_line(point, proposal) for point in proposal.grid),
        f"Window: {proposal.why_this_window}.",
        *(() if proposal.three_d is None else proposal.three_d.sentences()),
        *(f"{name.capitalize()}: {SENTENCES[name]}" for name in ("duty cycle", "residual motion", "simulated latency")),
    ]
    return "".join(f"# {line}\n" for line in lines) + "\n" + to_toml(chosen)


def _grid_line(point: GridPoint, proposal: Proposal) -> str:
    mine = (point.margin_mm, point.centred) == (proposal.margin_mm, proposal.centred)
    return (
        f" {'*' if point.pareto else ' '}margin {point.margin_mm:4g} mm{', centre too' if point.centred else '':12}: "
        f"duty cycle {100 * point.duty_cycle:5.1f} %, residual motion (95 %) {number(point.residual_p95_mm):>4} mm"
        f"{'   <- proposed' if mine else ''}"
    )


def _choose(profile: MotionProfile) -> _Window:
    """Choose the strategy. The limits are those of AAPM TG-76 section IV (5 mm) and of repeated breath-holds."""
    span_mm = float(np.nanmax(profile.range_mm))
    here = (0.0, 0.0, 0.0)
    if not span_mm > 3.0:
        return _Window("exception", here, f"the target moves {span_mm:.1f} mm at most, so only an excursion matters")
    if profile.longest_plateau_s >= 8.0:
        why = f"the target stood still for {profile.longest_plateau_s:.0f} s, as in a breath-hold"
        return _Window("breath_hold", here, why)
    if span_mm > 5.0 and profile.exhale_sd_mm <= 3.0:
        why = (
            f"{span_mm:.1f} mm of breathing with an exhale that repeats within {profile.exhale_sd_mm:.1f} mm; "
            f"the window is placed there"
        )
        return _Window("exhale", profile.exhale_shift_mm, why)
    return _Window("respiratory", here, f"{span_mm:.1f} mm of motion without a reproducible exhale")


def _axes(vector_mm: tuple[float, float, float], *, sign: bool = False) -> str:
    return " ".join(f"{axis} {number(mm, sign=sign)}" for axis, mm in zip(("LR", "AP", "SI"), vector_mm, strict=True))
