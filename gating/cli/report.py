"""`cinegate report` and `cinegate recover`: what a session log holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gating.cli.app import app, console, print_json
from gating.cli.options import JsonOption

LogArgument = Annotated[Path, typer.Argument(help="Session log (.mcap).")]


def write_report(log: Path, out: Path | None) -> Path:
    """Write the HTML report of a log beside it, or where asked; return its path."""
    from gating.report.html import write_html

    html = out or log.with_suffix(".html")
    write_html(log, html)
    return html


@app.command()
def report(
    log: LogArgument,
    out: Annotated[Path | None, typer.Option("--out", help="HTML file; beside the log by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Summarise a session and write its single-file HTML report, which opens offline."""
    from gating.report.summary import summarise_session, summary_dict, summary_table

    summary = summarise_session(log)
    html = write_report(log, out)
    if as_json:
        print_json({**summary_dict(summary), "log": str(log), "report": str(html)})
        return
    console.print(summary_table(summary))
    console.print(f"report: {html}")


@app.command()
def recover(log: LogArgument, as_json: JsonOption = False) -> None:
    """Close a session log whose writer was killed, so that every MCAP tool can read it."""
    import msgspec

    from gating.session import recover as recover_log

    found = recover_log(log)
    if as_json:
        print_json(msgspec.to_builtins(found, str_keys=True))
    else:
        console.print(str(found))
