"""`cinegate bench`: kernels, engine and the whole loop beside their lower bounds, as table, JSON and HTML page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer
from rich.table import Table
from rich.text import Text

from cinegate.outputs import output_folder
from cinegate.verbs.app import EXIT_UNSAFE, CommandError, app, console, findings, next_steps, print_json
from cinegate.verbs.options import JsonOption
from cinegate.verbs.progress import counted, progress
from gating.latency.stages import NOT_MEASURED

if TYPE_CHECKING:
    from bench.loop import Case
    from gating.latency.budgets import Budgets

QUICK_FRAMES: Final = 200
MIN_FRAMES: Final = 80
CASE_S: Final = 12.0
"""A full row takes about this long, whatever its rate."""
BACK_TO_BACK_FRAMES: Final = 3000


@app.command()
def bench(
    loop: Annotated[bool, typer.Option("--loop", help="Only the whole loop, in real processes.")] = False,
    kernels: Annotated[bool, typer.Option("--kernels", help="Only the matching kernels and their peers.")] = False,
    curve: Annotated[bool, typer.Option("--curve", help="Only the time that CURVE keys add to the loop.")] = False,
    pages: Annotated[
        bool,
        typer.Option("--console", help="Only the console: how late its pages paint, what it costs the engine."),
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", min=0.5, max=600, help="With --console: memory of server and page over this time."),
    ] = None,
    targets: Annotated[
        bool, typer.Option("--targets", help="Only the step with 1, 3 and 10 targets, in two threads and in one.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer rows and frames: under 45 s.")] = False,
    rate_hz: Annotated[float | None, typer.Option("--rate", help="One row at this rate; 0 is back to back.")] = None,
    transport: Annotated[Literal["ipc", "tcp"], typer.Option("--transport", help="With --rate.")] = "ipc",
    size_px: Annotated[int, typer.Option("--size", min=64, max=1024, help="With --rate: side of the frame.")] = 256,
    dtype: Annotated[Literal["uint8", "uint16"], typer.Option("--dtype", help="With --rate.")] = "uint16",
    frames: Annotated[int, typer.Option("--frames", min=20, max=1_000_000, help="With --rate: frames.")] = 2000,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option("--compare", help="Compare two JSON results; measure nothing.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the JSON file and the HTML page.", show_default="~/cinegate/bench"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure software latency on this computer, each row beside its lower bound in the same run."""
    out = out or output_folder("bench")
    if compare is not None:
        _compare(compare, out, as_json)
        return
    if curve:
        _curve(quick, as_json)
        return
    if minutes is not None:
        _console_memory(minutes, as_json)
        return
    if pages:
        _console(quick, as_json)
        return
    if targets:
        _targets(quick, as_json)
        return
    from bench.loop import Case
    from bench.results import collect
    from gating.latency.budgets import load_budgets
    from gating.service.host import provenance

    budgets, host = load_budgets(), provenance()
    everything = not (loop or kernels or rate_hz is not None)
    cases: list[Case] = []
    if rate_hz is not None:
        cases = [Case(transport, rate_hz, size_px, dtype, frames)]
    elif loop or everything:
        cases = _cases(quick)
    measured = _measure(cases, budgets, kernels=kernels or everything, engine=everything and not quick, quick=quick)
    result = collect(host, budgets, **measured)
    written = _write(result, out)
    if as_json:
        print_json(result)
        return
    _show(result)
    findings.print(f"results: {written.with_suffix('.json')} and {written.with_suffix('.html')}", highlight=False)
    next_steps(f"cinegate bench --compare {written.with_suffix('.json')} OTHER.json")


def _measure(
    cases: list[Case], budgets: Budgets, *, kernels: bool, engine: bool, quick: bool
) -> dict[str, list[dict[str, Any]]]:
    """Measure kernels, engine and loop, as far as requested; return the rows of each."""
    from bench.loop import run_case
    from bench.results import detail_row, engine_rows, loop_row

    measured: dict[str, list[dict[str, Any]]] = {"kernels": [], "loop": [], "details": [], "engine": []}
    if kernels:
        from bench.kernel_comparison import compare_kernels

        console.print("kernels ...")
        measured["kernels"] = compare_kernels(quick=quick)
    if engine:
        console.print("engine ...")
        measured["engine"] = engine_rows(quick)
    for case in counted(cases, "rows", len(cases)):
        console.print(f"{case} ...", highlight=False)
        found = run_case(case)
        measured["loop"].append(loop_row(case, found, budgets))
        measured["details"].append(detail_row(case, found))
    return measured


