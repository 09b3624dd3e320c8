"""`cinegate soak`: the pipeline under load for minutes; memory, missed deadlines and latency tail over time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cinegate.settings import load_config
from cinegate.verbs.app import EXIT_UNSAFE, app, findings, print_json
from cinegate.verbs.options import ConfigOption, JsonOption, TrackerOption
from cinegate.verbs.progress import progress


@app.command()
def soak(
    minutes: Annotated[float, typer.Option("--minutes", min=0.05, max=1440, help="Duration.")] = 10.0,
    rate_hz: Annotated[float, typer.Option("--rate", min=1, max=400, help="Frames per second.")] = 8.0,
    load: Annotated[bool, typer.Option("--load/--no-load", help="Load on CPU, memory and disk meanwhile.")] = True,
    config: ConfigOption = None,
    tracker: TrackerOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="JSON file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Play the bundled recording in a loop through all processes, while others keep the machine busy."""
    from bench.soak import run_soak
    from gating.latency.budgets import load_budgets
    from gating.service.host import provenance

    host = provenance()
    settings = load_config(config, tracker)
    with progress("soaking (s)", round(60 * minutes), shown=not as_json) as second:
        result = run_soak(minutes, rate_hz, settings, load_budgets(), load=load, second=second)
    result["provenance"] = host
    if out is not None:
        out.write_text(json.dumps(result), encoding="utf-8")
    if as_json:
        print_json(result)
    else:
        table = Table("minute", "p50", "p99", "p99.9", "max", title="Loop latency over time, ms")
        for row in [*result["over_time"], {"minute": "all", **result["loop_ms"]}]:
            table.add_row(str(row["minute"]), *(f"{row[key]:.2f}" for key in ("p50", "p99", "p999", "max")))
        findings.print(table)
        findings.print(
            f"{result['decided']} decided, {result['skipped']} skipped, {result['missed']} missed the deadline of "
            f"{result['deadline_ms']:g} ms, {result['missed_explained']} of them while the machine stood still "
            f"({result['stalls']['n']} stalls, longest {result['stalls']['longest_ms']:g} ms); load: {result['load']}",
            highlight=False,
        )
        for miss in result["misses"]:
            slowest = max(miss["stages_ms"], key=miss["stages_ms"].get)
            findings.print(
                f"minute {miss['minute']:.1f}: frame {miss['frame']} took {miss['loop_ms']:.1f} ms "
                f"({slowest} {miss['stages_ms'][slowest]:.1f}), the machine stood still for "
                f"{miss['stalled_ms']:.1f}",
                highlight=False,
            )
        for role, one in result["memory_mb"].items():
            counts = ", ".join(
                f"{result[kind][role]['settled']:.0f} then {result[kind][role]['last']:.0f} {kind}"
                for kind in ("threads", "descriptors")
            )
            findings.print(f"{role}: {one['settled']:.1f} MB, then {one['last']:.1f} MB; {counts}", highlight=False)
    if not result["passed"]:
        raise typer.Exit(EXIT_UNSAFE)
