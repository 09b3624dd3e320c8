"""`cinegate doctor`: what this computer allows, and what to change, in commands."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from msgspec import to_builtins
from rich.table import Table
from rich.text import Text

from cinegate.verbs.app import EXIT_UNSAFE, app, print_json
from cinegate.verbs.options import JsonOption
from cinegate.verbs.terminal import PlainConsole
from gating.service.host import Finding, examine, provenance

_COLOURS = {"good": "green", "could be better": "yellow", "bad": "red", "optional": "dim"}


@app.command()
def doctor(
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 if anything is bad.")] = False,
    serial: Annotated[
        str | None,
        typer.Option("--serial", help="Test a port with RTS wired to CTS and DTR to DSR; never with a linac on it."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what this computer allows a gating loop, and what to change."""
    if serial is not None:
        _loop_back(serial, as_json)
        return
    findings, host = [*examine(), *optional_parts()], provenance()
    bad = any(finding.verdict == "bad" for finding in findings)
    if as_json:
        print_json({"findings": to_builtins(findings), "host": host, "good": not bad})
    else:
        table = Table("", "what", "found", title=f"{host['cpu']}, {host['cores']} cores, Linux {host['kernel']}")
        for finding in findings:
            table.add_row(Text(finding.verdict, _COLOURS[finding.verdict]), finding.subject, finding.found)
        PlainConsole().print(table)
        for finding in findings:
            if finding.advice:
                PlainConsole().print(Text.assemble((finding.subject, "bold"), f": {finding.advice}"), soft_wrap=True)
    if strict and bad:
        raise typer.Exit(EXIT_UNSAFE)


def optional_parts() -> list[Finding]:
    """Say of each optional part whether it is installed, and of the others how to install them."""
    from drivers.extras import PURPOSES, how_to_install, installed

    return [
        Finding(extra, "good", f"{purpose}: {packages}")
        if (packages := installed(extra))
        else Finding(extra, "optional", f"{purpose}: not installed", how_to_install(extra))
        for extra, purpose in PURPOSES.items()
    ]


def _loop_back(port: str, as_json: bool) -> None:
    from drivers.beam.serial_line import SerialLineSettings, loop_back_test

    results = loop_back_test(SerialLineSettings(port=port))
    passed = all(result.followed for result in results)
    if as_json:
        print_json({"port": port, "loop_back": [asdict(result) for result in results], "passed": passed})
    else:
        for result in results:
            verdict = ("follows", "green") if result.followed else ("does not follow in time", "red")
            line, answer = result.line.upper(), result.read_back.upper()
            said = f" {line}: slowest change {result.slowest_ms:.1f} ms"
            PlainConsole().print(Text.assemble(f"{answer} ", verdict, said))
    if not passed:
        raise typer.Exit(EXIT_UNSAFE)
