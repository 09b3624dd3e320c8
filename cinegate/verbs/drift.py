"""`cinegate drift`: the baseline shift so far, and the couch shift proposed for it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cinegate.verbs.app import EXIT_UNSAFE, CommandError, app, findings, print_json, tell_assumed_times
from cinegate.verbs.attaching import SessionIdOption, attach
from cinegate.verbs.options import ConfigOption, JsonOption
from cinegate.verbs.progress import progress

if TYPE_CHECKING:
    from gating.analysis.couch_shift import CouchShift

LONGEST_WHY: Final = 150


@app.command()
def drift(
    session: Annotated[
        Path, typer.Argument(help="Session log (.mcap), even one that is still being written, or a trace.")
    ],
    window_mm: Annotated[float, typer.Option("--window-mm", min=0.1, max=50, help="Half width of the window.")] = 3.0,
    until_s: Annotated[float | None, typer.Option("--until-s", help="Use the session up to this time.")] = None,
    patient_position: Annotated[str, typer.Option("--patient-position", help="HFS, HFP, FFS or FFP.")] = "HFS",
    accept: Annotated[
        bool, typer.Option("--accept", help="Tell the running engine that --operator accepts the proposal.")
    ] = False,
    operator: Annotated[str, typer.Option("--operator", help="Who accepts; goes into the log.")] = "",
    why: Annotated[str, typer.Option("--why", help="Why it is accepted; goes into the log.")] = "",
    session_id: SessionIdOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose a couch shift (IEC 61217) that returns the exhale position to where it was when the session began.

    Nothing moves and no baseline changes. With --accept the engine only writes the proposal, with the operator's name
    and reason, into the session log.
    """
    if accept and not (operator.strip() and why.strip()):
        raise CommandError("--accept needs --operator and --why: somebody accepts a shift, for a reason")
    if not len(why) <= LONGEST_WHY:
        raise CommandError(f"--why has {len(why)} characters; at most {LONGEST_WHY} fit beside the proposal in the log")
    with progress(f"measuring the baseline of {session.name}", shown=not as_json):
        proposal, assumed = _propose(session, window_mm, until_s, patient_position)
    answer = _accept(proposal, operator, why, session_id, config) if accept else ""
    if as_json:
        print_json(
            {
                "iec_mm": list(proposal.iec_mm),
                "plan_iec_mm": list(proposal.plan_iec_mm),
                "shift_lps_mm": proposal.baseline.shift_mm.tolist(),
                "speed_lps_mm_min": proposal.baseline.speed_mm_min.tolist(),
                "uncertainty_lps_mm": proposal.baseline.uncertainty_mm.tolist(),
                "breaths": proposal.baseline.breaths,
                "duty_before": proposal.duty_before,
                "duty_after": proposal.duty_after,
                "worthwhile": proposal.worthwhile,
                "text": proposal.text,
                "accepted": answer,
            }
        )
        return
    tell_assumed_times(assumed=assumed)
    speed = sum(mm**2 for mm in proposal.baseline.speed_mm_min.tolist() if math.isfinite(mm)) ** 0.5
    findings.print(f"{proposal.text}; the baseline moves by {speed:.1f} mm/min", highlight=False)
    if proposal.worthwhile:
        findings.print(plan_sentence(proposal), highlight=False)
    if answer:
        findings.print(answer, highlight=False)
    elif proposal.worthwhile:
        findings.print("to accept it, repeat the command with --accept --operator NAME --why REASON", highlight=False)


def plan_sentence(proposal: CouchShift) -> str:
    """Return what to shift where the couch does not move."""
    x, y, z = ("-" if math.isnan(mm) else f"{mm:+.1f}" for mm in proposal.plan_iec_mm)
    return (
        "a couch shift is for machines whose couch moves in the treatment position (0.35 T, conventional linacs); "
        f"where it does not (1.5 T), shift the plan: X {x} Y {y} Z {z} mm, with opposite signs"
    )


def _propose(session: Path, window_mm: float, until_s: float | None, patient_position: str) -> tuple[CouchShift, bool]:
    """Return the proposal, and whether the times of the session are assumed."""
    import numpy as np

    from cinegate.verbs.following import TRACE_SUFFIXES, read_motion
    from gating.analysis.couch_shift import propose_shift
    from gating.analysis.drift import session_exhale, too_short
    from gating.analysis.motion import motion_from_session

    if session.suffix in TRACE_SUFFIXES:
        t_s, away_mm = read_motion(session)
        shown, assumed = (True, True, True), False
    else:
        motions = motion_from_session(session)
        if not motions:
            raise CommandError(f"{session} holds no tracked target")
        t_s, away_mm, shown = motions[0].t_s, motions[0].displacement_mm, motions[0].shown
        assumed = motions[0].times_assumed
    chosen = t_s <= (np.inf if until_s is None else until_s)
    t_s, away_mm = t_s[chosen], away_mm[chosen]
    began = session_exhale(t_s, away_mm)
    if began is None:
        raise CommandError(f"{session}: {too_short(t_s, away_mm)}, so the shift cannot be measured")
    window = (window_mm, window_mm, window_mm)
    proposal = propose_shift(t_s, away_mm, window, exhale_mm=began, patient_position=patient_position, shown=shown)
    if proposal is None:
        raise CommandError(f"{session}: fewer than 3 exhales since the beginning; the shift cannot be measured")
    return proposal, assumed


def _accept(proposal: CouchShift, operator: str, why: str, session_id: str, config: Path | None) -> str:
    if not proposal.worthwhile:
        raise CommandError(f"there is nothing to accept: {proposal.text}")
    reply = attach(session_id, config).ask("accept_shift", operator, f"{proposal.text}; because {why}")
    if not reply.accepted:
        raise CommandError(f"the engine refused: {reply.text}", EXIT_UNSAFE)
    return reply.text