def _curve(quick: bool, as_json: bool) -> None:
    from bench.curve import SECONDS, curve_rows

    rows = curve_rows(SECONDS / 4 if quick else SECONDS)
    if as_json:
        print_json({"curve": rows})
        return
    table = Table("row", "", "p50", "p99", "p99.9", "max", "n", title="Loop with CURVE keys and without, ms")
    for row in rows:
        for kind in ("plain", "curve", "added"):
            where = f"{row['transport']} {row['rate_hz']:g}/s {row['size_px']} px {row['dtype']}"
            numbers = [_ms(row[f"{kind}_ms"][key]) for key in ("p50", "p99", "p999", "max")]
            table.add_row(where if kind == "plain" else "", kind, *numbers, str(row["n"]) if kind == "plain" else "")
    findings.print(table)


def _targets(quick: bool, as_json: bool) -> None:
    from bench.many_targets import FRAMES, target_rows

    rows = target_rows(FRAMES // 4 if quick else FRAMES)
    if as_json:
        print_json({"targets": rows})
        return
    table = Table("targets", "tracker", "", "p50", "p99", "p99.9", "max", "n", title="Step at 350x350 px, ms")
    for row in rows:
        for way, name in (("", "two threads"), ("serial_", "one thread")):
            numbers = [_ms(row[f"{way}{key}_ms"]) for key in ("p50", "p99", "p999", "max")]
            table.add_row(str(row["n"]), row["tracker"], name, *numbers, str(row["frames"]))
    findings.print(table)


def _console(quick: bool, as_json: bool) -> None:
    from bench.console_pages import RATES_HZ, SECONDS, measure
    from bench.console_tables import pages_table

    rows = [measure(rate_hz, SECONDS / 4 if quick else SECONDS) for rate_hz in RATES_HZ]
    if as_json:
        print_json({"console": rows})
        return
    findings.print(pages_table(rows))


def _console_memory(minutes: float, as_json: bool) -> None:
    from bench.console_memory import EVERY_S, measure_memory
    from bench.console_tables import memory_table

    with progress("samples", round(60 * minutes / EVERY_S) + 1, shown=not as_json) as sampled:
        result = measure_memory(minutes, sampled=sampled)
    if as_json:
        print_json(result)
    else:
        findings.print(memory_table(result))
        flat = "flat" if result["passed"] else "not flat"
        findings.print(f"{flat}: growth within {result['limit_percent']:g} % at the upper end of the interval")
    if not result["passed"]:
        raise typer.Exit(EXIT_UNSAFE)


def _cases(quick: bool) -> list[Case]:
    """Return every rate over both transports, then other sizes and dtypes at 60 frames/s."""
    from bench.loop import BenchDtype, Case, Transport

    if quick:
        return [Case("ipc", 60.0, 256, "uint16", QUICK_FRAMES), Case("tcp", 200.0, 128, "uint8", QUICK_FRAMES)]
    transports: tuple[Transport, ...] = ("ipc", "tcp")
    rows = [
        Case(transport, rate, 256, "uint16", max(MIN_FRAMES, round(CASE_S * rate)) if rate else BACK_TO_BACK_FRAMES)
        for transport in transports
        for rate in (8.0, 60.0, 200.0, 0.0)
    ]
    others: tuple[tuple[int, BenchDtype], ...] = ((128, "uint8"), (128, "uint16"), (256, "uint8"), (512, "uint16"))
    return rows + [Case("ipc", 60.0, size, dtype, round(CASE_S * 60)) for size, dtype in others]


def _write(result: dict[str, Any], out: Path) -> Path:
    from datetime import UTC, datetime

    from bench.page import render

    out.mkdir(parents=True, exist_ok=True)
    path = out / f"bench-{datetime.now(UTC).strftime('%Y%m%dT%H%M%S')}"
    path.with_suffix(".json").write_text(json.dumps(result, allow_nan=False), encoding="utf-8")
    path.with_suffix(".html").write_text(render([result], [result["provenance"]["cpu"]]), encoding="utf-8")
    return path


def _compare(files: tuple[Path, Path], out: Path, as_json: bool) -> None:
    from bench.page import render

    results = [_read(path) for path in files]
    out.mkdir(parents=True, exist_ok=True)
    page = out / f"compare-{files[0].stem}-{files[1].stem}.html"
    page.write_text(render(results, [path.stem for path in files]), encoding="utf-8")
    rows = _paired_rows(*results)
    if as_json:
        print_json({"files": [str(path) for path in files], "rows": rows, "page": str(page)})
        return
    table = Table("row", "percentile", files[0].stem, files[1].stem, "ratio", title="cinegate, ms (second over first)")
    for row in rows:
        table.add_row(
            row["row"], row["percentile"], f"{row['first']:.3f}", f"{row['second']:.3f}", f"{row['ratio']:.2f}"
        )
    findings.print(table)
    findings.print(f"page: {page}")


def _read(path: Path) -> dict[str, Any]:
    from bench.results import FORMAT

    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CommandError(f"--compare {path}: not JSON: {error}") from None
    found = result.get("format") if isinstance(result, dict) else type(result).__name__
    if found != FORMAT:
        raise CommandError(f"--compare {path}: format is {found!r}; {FORMAT!r} is needed")
    return dict(result)


def _paired_rows(first: dict[str, Any], second: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows that both runs have, with the ratio of each percentile."""

    def keyed(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
        return {f"{r['transport']} {r['rate_hz']:g}/s {r['size_px']} px {r['dtype']}": r for r in result["loop"]}

    ours, theirs = keyed(first), keyed(second)
    return [
        {"row": name, "percentile": key, "first": a, "second": b, "ratio": round(b / a, 3)}
        for name in ours
        if name in theirs
        for key in ("p50", "p99", "p999", "max")
        if (a := ours[name]["cinegate_ms"][key]) and (b := theirs[name]["cinegate_ms"][key])
    ]


def _show(result: dict[str, Any]) -> None:
    if result["loop"]:
        table = Table("row", "pipeline", "p50", "p99", "p99.9", "max", "n", "skipped", "missed", title="Loop, ms")
        for row in result["loop"]:
            rate = f"{row['rate_hz']:g}/s" if row["rate_hz"] else "back to back"
            where = f"{row['transport']} {rate} {row['size_px']} px {row['dtype']}"
            for pipeline in ("relay", "cinegate", "opencv_pipeline"):
                numbers = [_ms(row[f"{pipeline}_ms"][key]) for key in ("p50", "p99", "p999", "max")]
                counts = [str(row[key]) for key in ("n", "skipped", "missed")] if pipeline == "cinegate" else []
                table.add_row(where if pipeline == "relay" else "", pipeline.replace("_", " "), *numbers, *counts)
        findings.print(table)
    for detail in result["details"]:
        if detail["frames_per_s"]:
            text = ", ".join(f"{name} {rate:g}" for name, rate in detail["frames_per_s"].items())
            findings.print(f"{detail['case']}: frames/s: {text}", highlight=False)
        moved = detail["latency_mm"].get("largest_speed")
        if moved:
            text = f"{moved['p50']:.3f} mm (p50), {moved['p99']:.3f} mm (p99) at {moved['mm_s']:.0f} mm/s"
            findings.print(f"{detail['case']}: {text}", highlight=False)
    if result["kernels"]:
        columns = ("exact_us", "coarse_to_fine_us", "dense_us", "opencv_us", "skimage_us", "fma_fraction")
        table = Table("template in window", "frame", *columns, "peaks equal", title="Kernels, medians")
        for row in result["kernels"]:
            numbers = ["" if row.get(column) is None else f"{row[column]:.4g}" for column in columns]
            where = f"{row['template_px']} in {row['window_px']} px"
            table.add_row(where, f"{row['dtype']} {row.get('content', '')}", *numbers, str(row.get("peaks_equal")))
        findings.print(table)
    for check in result["checks"]:
        if not check["met"]:
            text = f"{check['where']}: {check['what']} is {check['found']:g}, the budget is {check['limit']:g}"
            findings.print(Text.assemble(("over budget", "red"), f" {text}"))
    findings.print(f"Left out: {'; '.join(NOT_MEASURED)}.")


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
