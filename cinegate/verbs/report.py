"""`cinegate report` and `cinegate recover`: what a session log holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cinegate.verbs.app import app, findings, next_steps, print_json
from cinegate.verbs.options import JsonOption

if TYPE_CHECKING:
    from gating.analysis.figures import SessionFigures
    from gating.analysis.motion import GatedMotion


def _existing_log(path: Path) -> Path:
    from cinegate.sessions import existing_log

    return existing_log(path)


LogArgument = Annotated[Path, typer.Argument(help="Session log (.mcap).", callback=_existing_log)]


@app.command()
def report(
    log: LogArgument,
    out: Annotated[Path | None, typer.Option("--out", help="HTML file; beside the log by default.")] = None,
    export: Annotated[
        Path | None, typer.Option("--export", help="Folder for the motion table (CSV) and the key figures (JSON).")
    ] = None,
    patient_position: Annotated[
        str, typer.Option("--patient-position", help="HFS, HFP, FFS or FFP, for the IEC axes of the motion table.")
    ] = "HFS",
    patient: Annotated[str, typer.Option("--patient", help="Label of the patient, best a pseudonym.")] = "",
    plan: Annotated[str, typer.Option("--plan", help="Label of the plan.")] = "",
    fraction: Annotated[str, typer.Option("--fraction", help="Which fraction.")] = "",
    meanings: Annotated[
        bool, typer.Option("--meanings", help="Also print what each figure means, as the page explains it.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Summarise a session and write its single-file HTML report, which opens offline."""
    from cinegate.sessions import report as write_report
    from cinegate.sessions import session_document
    from gating.analysis.figures import figures
    from gating.analysis.motion import motion_from_session
    from gating.report import clinical_section
    from gating.report.summary import summarise_data, summary_table
    from gating.session.summary_data import read_data

    data = read_data(log)
    summary, motions = summarise_data(data), motion_from_session(data)
    found = [figures(motion) for motion in motions]
    html = write_report(log, out, patient=patient, plan=plan, fraction=fraction)
    if export is not None:
        _export(export, log.stem, motions, found, summary.session_id, patient_position)
    if as_json:
        print_json({**session_document(summary, found), "log": str(log), "report": str(html)})
        return
    findings.print(summary_table(summary))
    for one in found:
        findings.print(clinical_section.table(one))
    if meanings:
        findings.print(clinical_section.meanings())
    findings.print(f"report: {html}", highlight=False)
    next_steps(f"cinegate verify {log}", f"cinegate whatif {log}", f"cinegate itv {log}")


def _export(
    folder: Path,
    name: str,
    motions: list[GatedMotion],
    found: list[SessionFigures],
    session_id: str,
    patient_position: str,
) -> None:
    from gating.analysis.export import write_figures_json, write_motion_csv

    folder.mkdir(parents=True, exist_ok=True)
    write_motion_csv(folder / f"{name}.motion.csv", motions, patient_position)
    write_figures_json(folder / f"{name}.figures.json", found, session_id)


@app.command()
def recover(log: LogArgument, as_json: JsonOption = False) -> None:
    """Close a session log whose writer was killed, so that every MCAP tool can read it."""
    import msgspec

    from gating.session.recovery import recover as recover_log

    found = recover_log(log)
    if as_json:
        print_json(msgspec.to_builtins(found, str_keys=True))
    else:
        findings.print(str(found), highlight=False)
        next_steps(f"cinegate verify {log}", f"cinegate report {log}")
