"""`cinegate faults`: the conformance suite, for our own engine or another one that speaks the wire."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from bench.faults.catalogue import TOLERANCE_MS
from cinegate.outputs import output_place
from cinegate.verbs.app import EXIT_UNSAFE, CommandError, app, console, findings, print_json
from cinegate.verbs.options import JsonOption
from cinegate.verbs.progress import progress

if TYPE_CHECKING:
    from bench.faults.catalogue import Fault
    from bench.faults.judgement import Result


_LOG = {None: Text(), True: Text("whole"), False: Text("LOST", "red")}


@app.command()
def faults(
    family: Annotated[list[str] | None, typer.Option("--family", help="Only this family; may be repeated.")] = None,
    fault: Annotated[list[str] | None, typer.Option("--fault", help="Only this fault; may be repeated.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=100, help="Repeat with other rates and timings.")] = 1,
    quick: Annotated[bool, typer.Option("--quick", help="The short form: a few faults of every family.")] = False,
    short: Annotated[bool, typer.Option("--short", help="Only faults of about two seconds, for many seeds.")] = False,
    engine_command: Annotated[
        str,
        typer.Option("--engine-command", help="Another engine; {config}, {session} and {targets} are filled in."),
    ] = "",
    tolerance_ms: Annotated[
        float, typer.Option("--tolerance-ms", min=1, max=100, help="What a busy machine may add to a bound.")
    ] = TOLERANCE_MS,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, max=16, help="Pipelines side by side; each needs about one core.")
    ] = 1,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep", help="Folder for logs, record and outputs of faults that fail.", show_default="~/cinegate/faults"
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="Show the catalogue; inject nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Inject faults into running processes and measure how long the beam is on when it must not be.

    Exit code 3 if any fault was not answered as the catalogue requires.
    """
    from bench.faults.catalogue import read_catalogue
    from bench.faults.suite import run_suite

    chosen = _choose(list(read_catalogue()), family or [], fault or [], quick)
    chosen = [one for one in chosen if one.short or not short]
    if show:
        _show(chosen, as_json)
        return
    with progress("faults", len(chosen) * seeds, shown=not as_json) as step:

        def told(result: Result) -> None:
            step()
            if not as_json:
                _print_progress(result)

        results = run_suite(
            chosen,
            seeds=seeds,
            engine_command=engine_command,
            tolerance_ms=tolerance_ms,
            jobs=jobs,
            kept=keep or output_place("faults"),
            progress=told,
        )
    if as_json:
        print_json(summary(results))
        raise typer.Exit(EXIT_UNSAFE if _failed(results) else 0)
    findings.print(_table(results))
    if not all(result.passed or result.skipped for result in results):
        raise CommandError(f"{_failed(results)} of {len(results)} faults were not answered as required", EXIT_UNSAFE)


def summary(results: list[Result]) -> dict[str, Any]:
    """Return the result of the suite, for machines."""
    import msgspec

    return {
        "faults": msgspec.to_builtins(results),
        "passed": sum(result.passed for result in results),
        "failed": _failed(results),
        "skipped": sum(result.skipped for result in results),
        "logs_intact": all(result.log_intact is not False for result in results),
        "unsafe_on_ms": sum(result.unsafe_on_ms for result in results),
        "took_s": round(sum(result.took_s for result in results), 1),
    }


def _failed(results: list[Result]) -> int:
    return sum(not (result.passed or result.skipped) for result in results)


def _choose(every: list[Fault], families: list[str], ids: list[str], quick: bool) -> list[Fault]:
    for kind, asked, known in (
        ("--family", families, {one.family for one in every}),
        ("--fault", ids, {one.id for one in every}),
    ):
        unknown = sorted(set(asked) - set(known))
        if unknown:
            raise CommandError(f"{kind} {', '.join(unknown)} is unknown; known are {', '.join(sorted(known))}")
    return [
        one
        for one in every
        if (not families or one.family in families) and (not ids or one.id in ids) and (one.quick or not quick)
    ]


def _print_progress(result: Result) -> None:
    kept = f"; pause {result.pause_ms or 0:.0f} ms, kept in {result.kept}" if result.kept else ""
    console.print(Text.assemble(_verdict(result), f" {result.id} {result.why}{kept}"))


def _verdict(result: Result) -> Text:
    if result.skipped:
        return Text("skipped", "yellow")
    return Text("held", "green") if result.passed else Text("FAILED", "red")


def _table(results: list[Result]) -> Table:
    table = Table(title="fault suite: time from the fault to beam off", title_justify="left")
    for name in ("family", "fault", "reaction", "reason"):
        table.add_column(name)
    for name in ("off ms", "bound ms", "unsafe ms", "pause ms", "took s"):
        table.add_column(name, justify="right")
    table.add_column("log")
    table.add_column("")
    for one in results:
        off = "never" if one.off_ms is None else f"{one.off_ms:.0f}"
        pause = "-" if one.pause_ms is None else f"{one.pause_ms:.0f}"
        figures = (off, f"{one.bound_ms:.0f}", f"{one.unsafe_on_ms:.0f}", pause, f"{one.took_s:.1f}")
        shown = ("",) * len(figures) if one.skipped else figures
        table.add_row(one.family, one.id, one.reaction, one.reason, *shown, _LOG[one.log_intact], _verdict(one))
    return table


def _show(chosen: list[Fault], as_json: bool) -> None:
    import msgspec

    if as_json:
        print_json({"catalogue": msgspec.to_builtins(chosen)})
        return
    table = Table("family", "fault", "injected", "reaction", "reason", "bound")
    for one in chosen:
        table.add_row(one.family, one.id, one.injected, one.reaction, " or ".join(one.reason), one.bound)
    findings.print(table)
