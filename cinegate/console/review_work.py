"""What the Review page has done for it: session logs are found, summarised, and made into films and reports.

Each function returns the body of an answer, and raises `CinegateError` with one sentence. What reports are made with is
imported late: the process of the console itself needs none of it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from cinegate.console.worker import WorkError
from gating.messages import ASSUMED_TIME_MEANS
from gating.session.summary_data import SessionData, read_data
from gating.settings.config import ConfigError, GatingSettings

SUFFIX: Final = ".mcap"
MAX_LISTED: Final = 500
REMEMBERED: Final = 2 * MAX_LISTED


def catalogue(folders: Sequence[Path]) -> dict[str, tuple[Path, float]]:
    """Return the newest logs below some folders, by their names for the page: path, and time of the last change, s.

    A link that leads out of its folder is left out.
    """
    found: list[tuple[float, str, Path]] = []
    for folder in folders:
        for path in folder.rglob(f"*{SUFFIX}"):
            with contextlib.suppress(OSError):  # it has gone meanwhile
                if path.is_file() and path.resolve().is_relative_to(folder):
                    found.append((path.stat().st_mtime, os.path.relpath(path, folder.parent), path))
    return {name: (path, changed_s) for changed_s, name, path in sorted(found, reverse=True)[:MAX_LISTED]}


def sessions(folders: Sequence[Path]) -> bytes:
    """Return name and time of the last change of each log, the newest first."""
    listed = [
        {"name": name, "changed_at": datetime.fromtimestamp(changed_s, UTC)}
        for name, (_, changed_s) in catalogue(folders).items()
    ]
    return msgspec.json.encode({"sessions": listed, "folders": [str(folder) for folder in folders]})


def summary(name: str, folders: Sequence[Path]) -> bytes:
    """Return what the list says of a session."""
    return _summary(*_known(name, folders))


@lru_cache(maxsize=REMEMBERED)
def _summary(path: Path, _changed_s: float) -> bytes:
    from gating.report.summary import summarise_data

    data = read_data(path)
    found = summarise_data(data)
    if data.header is None and not data.frames:
        raise WorkError(f"{path.name} holds no engine and no frame; it is no session of cinegate, or an empty one")
    return msgspec.json.encode({
        "session": found.session_id,
        "started_at": found.started_at,
        "source": found.source,
        "kind": found.source_kind,
        "beam_kind": found.beam_kind,
        "targets": [*data.references],
        "duration_s": found.duration_s,
        "duty_cycle": found.duty_cycle,
        "beam_on_s": found.beam_on_s,
        "holds": sum(found.holds.values()) if data.commands else None,
        "remark": "; ".join(
            [*([f"torn: {found.cut}"] if found.cut else []), *([ASSUMED_TIME_MEANS] if found.times_assumed else [])]
        ),
    })  # fmt: skip


def film(name: str, folders: Sequence[Path]) -> bytes:
    """Return the film of a session and its motion plot."""
    from gating.report.figures import motion_figure
    from gating.report.film import make_film
    from gating.report.summary import summarise_data

    data = read_data(log_path(name, folders))
    gating = _gating(data)
    shown = {"film": make_film(data, gating), "motion": motion_figure(data, summarise_data(data), gating)}
    return msgspec.json.encode(shown)


def report(name: str, folders: Sequence[Path]) -> bytes:
    """Return the report of a session, HTML."""
    from gating.report.html import render
    from gating.report.summary import summarise_data

    data = read_data(log_path(name, folders))
    return render(data, summarise_data(data)).encode()


def log_path(name: str, folders: Sequence[Path]) -> Path:
    """Return the path of a log by its name in the catalogue. Raises `WorkError`."""
    return _known(name, folders)[0]


def _known(name: str, folders: Sequence[Path]) -> tuple[Path, float]:
    known = catalogue(folders)
    if name not in known:
        raise WorkError(f"session is {name[:80]!r}; there is none of that name in {', '.join(map(str, folders))}")
    return known[name]


def _gating(data: SessionData) -> GatingSettings | None:
    """Return the settings of a session; None if this version cannot read them."""
    from gating.analysis.motion import session_config

    try:
        return None if data.header is None else session_config(data).gating
    except ConfigError:
        return None
