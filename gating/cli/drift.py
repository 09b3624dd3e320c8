"""`cinegate drift`: baseline shift so far, and the couch shift that is proposed for it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from gating.cli.app import CommandError, app, console, print_json
from gating.cli.options import JsonOption


@app.command()
def drift(
    session: Annotated[
        Path, typer.Argument(help="Session log (.mcap), also one that is still being written, or a trace.")
    ],
    window_mm: Annotated[float, typer.Option("--window-mm", min=0.1, max=50, help="Half width of the window.")] = 3.0,
    until_s: Annotated[float | None, typer.Option("--until-s", help="Look at the session up to this time.")] = None,
    patient_position: Annotated[str, typer.Option("--patient-position", help="HFS, HFP, FFS or FFP.")] = "HFS",
    as_json: JsonOption = False,
) -> None:
    """Propose a couch shift (IEC 61217) that takes the exhale position back to where the session began.

    Nothing moves and nothing is re-based: whoever accepts the proposal says so with the command that is printed, and
    the engine writes it into the session log with the name.
    """
    import numpy as np

    from gating.analysis import motion_from_session
    from gating.cli.sessions import TRACE_SUFFIXES, read_motion
    from gating.drift import WINDOW_S, exhale_positions, propose_shift

    if session.suffix in TRACE_SUFFIXES:
        t_s, away_mm = read_motion(session)
    else:
        motions = motion_from_session(session)
        if not motions:
            raise CommandError(f"{session} holds no followed target")
        t_s, away_mm = motions[0].t_s, motions[0].displacement_mm
    chosen = t_s <= (np.inf if until_s is None else until_s)
    t_s, away_mm = t_s[chosen], away_mm[chosen]
    when, exhales = exhale_positions(t_s, away_mm)
    if len(when) < 3:
        raise CommandError(f"{session}: {len(when)} exhales were found; 3 are needed")
    began = np.median(exhales[when <= when[0] + WINDOW_S], axis=0)
    window = (window_mm, window_mm, window_mm)
    proposal = propose_shift(t_s, away_mm, window, exhale_mm=began, patient_position=patient_position)
    if proposal is None:
        raise CommandError(f"{session}: fewer than 3 exhales since the beginning; no shift can be told")
    if as_json:
        print_json(
            {
                "iec_mm": list(proposal.iec_mm),
                "shift_lps_mm": proposal.baseline.shift_mm.tolist(),
                "speed_lps_mm_min": proposal.baseline.speed_mm_min.tolist(),
                "uncertainty_lps_mm": proposal.baseline.uncertainty_mm.tolist(),
                "breaths": proposal.baseline.breaths,
                "duty_before": proposal.duty_before,
                "duty_after": proposal.duty_after,
                "text": proposal.text,
            }
        )
        return
    speed = float(np.linalg.norm(proposal.baseline.speed_mm_min))
    console.print(f"{proposal.text}; the baseline moves by {speed:.1f} mm/min", highlight=False)
    console.print(
        f"to accept: cinegate control accept_shift --operator NAME --why {shlex.quote(proposal.text)}", highlight=False
    )
