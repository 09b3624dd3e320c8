"""`cinegate latency`: the physical latency from a camera's log, that of the software, and the whole chain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from rich.table import Table

from cinegate.verbs.app import CommandError, app, findings, print_json
from cinegate.verbs.options import JsonOption
from gating.latency.published_chain import MACHINE, Beam
from gating.settings.private_file import private_file

BEAMS: Final[tuple[Beam, ...]] = ("off", "on")


@app.command()
def latency(
    camera: Annotated[
        Path | None, typer.Argument(help="CSV with t_s, position_mm and beam, as seen by camera and scintillator.")
    ] = None,
    level_mm: Annotated[float | None, typer.Option("--level", help="Position at which the gate changes, mm.")] = None,
    above: Annotated[bool, typer.Option("--above", help="Beam is on above the level (default: below).")] = False,
    log: Annotated[Path | None, typer.Option("--log", help="Session log of the same delivery, for comparison.")] = None,
    offset_s: Annotated[
        float | None, typer.Option("--offset-s", help="Clock of the log minus the camera's, s, to compare phases.")
    ] = None,
    rate_hz: Annotated[float, typer.Option("--rate", min=0.1, max=1000, help="Frames/s of the chain's model.")] = 8.0,
    machine: Annotated[str, typer.Option("--machine", help="Class of the model's linac; see docs.")] = MACHINE,
    out: Annotated[Path | None, typer.Option("--out", help="HTML page.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure beam-on and beam-off latency from a camera's log, and show the model of the whole chain."""
    from gating.latency.published_chain import sum_chain

    software = _software(log)
    physical, half_sample_ms = ({}, None) if camera is None else _physical(camera, level_mm, above)
    chains = [
        sum_chain(rate_hz, beam, machine=machine, measured_ms=software, physical_ms=physical.get(beam, ()))
        for beam in BEAMS
    ]
    phase_ms = None if camera is None or log is None or offset_s is None else _phase_ms(camera, log, offset_s)
    if out is not None:
        from gating.report.latency_page import latency_page

        page = latency_page("" if camera is None else camera.name, physical, chains, half_sample_ms)
        private_file(out).write_text(page, encoding="utf-8")
    if as_json:
        from msgspec import to_builtins

        result = {
            "physical_ms": _tails(physical),
            "half_sample_ms": half_sample_ms,
            "software_ms": _tails(software),
            "phase_ms": phase_ms,
        }
        print_json({**result, "chain": to_builtins(chains)})
        return
    table = Table("latency, ms", "p50", "p99", "max", "n", "± half a sample")
    rows = {**{f"physical, beam {beam}": found for beam, found in physical.items()}, **software}
    for name, found in rows.items():
        numbers = (
            [f"{float(np.percentile(found, share)):.2f}" for share in (50, 99, 100)] if len(found) else ["", "", ""]
        )
        within = f"{half_sample_ms:.1f}" if name.startswith("physical") else ""
        table.add_row(name, *numbers, str(len(found)), within)
    if rows:
        findings.print(table)
    if phase_ms is not None:
        findings.print(f"phase of the tracked sine: {phase_ms:.1f} ms behind the phantom", highlight=False)
    from gating.report.latency_section import limits_sentence, sum_sentence

    for chain in chains:
        findings.print(f"model at {rate_hz:g} frames/s. {sum_sentence(chain)}", highlight=False)
    findings.print(limits_sentence(chains[-1]), highlight=False)


def _physical(camera: Path, level_mm: float | None, above: bool) -> tuple[dict[str, list[float]], float]:
    """Return the latencies of the beam in a camera's log, and the largest half sample within which each is known."""
    from gating.latency.physical import crossings, read_physical_log

    if level_mm is None:
        raise CommandError("--level MM is needed: the position at which the gate changes")
    found = crossings(read_physical_log(camera), level_mm, beam_on_below=not above)
    if not found:
        raise CommandError(f"{camera}: no change of the beam follows {level_mm:g} mm; check --level and --above")
    named: dict[str, list[float]] = {beam: [one.latency_ms for one in found if one.beam == beam] for beam in BEAMS}
    return named, max(one.half_sample_ms for one in found)


def _software(log: Path | None) -> dict[str, list[float]]:
    if log is None:
        return {}
    from gating.session.summary_data import read_data

    stages = read_data(log).stages_ms
    named = {"software": stages.get("loop", []), "beam interface": stages.get("applied", [])}
    return {name: samples for name, samples in named.items() if samples}


def _phase_ms(camera: Path, log: Path, offset_s: float) -> float:
    """Return the delay of the tracked sine behind the phantom's, along the axis of the largest motion."""
    from gating.latency.physical import phase_latency_ms, read_physical_log
    from gating.session.summary_data import read_data

    data, seen = read_data(log), read_physical_log(camera)
    known = [
        (data.outcomes[one.frame_sequence].at_ns / 1e9 - offset_s, one.position_mm)
        for estimates in list(data.estimates.values())[:1]
        for one in estimates
        if one.status == "tracked" and one.frame_sequence in data.outcomes
    ]
    if not known:
        raise CommandError(f"{log} holds no tracked frame")
    at_mm = np.array([position for _, position in known])
    moving = at_mm[:, int(np.argmax(np.ptp(at_mm, axis=0)))]
    sign = 1.0 if _correlation(known, moving, seen) >= 0 else -1.0
    return phase_latency_ms(seen.t_s, seen.position_mm, [t_s for t_s, _ in known], sign * moving)


def _correlation(known: list[tuple[float, Any]], moving: Any, seen: Any) -> float:
    """Return the correlation of camera and tracker: below 0 if their axes point in opposite directions."""
    truth = np.interp([t_s for t_s, _ in known], seen.t_s, seen.position_mm)
    return float(np.corrcoef(truth, moving)[0, 1])


def _tails(samples: dict[str, list[float]]) -> dict[str, Any]:
    from msgspec import to_builtins

    from gating.latency.stages import summarise

    return {name: to_builtins(summarise(found)) for name, found in samples.items()}
