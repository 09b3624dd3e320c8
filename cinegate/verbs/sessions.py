"""`cinegate sessions`: the session logs of a folder as a library, by an index that the logs can always remake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from cinegate.outputs import output_place
from cinegate.verbs.app import CommandError, app, findings, next_steps, print_json
from cinegate.verbs.options import JsonOption
from cinegate.verbs.progress import progress
from cinegate.verbs.session_tables import (
    any_table,
    became,
    errors_table,
    motion_table,
    plain,
    sessions_table,
    signals_table,
    values_table,
)
from gating.analysis.unknown import number

if TYPE_CHECKING:
    from gating.archive.database import Database, Filter
    from gating.archive.scan import Scan
    from gating.archive.store import SessionStore

sessions_app = typer.Typer(help="Sessions: list, show, compare and trend the logs of a folder.", no_args_is_help=True)
app.add_typer(sessions_app, name="sessions")

FolderArgument = Annotated[
    Path | None, typer.Argument(help="Folder of session logs, with its subfolders.", show_default="~/cinegate/sessions")
]
IndexOption = Annotated[
    Path | None, typer.Option("--index", help="Folder of the index; in the folder of the logs by default.")
]
SinceOption = Annotated[str, typer.Option("--since", help="First day, such as 2026-03-01.", metavar="DAY")]
UntilOption = Annotated[str, typer.Option("--until", help="Day before which they began.", metavar="DAY")]
PatientOption = Annotated[list[str] | None, typer.Option("--patient", help="Label of a patient; may be repeated.")]
FractionOption = Annotated[list[str] | None, typer.Option("--fraction", help="Which fraction; may be repeated.")]
SiteOption = Annotated[list[str] | None, typer.Option("--site", help="A site that was treated; may be repeated.")]
StrategyOption = Annotated[list[str] | None, typer.Option("--strategy", help="A preset, or own; may be repeated.")]
VersionOption = Annotated[list[str] | None, typer.Option("--version", help="Of cinegate then; may be repeated.")]
ReasonOption = Annotated[list[str] | None, typer.Option("--reason", help="It ended a beam; may be repeated.")]


@sessions_app.callback()
def _sessions() -> None:
    """Ask the session logs of a folder; what is new is indexed first.

    Whose they are is in `labels.csv` beside the logs: log, patient, plan, fraction.
    """


@sessions_app.command("list")
def list_sessions(
    folder: FolderArgument = None,
    since: SinceOption = "",
    until: UntilOption = "",
    patient: PatientOption = None,
    fraction: FractionOption = None,
    site: SiteOption = None,
    strategy: StrategyOption = None,
    version: VersionOption = None,
    reason: ReasonOption = None,
    last: Annotated[int, typer.Option("--last", min=1, help="How many to show, the newest.")] = 40,
    check: Annotated[bool, typer.Option("--check", help="Hash every log, also those that look unchanged.")] = False,
    index: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the sessions, and say which logs vanished or changed since they were indexed."""
    wanted = _filter(since, until, patient, fraction, site, strategy, version, reason)
    with _asked(folder, index, as_json=as_json, check_all=check) as (logs, scan, database):
        rows = database.sessions(wanted)
        files = database.rows("SELECT * FROM files WHERE state IN ('vanished', 'changed', 'copy') OR problem <> ''")
    if as_json:
        named = {name: [f for f in files if f["state"] == name] for name in ("vanished", "changed", "copy")}
        problems = [file for file in files if file["state"] == "present"]
        print_json(plain({"folder": str(logs), "added": scan.added, "sessions": rows, **named, "problems": problems,
                           "unindexed": scan.unindexed}))  # fmt: skip
        return
    findings.print(sessions_table(rows[-last:]))
    shown = f", the newest {last} shown" if len(rows) > last else ""
    findings.print(f"sessions: {len(rows)}{shown}; newly indexed: {scan.added}", highlight=False)
    for sentence in [*map(became, files), *scan.unindexed]:
        findings.print(Text(sentence, "red"))
    next_steps(f"cinegate sessions compare {logs} --by strategy", f"cinegate sessions trend {logs}")


