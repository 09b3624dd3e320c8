"""`cinegate cohort evaluate | whatif | figures | verify`: the work of a verb over many sessions, on many cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cinegate.outputs import output_folder
from cinegate.settings import load_config
from cinegate.verbs.app import EXIT_UNSAFE, app, console, findings, print_json
from cinegate.verbs.options import ConfigOption, JsonOption, RateOption, TrackerOption
from cinegate.verbs.progress import progress

if TYPE_CHECKING:
    from cinegate.cohort.run import CohortRun
    from cinegate.cohort.work import Work
    from cinegate.cohort.workers import Workers

LISTED = 20
"""So many sessions are named on the terminal; all of them are in the files."""

cohort_app = typer.Typer(help="One verb's work over many sessions, on many cores.", no_args_is_help=True)
app.add_typer(cohort_app, name="cohort")

LogsArgument = Annotated[
    list[str], typer.Argument(help="Folders of session logs, logs, or URLs (s3://...).", metavar="FOLDER...")
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="Folder of the results, kept and new.", show_default="~/cinegate/cohort/VERB"),
]
SchedulerOption = Annotated[
    str, typer.Option("--scheduler", help="A dask cluster, tls://HOST:PORT, in place of local workers.")
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=0, max=256, help="Local workers; 0: this process.", show_default="one a core"),
]
MemoryLimitOption = Annotated[
    int, typer.Option("--memory-mb", min=500, max=1_000_000, help="At which a local worker is restarted, MB.")
]
BatchOption = Annotated[
    int, typer.Option("--batch", min=0, max=1000, help="Sessions of one task; 0: as many as suit the cohort.")
]


@cohort_app.command()
def verify(
    logs: LogsArgument,
    against: Annotated[
        str | None,
        typer.Option("--against", help="Settings (TOML, preset:NAME), or another version's python."),
    ] = None,
    tolerance_px: Annotated[
        float, typer.Option("--tolerance-px", min=0.0, max=1.0, help="0: bit for bit; 0.02 on another machine.")
    ] = 0.0,
    key: Annotated[
        Path | None, typer.Option("--key", help="Public key that must have signed every log, or its folder.")
    ] = None,
    out: OutOption = None,
    scheduler: SchedulerOption = "",
    workers: WorkersOption = None,
    memory_mb: MemoryLimitOption = 2000,
    batch: BatchOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Verify every log, and compare its decisions with those of this code: counted, ranked, drawn.

    Without --against, the log has the decisions of the version that wrote it, and this code decides again under the
    log's settings. With settings, it decides under those. With the interpreter of another version's environment
    (ENV/bin/python), that version verifies each log too, and what appears or disappears between the two is shown.

    Exit code 3 if a log has a finding, or is not done.
    """
    from cinegate.cohort.comparison import compare
    from cinegate.cohort.sources import find_logs
    from cinegate.cohort.work import verify_against
    from gating.session.signing import load_public

    work = verify_against(against, tolerance_px, "" if key is None else load_public(key))
    run, folder = _work(work, find_logs(logs), "verify", out, scheduler, workers, memory_mb, batch, as_json)
    found = compare(run, work, folder / "comparison.html")
    said = [*found.sentences(), f"page: {folder / 'comparison.html'}"]
    _tell(run, folder, found.document(), said, as_json, unsafe=lambda one: bool(one.sentence))


