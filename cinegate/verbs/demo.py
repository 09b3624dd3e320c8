"""`cinegate demo`: a bundled recording at its real rate through every process, then the report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cinegate.settings import load_config
from cinegate.verbs.app import app, console, print_json
from cinegate.verbs.options import JsonOption
from cinegate.verbs.run import LogOption, print_summary, run_session


@app.command()
def demo(
    speed: Annotated[str, typer.Option("--speed", help="1 is real time.")] = "1",
    log: LogOption = Path("sessions"),
    as_json: JsonOption = False,
) -> None:
    """Replay a bundled phantom recording at its real rate, show the gate live, and write the HTML report."""
    from cinegate.sessions import report
    from replay_data import demo_recording

    path = run_session(demo_recording(), config=load_config(None), speed=speed, log=log, show=not as_json)
    html = report(path)
    if as_json:
        from gating.report.summary import summarise_session, summary_dict

        print_json({**summary_dict(summarise_session(path)), "log": str(path), "report": str(html)})
        return
    print_summary(path, as_json=False)
    console.print(f"report: {html}")
