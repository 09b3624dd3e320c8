"""Pages made from the code and the checkout at each build, so that they cannot fall behind."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import typer
from sphinx.application import Sphinx
from typer.cli import get_docs_for_click

from cinegate.verbs import register_verbs
from cinegate.verbs.app import app as cinegate
from gating.decision.reasons import CONSEQUENCES


def setup(sphinx: Sphinx) -> dict[str, bool]:
    """Make the pages before Sphinx reads any, and mend the links that lead out of the site."""
    sphinx.connect("builder-inited", lambda built: write_pages(Path(built.srcdir)))
    sphinx.connect("source-read", name_files_of_the_checkout)
    return {"parallel_read_safe": True}


def name_files_of_the_checkout(sphinx: Sphinx, page: str, source: list[str]) -> None:
    """Name a file that a link leads to outside the site, since a reader of the site may not have it."""

    def named(link: re.Match[str]) -> str:
        target = ((Path(sphinx.srcdir) / page).parent / link[2]).resolve()
        if target.is_relative_to(sphinx.srcdir):
            return link[0]
        return f"{link[1]} (`{target.relative_to(Path(sphinx.srcdir).parent)}`)"

    source[0] = re.sub(r"\[([^\]]+)\]\((\.\./[^)#]+)(?:#[^)]*)?\)", named, source[0])


def write_pages(documents: Path) -> None:
    """Write the parts that pages of the site include."""
    folder = documents / "_generated"
    folder.mkdir(exist_ok=True)
    changelog = (documents.parent / "CHANGELOG.md").read_text(encoding="utf-8").replace("](docs/", "](")
    pages = {"commands": commands(), "settings": settings(), "drivers": drivers(), "reasons": reasons()}
    for name, text in {**pages, "changelog": changelog}.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")


def commands() -> str:
    """Return what `cinegate VERB -h` says, for all verbs."""
    register_verbs()
    command = typer.main.get_command(cinegate)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="cinegate")
    _, *sections = re.split(r"^(?=## )", text, flags=re.M)
    return "\n".join(sections)


def settings() -> str:
    """Return a table of settings for each table of the configuration file."""
    rows = _asked("config", "--show")["settings"]
    parts = []
    for table, members in groupby(rows, key=lambda row: row["key"].rpartition(".")[0]):
        cells = (
            (
                f"`{row['key'].rpartition('.')[2]}`",
                f"`{json.dumps(row['default'])}`",
                " ".join(part for part in (row["range"], row["unit"]) if part),
                "; ".join(part for part in (row["meaning"], row["source"]) if part),
            )
            for row in members
        )
        title = f"## `[{table}]`" if table else "## At the top of the file"
        parts += [title, "", *_table(("setting", "default", "allowed", "meaning and source"), cells), ""]
    return "\n".join(parts)


def drivers() -> str:
    """Return a table of options for each source and beam line."""
    found = _asked("drivers")
    parts = []
    for kind, title in (("sources", "Sources"), ("beams", "Beam lines")):
        parts += [f"## {title}", ""]
        for name in found[kind]:
            offered = next(rows for key, rows in _asked("drivers", name).items() if key in kind)
            cells = (
                (
                    f"`{row['setting']}`",
                    "needed" if row["needed"] else f"`{json.dumps(row['default'])}`",
                    row["allowed"],
                    row["meaning"],
                )
                for row in offered
            )
            table = list(_table(("`-o`", "default", "allowed", "meaning"), cells)) if offered else ["Nothing to set."]
            parts += [f"### `{name}`", "", *table, ""]
    return "\n".join(parts)


def reasons() -> str:
    """Return the table of reasons."""
    cells = (
        (f"`{reason.value}`", row.words, "an operator acknowledges it" if row.latches else "its cause is gone")
        for reason, row in CONSEQUENCES.items()
        if reason != "in_window"
    )
    return "\n".join(_table(("reason", "meaning", "the hold lasts until"), cells))


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        escaped = (cell.replace("|", r"\|") for cell in row)
        yield f"| {' | '.join(escaped)} |"


def _asked(*words: str) -> dict[str, Any]:
    answer = subprocess.run(
        [sys.executable, "-m", "cinegate", *words, "--json"], check=True, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(answer.stdout)
    return found