@cohort_app.command()
def figures(
    logs: LogsArgument,
    out: OutOption = None,
    scheduler: SchedulerOption = "",
    workers: WorkersOption = None,
    memory_mb: MemoryLimitOption = 2000,
    batch: BatchOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Summarise every session: the figures of `cinegate report`, and a table with a row for each target.

    Exit code 3 if a session is not done.
    """
    from cinegate.cohort.sources import find_logs
    from cinegate.cohort.tables import figures_table
    from cinegate.cohort.work import Figures

    run, folder = _work(Figures(), find_logs(logs), "figures", out, scheduler, workers, memory_mb, batch, as_json)
    rows = figures_table(run, folder / "figures.csv")
    _tell(run, folder, {"targets": rows}, [f"{rows} targets: {folder / 'figures.csv'}"], as_json)


@cohort_app.command()
def whatif(
    logs: LogsArgument,
    margins_mm: Annotated[str, typer.Option("--margins-mm")] = "2,3,4,5,7",
    out_percents: Annotated[str, typer.Option("--out-percent", help="Target area that may lie outside, %.")] = "5,10",
    delays_ms: Annotated[str, typer.Option("--delays-ms", help="Beam-on delays.")] = "0",
    predictors: Annotated[
        str, typer.Option("--predictors", help="off, persistence, ridge, rls, kalman.")
    ] = "off,ridge",
    latencies_ms: Annotated[str, typer.Option("--latencies-ms", help="From acquisition to beam on or off.")] = "250",
    config: ConfigOption = None,
    tracker: TrackerOption = None,
    out: OutOption = None,
    scheduler: SchedulerOption = "",
    workers: WorkersOption = None,
    memory_mb: MemoryLimitOption = 2000,
    batch: BatchOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Decide every session under every setting: one table of all outcomes, and one of the settings over the cohort.

    Exit code 3 if a session is not done.
    """
    from cinegate.cohort.sources import find_logs
    from cinegate.cohort.tables import settings_table
    from cinegate.cohort.work import WhatIf
    from cinegate.verbs.whatif import parse_grid

    grid = parse_grid(margins_mm, out_percents, delays_ms, predictors, latencies_ms)
    work = WhatIf(config=load_config(config, tracker), settings=tuple(grid))
    run, folder = _work(work, find_logs(logs), "whatif", out, scheduler, workers, memory_mb, batch, as_json)
    settings_table(run, folder / "whatif.csv", folder / "settings.csv")
    said = [f"every outcome: {folder / 'whatif.csv'}", f"settings over the cohort: {folder / 'settings.csv'}"]
    _tell(run, folder, {"settings": len(grid)}, said, as_json)


@cohort_app.command()
def evaluate(
    datasets: Annotated[
        list[str], typer.Argument(help="Folders of labelled cases, as for `cinegate evaluate`.", metavar="FOLDER...")
    ],
    config: ConfigOption = None,
    tracker: TrackerOption = None,
    prepare_frames: Annotated[
        int,
        typer.Option("--prepare-frames", min=0, metavar="N", help="First frames of each case that are not scored."),
    ] = 0,
    frames_per_s: RateOption = None,
    out: OutOption = None,
    scheduler: SchedulerOption = "",
    workers: WorkersOption = None,
    memory_mb: MemoryLimitOption = 2000,
    batch: BatchOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Score a tracker over the labelled cases of several folders, with the figures of `cinegate evaluate`.

    Masks are not written, and the times that frames took are left out: they depend on the load of the workers.

    Exit code 3 if a case is refused or not done.
    """
    from cinegate.cohort.sources import find_cases
    from cinegate.cohort.tables import metrics_table
    from cinegate.cohort.work import Evaluate
    from gating.evaluation.run import ONE_LINE

    settings = load_config(config, tracker)
    work = Evaluate(config=settings, prepare_frames=prepare_frames, frames_per_s=frames_per_s)
    run, folder = _work(work, find_cases(datasets), "evaluate", out, scheduler, workers, memory_mb, batch, as_json)
    means = metrics_table(run, folder / "metrics.csv")
    shown = [f"{ONE_LINE[name][0]}: {value:.3f}" for name, value in means.items() if name in ONE_LINE]
    said = [*shown, f"every case: {folder / 'metrics.csv'}"]
    _tell(run, folder, {"aggregates": means}, said, as_json, unsafe=lambda one: bool(one.sentence))


def _work(
    work: Work,
    sources: list[str],
    name: str,
    out: Path | None,
    scheduler: str,
    workers: int | None,
    memory_mb: int,
    batch: int,
    as_json: bool,
) -> tuple[CohortRun, Path]:
    from cinegate.cohort.run import run_cohort

    folder = (out or output_folder("cohort", name)).absolute()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _workers(scheduler, workers, memory_mb) as opened, progress(name, len(sources), shown=not as_json) as step:
        run = run_cohort(work, sources, folder / "results", opened, step, batch)
    run.write(folder / "sessions.jsonl")
    return run, folder


@contextmanager
def _workers(scheduler: str, workers: int | None, memory_mb: int) -> Iterator[Workers | None]:
    from cinegate.cohort.workers import open_workers

    if workers == 0 and not scheduler:
        yield None
        return
    with open_workers(scheduler, workers or len(os.sched_getaffinity(0)), memory_mb) as opened:
        console.print(f"{opened.count} workers; dashboard: {opened.dashboard}", highlight=False, soft_wrap=True)
        yield opened


def _tell(
    run: CohortRun,
    folder: Path,
    found: dict[str, Any],
    sentences: list[str],
    as_json: bool,
    unsafe: Callable[[Any], bool] = lambda _: False,
) -> None:
    """Print what was found and list what is not as it should be; leave with 3 if a session is not done, or unsafe."""
    lost = [one for one in run.done if one.state in ("failed", "killed")]
    listed = lost + [one for one in run.done if one.sentence and one not in lost]
    counts = {state: sum(one.state == state for one in run.done) for state in ("done", "kept", "failed", "killed")}
    if as_json:
        remarks = {one.source: one.sentence for one in listed}
        print_json(counts | found | {"listed": remarks, "sessions": str(folder / "sessions.jsonl"), "out": str(folder)})
    else:
        for one in listed[:LISTED]:
            findings.print(one.line, highlight=False)
        if len(listed) > LISTED:
            findings.print(f"and {len(listed) - LISTED} more", highlight=False)
        findings.print(", ".join(f"{count} {state}" for state, count in counts.items() if count), highlight=False)
        for sentence in (*sentences, f"every session: {folder / 'sessions.jsonl'}"):
            findings.print(sentence, highlight=False)
    if lost or any(unsafe(one) for one in run.done):
        raise typer.Exit(EXIT_UNSAFE)
