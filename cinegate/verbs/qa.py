"""`cinegate qa daily|monthly|commission`: a scripted procedure on the real chain, its trend, and a page to sign."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from cinegate.outputs import output_folder
from cinegate.settings import load_config
from cinegate.verbs.app import EXIT_UNSAFE, app, console, findings, print_json
from cinegate.verbs.options import ConfigOption, JsonOption, TrackerOption
from cinegate.verbs.progress import announce_compilation
from cinegate.verbs.run import tell
from gating.settings.private_file import private_file

if TYPE_CHECKING:
    from gating.qa.runs import QaRun

_COLOURS = {"in tolerance": "green", "not measured": "yellow"}


@app.command()
def qa(
    name: Annotated[str, typer.Argument(help="daily, monthly or commission.", metavar="PROCEDURE")],
    procedure: Annotated[
        Path | None, typer.Option("--procedure", help="The site's own procedure (TOML) in place of the shipped one.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option("--store", help="Folder of results, one file a run.", show_default="~/cinegate/qa")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="Parameter of a step, STEP.PARAMETER=VALUE; may be repeated."),
    ] = None,
    operator: Annotated[str, typer.Option("--operator", help="Who runs it; goes into the record.")] = "",
    config: ConfigOption = None,
    tracker: TrackerOption = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Write the page as PDF too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a QA procedure: measure, judge, compare with earlier runs, and write a page to sign.

    The session logs are kept, in a folder beside the result, unless every step is in tolerance.

    Exit code 3 if a step is out of tolerance or could not be measured. Values outside their control limits are flagged.
    """
    from cinegate.qa.procedure_run import run_procedure
    from gating.qa.judging import Verdict
    from gating.qa.procedure import load_procedure, with_parameters
    from gating.qa.runs import read_runs, with_flags, write_run

    chosen = with_parameters(load_procedure(name, procedure), option or [])
    settings, folder = load_config(config, tracker), store or output_folder("qa")
    announce_compilation()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    logs = Path(tempfile.mkdtemp(prefix="logs-", dir=folder))
    try:
        run = run_procedure(chosen, settings, logs, operator=operator, tell=tell)
    except BaseException:
        shutil.rmtree(logs)
        raise
    before, unreadable = read_runs(folder, chosen.name)
    run = with_flags(run, before, chosen.baseline_runs)
    result = write_run(folder, run)
    pages = _write_pages(result, run, before, chosen.baseline_runs, unreadable, pdf=pdf)
    if run.verdict is Verdict.GOOD:
        shutil.rmtree(logs)
    else:
        logs.rename(result.with_suffix(""))
    if as_json:
        from msgspec import to_builtins

        pages_text = [str(path) for path in pages]
        print_json({**to_builtins(run), "verdict": str(run.verdict), "result": str(result), "pages": pages_text})
    else:
        for sentence in unreadable:
            console.print(sentence, highlight=False)
        _show(run)
        findings.print(f"result: {result}\npage: {', '.join(map(str, pages))}", highlight=False)
    if run.verdict is not Verdict.GOOD:
        raise typer.Exit(EXIT_UNSAFE)


def _write_pages(
    result: Path, run: QaRun, before: list[QaRun], baseline_runs: int, unreadable: list[str], *, pdf: bool
) -> list[Path]:
    from gating.qa.page import qa_page

    html = qa_page(run, before, baseline_runs, unreadable)
    pages = [result.with_suffix(".html")]
    private_file(pages[0]).write_text(html, encoding="utf-8")
    if pdf:
        from gating.pages.pdf import page_as_pdf

        pages.append(result.with_suffix(".pdf"))
        private_file(pages[1]).write_bytes(page_as_pdf(html))
    return pages


def _show(run: QaRun) -> None:
    from gating.qa.judging import limits_text

    table = Table("step", "found", "limits", "verdict", "", title=f"{run.title}: {run.verdict}, {run.duration_s:.0f} s")
    for one in run.results:
        found = "-" if one.value is None else f"{one.value:.4g}"
        verdict = Text(one.verdict, _COLOURS.get(one.verdict, "red"))
        table.add_row(one.name, found, limits_text(one), verdict, one.flag or one.why)
    findings.print(table)
