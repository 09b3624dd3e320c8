"""`cinegate doctor`: what this computer allows, and what to change, in commands."""

from __future__ import annotations

from typing import Annotated

import typer
from msgspec import to_builtins
from rich.console import Console
from rich.table import Table

from gating.cli.app import app, print_json
from gating.cli.options import JsonOption
from gating.host import examine, provenance

_COLOURS = {"good": "green", "could be better": "yellow", "bad": "red"}


@app.command()
def doctor(
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 if anything is bad.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what this computer allows a gating loop, and what to change."""
    findings, host = examine(), provenance()
    bad = any(finding.verdict == "bad" for finding in findings)
    if as_json:
        print_json({"findings": to_builtins(findings), "host": host, "good": not bad})
    else:
        table = Table("", "what", "found", title=f"{host['cpu']}, {host['cores']} cores, Linux {host['kernel']}")
        for finding in findings:
            table.add_row(f"[{_COLOURS[finding.verdict]}]{finding.verdict}[/]", finding.subject, finding.found)
        Console().print(table)
        for finding in findings:
            if finding.advice:
                Console().print(f"[bold]{finding.subject}[/]: {finding.advice}", highlight=False, soft_wrap=True)
    if strict and bad:
        raise typer.Exit(3)
