"""What a dry run in two planes adds to a proposal: rules in 3D, what they cost in duty cycle, and what they prevent."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from gating.analysis.couplings import couplings_of
from gating.analysis.definitions import distance_mm, duty_cycle, residual_mm
from gating.analysis.replay_tracking import TrackedSession, gated_alike, gated_motion, replay_outcomes, views_of
from gating.analysis.unknown import number, percent
from gating.decision.reasons import GateReason
from gating.messages import CineFrame, Message, ReferenceImage
from gating.settings.config import Config
from gating.settings.three_d import ThreeDSettings


class InThreeD(Struct, frozen=True, kw_only=True):
    """A proposed window judged in 3D, beside the same window judged by each plane alone, in the same dry run."""

    settings: ThreeDSettings
    duty_cycle: float
    duty_cycle_planes: float
    residual_p95_mm: float
    """NaN if the beam would never be on."""
    residual_planes_p95_mm: float
    held_for_bound: float
    """Share of the frames in which the beam is held for the bound alone."""

    def sentences(self) -> list[str]:
        """Return it in words."""
        return [
            f"3D: planes show the structure in turn, so the window is judged in 3D within its bound: duty cycle "
            f"{percent(self.duty_cycle)} instead of {percent(self.duty_cycle_planes)} for each plane alone, residual "
            f"motion (95 %) {number(self.residual_p95_mm)} mm instead of {number(self.residual_planes_p95_mm)} mm; "
            f"{percent(self.held_for_bound)} of the frames are held for the bound alone.",
            "How its axes move together was learned from the same dry run, and goes on being learned in the session; "
            "gating.three_d.on = false judges each plane alone.",
        ]


def three_d_of(tracked: TrackedSession, config: Config) -> ThreeDSettings | None:
    """Return the settings of rules in 3D, with what the dry run teaches of the axes; None if it shows no third one."""
    if len(views_of(tracked)) < 2:
        return None
    used = replace(config.gating.three_d, on=True)
    couplings = couplings_of(_messages(tracked, config), used)
    return replace(used, couplings=couplings) if couplings else None


def compare(tracked: TrackedSession, proposed: Config, *, latency_ms: float) -> InThreeD:
    """Return what a proposed configuration, which judges in 3D, costs and prevents."""
    planes = replace(proposed, gating=replace(proposed.gating, three_d=ThreeDSettings()))
    in_3d = gated_motion(tracked, proposed, latency_ms=latency_ms)
    alone = gated_alike(in_3d, tracked, planes, latency_ms=latency_ms)
    return InThreeD(
        settings=proposed.gating.three_d,
        duty_cycle=duty_cycle(in_3d.beam_s, in_3d.span_s),
        duty_cycle_planes=duty_cycle(alone.beam_s, alone.span_s),
        residual_p95_mm=distance_mm(residual_mm(in_3d)),
        residual_planes_p95_mm=distance_mm(residual_mm(alone)),
        held_for_bound=float(np.mean([reason == GateReason.POSITION_UNCERTAIN for reason in in_3d.reasons])),
    )


def _messages(tracked: TrackedSession, config: Config) -> Iterator[Message | CineFrame | ReferenceImage]:
    """Yield what a log of the dry run would hold: each frame, then what was found in it."""
    for frame, outcome in zip(tracked.frames, replay_outcomes(tracked, config), strict=True):
        yield frame
        yield from outcome.messages
