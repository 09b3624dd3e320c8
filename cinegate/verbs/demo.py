"""`cinegate demo`: a bundled recording at its real rate through every process, then the report."""

from __future__ import annotations

from typing import Annotated

import typer

from cinegate.settings import load_config
from cinegate.verbs.app import app
from cinegate.verbs.options import JsonOption
from cinegate.verbs.run import LogOption, run_and_report


@app.command()
def demo(
    speed: Annotated[str, typer.Option("--speed", help="1 is real time.")] = "1",
    log: LogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay a bundled phantom recording at its real rate, show the gate live, and write the HTML report."""
    from replay_data import demo_recording

    run_and_report(demo_recording(), as_json, config=load_config(None), speed=speed, log=log)
