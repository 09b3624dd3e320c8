"""Preparation: learns a patient's motion from 30 to 60 s of cine frames without beam, and proposes how to gate it.

The result is a proposal: a configuration file with its reasons. It takes effect only if a session is started with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from gating.analysis.drift import exhale_positions
from gating.analysis.figures import figures
from gating.analysis.motion import GatedMotion
from gating.analysis.replay_tracking import TrackedSession, gated_motion
from gating.analysis.whatif import Method
from gating.geometry.contours import equivalent_radius_mm
from gating.settings.config import Config, to_toml
from gating.settings.rules import BoundaryRule, BreathHoldRule, CentreRule, ExcursionRule, Margins, PredictionSettings

Strategy = Literal["respiratory", "exhale", "breath_hold", "exception"]
SLACK_MM: Final = 3.0
"""Percent out lets a target move beyond its margin by its length times the limit. Above this, its centre is held."""
LEAST_DUTY_CYCLE: Final[dict[Strategy, float]] = {
    "respiratory": 0.4,
    "exhale": 0.4,
    "breath_hold": 0.3,
    "exception": 0.9,
}
"""Least duty cycle of a proposal, unless no margin reaches it."""


class MotionProfile(Struct, frozen=True, kw_only=True):
    """What was learned about the motion; mm in LPS. The period is NaN if the target does not breathe."""

    duration_s: float
    frames: int
    found_fraction: float
    range_mm: tuple[float, float, float]
    """5th to 95th percentile."""
    period_s: float
    period_sd_s: float
    exhale_mm: tuple[float, float, float]
    """Exhale position relative to the reference frame."""
    exhale_sd_mm: float
    """SD of the exhale positions: how well they repeat."""
    exhale_dwell: float
    """Fraction of the time within 3 mm of the exhale position."""
    speed_p95_mm_s: float
    longest_plateau_s: float
    exhale_frame: int
    inhale_frame: int
    """Frames for templates: the nearest to the exhale position and the farthest from it."""


class GridPoint(Struct, frozen=True, kw_only=True):
    """What is predicted for one margin."""

    margin_mm: float
    duty_cycle: float
    residual_p95_mm: float
    """95th percentile of the distance from the middle of the window."""


class Proposal(Struct, frozen=True, kw_only=True):
    """A strategy, its window, and what is predicted for it."""

    strategy: Strategy
    why: str
    margin_mm: float
    shift_lps_mm: tuple[float, float, float]
    profile: MotionProfile
    grid: tuple[GridPoint, ...]
    latency_ms: float
    predictor: Method
    centred: bool
    """Whether the centre is held within the margin too, because the target is so large that it could move otherwise."""


@dataclass(frozen=True, slots=True)
class _Window:
    strategy: Strategy
    shift_lps_mm: tuple[float, float, float]
    why: str


def learn_motion(motion: GatedMotion) -> MotionProfile:
    """Return what the motion of a target shows.

    Raises
    ------
    ValueError
        If the target was found in less than half of the frames, or for less than 20 s.
    """
    known = np.isfinite(motion.displacement_mm).all(axis=1)
    t_s, p = motion.t_s[known], motion.displacement_mm[known]
    found = float(known.mean())
    if not (found >= 0.5 and len(t_s) >= 20 and t_s[-1] - t_s[0] >= 20.0):
        span_s = float(t_s[-1] - t_s[0]) if len(t_s) else 0.0
        raise ValueError(
            f"the target was found in {100 * found:.0f} % of the frames over {span_s:.0f} s; 50 % over 20 s are needed"
        )
    when, exhales = exhale_positions(t_s, p)
    periods = np.diff(when)
    breathes = len(when) >= 3 and float(np.median(periods)) > 2.05 and float(np.ptp(p, axis=0).max()) > 3.0
    exhale = np.median(exhales, axis=0) if len(exhales) else np.median(p, axis=0)
    low, high = np.percentile(p, [5, 95], axis=0)
    away = np.linalg.norm(p - exhale, axis=1)
    numbers = np.flatnonzero(known)
    return MotionProfile(
        duration_s=motion.duration_s,
        frames=len(motion.t_s),
        found_fraction=found,
        range_mm=_three(high - low),
        period_s=float(np.median(periods)) if breathes else float("nan"),
        period_sd_s=float(np.std(periods)) if breathes else float("nan"),
        exhale_mm=_three(exhale),
        exhale_sd_mm=float(np.linalg.norm(np.std(exhales, axis=0))) if len(exhales) else float("nan"),
        exhale_dwell=float((away <= 3.0).mean()),
        speed_p95_mm_s=float(np.percentile(np.linalg.norm(np.diff(p, axis=0), axis=1) / np.diff(t_s), 95)),
        longest_plateau_s=_longest_plateau_s(t_s, p, 2.0),
        exhale_frame=int(numbers[np.argmin(away)]),
        inhale_frame=int(numbers[np.argmax(away)]),
    )


def propose(
    tracked: TrackedSession,
    config: Config,
    *,
    latency_ms: float = 250.0,
    predictor: Method = "off",
    margins_mm: Sequence[float] = (2.0, 3.0, 4.0, 5.0, 7.0, 10.0),
) -> Proposal:
    """Learn the motion, choose a strategy, and choose its margin by what is predicted for each.

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

    Raises
    ------
    ValueError
        If the dry run shows too little of the target.
    """
    profile = learn_motion(gated_motion(tracked, config))
    window = _choose(profile)
    diameter_mm = 2 * equivalent_radius_mm(tracked.specs[0].contour_px, tracked.stream.pixel_spacing_mm)
    centred = config.gating.max_out_fraction * diameter_mm > SLACK_MM
    points = []
    for margin_mm in margins_mm:
        trial = proposed_config(
            config, window.strategy, margin_mm, window.shift_lps_mm, predictor, latency_ms, centred=centred
        )
        motion = gated_motion(tracked, trial, latency_ms=latency_ms)
        found = figures(motion)
        points.append(
            GridPoint(margin_mm=margin_mm, duty_cycle=found.duty_cycle, residual_p95_mm=found.residual_p95_mm)
        )
    enough = [point for point in points if point.duty_cycle >= LEAST_DUTY_CYCLE[window.strategy]]
    chosen = min(enough, key=lambda p: p.margin_mm) if enough else max(points, key=lambda p: p.duty_cycle)
    return Proposal(
        strategy=window.strategy,
        why=window.why,
        margin_mm=chosen.margin_mm,
        shift_lps_mm=window.shift_lps_mm,
        profile=profile,
        grid=tuple(points),
        latency_ms=latency_ms,
        predictor=predictor,
        centred=centred,
    )


def proposed_config(
    config: Config,
    strategy: Strategy,
    margin_mm: float,
    shift_lps_mm: tuple[float, float, float],
    predictor: Method = "off",
    latency_ms: float = 250.0,
    *,
    centred: bool = False,
) -> Config:
    """Return the configuration with the rules of a strategy."""
    margins = Margins(**dict.fromkeys(Margins.__struct_fields__, margin_mm))
    window = BoundaryRule(margins=margins, max_out_fraction=config.gating.max_out_fraction, shift_lps_mm=shift_lps_mm)
    centre = CentreRule(lr_mm=margin_mm, ap_mm=margin_mm, si_mm=margin_mm, shift_lps_mm=shift_lps_mm)
    extra: dict[Strategy, tuple[BreathHoldRule | ExcursionRule, ...]] = {
        "breath_hold": (BreathHoldRule(reproducibility_mm=max(margin_mm, 2.5)),),
        "exception": (ExcursionRule(distance_mm=min(margin_mm, 3.0)),),
    }
    gating = replace(
        config.gating, margins=margins, rules=(window, *([centre] if centred else []), *extra.get(strategy, ()))
    )
    prediction = PredictionSettings(method=predictor, horizon_ms=min(latency_ms, 500.0))
    return replace(config, gating=gating, prediction=prediction)


def accepted_config(proposal: Proposal, config: Config) -> Config:
    """Return the configuration of an accepted proposal."""
    return proposed_config(
        config,
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
        f"Range (5 to 95 %): LR {p.range_mm[0]:.1f} AP {p.range_mm[1]:.1f} SI {p.range_mm[2]:.1f} mm; "
        f"period {p.period_s:.1f} s (SD {p.period_sd_s:.1f} s); speed (95 %) {p.speed_p95_mm_s:.0f} mm/s.",
        f"Exhale at left {p.exhale_mm[0]:+.1f} posterior {p.exhale_mm[1]:+.1f} superior {p.exhale_mm[2]:+.1f} mm from "
        f"the reference frame; it repeats within {p.exhale_sd_mm:.1f} mm (SD); "
        f"the target is within 3 mm of it for {100 * p.exhale_dwell:.0f} % of the time.",
        f"Frames for templates: exhale {p.exhale_frame}, inhale {p.inhale_frame}.",
        f"Strategy: {proposal.strategy}: {proposal.why}.",
        *(
            ["The target is large: percent out alone would let it move, so its centre is held within the margin too."]
            if proposal.centred
            else []
        ),
        f"Predicted with a latency of {proposal.latency_ms:g} ms, prediction {proposal.predictor}:",
        *(
            f"  margin {g.margin_mm:4g} mm: duty cycle {100 * g.duty_cycle:5.1f} %, residual motion (95 %) "
            f"{g.residual_p95_mm:4.1f} mm" + ("   <- proposed" if g.margin_mm == proposal.margin_mm else "")
            for g in proposal.grid
        ),
    ]
    return "".join(f"# {line}\n" for line in lines) + "\n" + to_toml(chosen)


def _choose(profile: MotionProfile) -> _Window:
    """Choose the strategy. The limits are those of AAPM TG-76 section IV (5 mm) and of repeated breath-holds."""
    span_mm = max(profile.range_mm)
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
        return _Window("exhale", profile.exhale_mm, why)
    return _Window("respiratory", here, f"{span_mm:.1f} mm of motion without a reproducible exhale")


def _longest_plateau_s(t_s: NDArray[np.float64], p: NDArray[np.float64], flat_mm: float) -> float:
    """Return the longest time in which no axis moves by more than `flat_mm`."""
    longest, first = 0.0, 0
    for last in range(len(t_s)):
        while np.ptp(p[first : last + 1], axis=0).max() > flat_mm:
            first += 1
        longest = max(longest, float(t_s[last] - t_s[first]))
    return longest


def _three(values: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (round(float(v), 3) for v in values)
    return x, y, z