@sessions_app.command()
def show(
    folder: Annotated[Path, typer.Argument(help="Folder of session logs.")],
    session: Annotated[str, typer.Argument(help="Session id, path of the log in the folder, or start of its hash.")],
    index: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all that the index holds of one session."""
    with _asked(folder, index, as_json=as_json) as (logs, _, database):
        which = "session_id = ? OR log = ? OR starts_with(content_hash, ?)"
        found = database.rows(f"SELECT * FROM sessions WHERE {which}", [session] * 3)  # noqa: S608 - our own text
        gone = database.rows(f"SELECT * FROM files WHERE state <> 'present' AND ({which})", [session] * 3)  # noqa: S608 - the same
        names = [row["log"] for row in found]
        targets = database.rows("SELECT * FROM targets WHERE list_contains(?, log)", [names])
    if not found:
        sentences = [became(row) for row in gone if row["state"] in ("vanished", "changed")]
        raise CommandError("; ".join(sentences) or f"session is {session!r}; {logs} holds no such session")
    if as_json:
        print_json(plain({"sessions": found, "targets": targets, "files": gone}))
        return
    for row in [*found, *targets]:
        findings.print(values_table(row))
    next_steps(*(f"cinegate report {logs / name}" for name in names))


@sessions_app.command()
def compare(
    folder: FolderArgument = None,
    by: Annotated[
        str, typer.Option("--by", help="strategy, version, patient, fraction, site, tracker, target, month, or all.")
    ] = "strategy",
    since: SinceOption = "",
    until: UntilOption = "",
    patient: PatientOption = None,
    fraction: FractionOption = None,
    site: SiteOption = None,
    strategy: StrategyOption = None,
    version: VersionOption = None,
    reason: ReasonOption = None,
    index: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare groups of sessions: beam on, residual motion, systematic and random errors, and the margin for them."""
    from msgspec import to_builtins

    from gating.archive.comparison import GROUPINGS
    from gating.archive.comparison import compare as compared

    if by not in GROUPINGS:
        raise CommandError(f"by is {by!r}; one of {', '.join(GROUPINGS)} is needed")
    wanted = _filter(since, until, patient, fraction, site, strategy, version, reason)
    with _asked(folder, index, as_json=as_json) as (_, _, database):
        groups = compared(database.targets(wanted), by)
    if as_json:
        print_json({"by": by, "groups": to_builtins(groups)})
        return
    findings.print(motion_table(by, groups))
    findings.print(errors_table(by, groups))
    findings.print("Sigma, sigma and margin: mm, with their standard error; the margin is for residual motion alone")


@sessions_app.command()
def trend(
    folder: FolderArgument = None,
    figure: Annotated[str, typer.Option("--figure", help="A figure of the targets, as `show` names them.")] = (
        "residual_p95_mm"
    ),
    each: Annotated[
        Literal["session", "patient"], typer.Option("--each", help="A value a session, or the mean of each patient's.")
    ] = "session",
    baseline: Annotated[int, typer.Option("--baseline", min=5, help="Values that set the control limits.")] = 20,
    out: Annotated[Path | None, typer.Option("--out", help="HTML page to write.")] = None,
    since: SinceOption = "",
    until: UntilOption = "",
    patient: PatientOption = None,
    fraction: FractionOption = None,
    site: SiteOption = None,
    strategy: StrategyOption = None,
    version: VersionOption = None,
    reason: ReasonOption = None,
    index: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """Watch a figure over time with control limits, as QA watches its measurements."""
    from gating.archive.trend import session_trend, trend_page
    from gating.settings.private_file import private_file

    wanted = _filter(since, until, patient, fraction, site, strategy, version, reason)
    with _asked(folder, index, as_json=as_json) as (logs, _, database):
        found = session_trend(database.targets(wanted), figure, baseline, each)
    if out is not None:
        about = ", ".join([f"{len(found.rows)} {each}s of {logs}", *wanted.in_words()])
        private_file(out).write_text(trend_page(found, about), encoding="utf-8")
    low, high = found.trend.limits
    signals = [{**found.rows[at], "signal": said} for at, said in found.trend.signals.items()]
    if as_json:
        centre = {"centre": found.trend.centre, "sigma": found.trend.sigma, "low": low, "high": high}
        asked = {"figure": figure, "each": each, "baseline": found.trend.baseline, "unknown": found.unknown}
        print_json(plain({**asked, **centre, "signals": signals, "values": found.rows, "page": str(out or "")}))
        return
    if signals:
        findings.print(signals_table(found))
    limits = f"{number(found.trend.centre, 3)}, limits {number(low, 3)} to {number(high, 3)}; {len(signals)} signals"
    if not found.trend.baseline:
        limits = f"no limits, as the baseline takes {baseline}"
    findings.print(f"{figure}: {len(found.rows)} values, {found.unknown} unknown; {limits}", highlight=False)
    if out is not None:
        findings.print(f"page: {out}", highlight=False)


@sessions_app.command()
def rebuild(folder: FolderArgument = None, index: IndexOption = None, as_json: JsonOption = False) -> None:
    """Make the index anew from the logs; what it knew of vanished ones is lost."""
    logs = _logs(folder)
    _store(logs, index).clear()
    with _asked(logs, index, as_json=as_json) as (_, scan, _):
        pass
    if as_json:
        print_json({"folder": str(logs), "added": scan.added, "unindexed": scan.unindexed})
        return
    findings.print(f"{scan.added} logs of {logs} indexed", highlight=False)
    for sentence in scan.unindexed:
        findings.print(Text(sentence, "red"))


@sessions_app.command()
def sql(
    folder: Annotated[Path, typer.Argument(help="Folder of session logs.")],
    query: Annotated[str, typer.Argument(help="One SELECT on sessions, targets, holds and files.")],
    index: IndexOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the index in SQL; DESCRIBE is `SELECT * FROM targets LIMIT 1`. It cannot write, nor reach a file."""
    with _asked(folder, index, as_json=as_json) as (_, _, database):
        rows = database.ask(query)
    if as_json:
        print_json(plain({"rows": rows}))
        return
    findings.print(any_table(rows))


def _filter(
    since: str,
    until: str,
    patient: list[str] | None,
    fraction: list[str] | None,
    site: list[str] | None,
    strategy: list[str] | None,
    version: list[str] | None,
    reason: list[str] | None,
) -> Filter:
    from gating.archive.database import Filter

    return Filter(
        since=since, until=until, patients=patient or (), fractions=fraction or (), sites=site or (),
        strategies=strategy or (), versions=version or (), reasons=reason or (),
    )  # fmt: skip


def _logs(folder: Path | None) -> Path:
    logs = folder or output_place("sessions")
    if not logs.is_dir():
        raise CommandError(f"{logs}: there is no such folder; one with session logs (.mcap) is needed")
    return logs


def _store(logs: Path, index: Path | None) -> SessionStore:
    from gating.archive.store import FOLDER, SessionStore

    return SessionStore(index or logs / FOLDER)


@contextmanager
def _asked(
    folder: Path | None, index: Path | None, *, as_json: bool, check_all: bool = False
) -> Iterator[tuple[Path, Scan, Database]]:
    """Index what is new, with progress, and give the folder, what was found, and the database."""
    logs = _logs(folder)
    try:
        import duckdb  # noqa: F401 - here, for one sentence if it is missing
        import pyarrow  # noqa: F401 - the same

        from gating.archive.database import Database
    except ModuleNotFoundError as error:
        from drivers.extras import missing

        raise CommandError(missing("the sessions' index", str(error.name), "archive")) from None
    from gating.archive.labels import label_tables, read_labels
    from gating.archive.scan import scan

    with ExitStack() as shown:
        found = scan(
            logs,
            _store(logs, index),
            begin=lambda count: shown.enter_context(progress("indexing sessions", count, shown=not as_json)),
            check_all=check_all,
        )
    with Database(found, read_labels(logs, label_tables(logs))) as database:
        yield logs, found, database
