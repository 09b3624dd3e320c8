"""Sessions that run on this host: a small private file for each, so that consoles and operators find its endpoints.

The file is `RUNTIME/running/SESSION.json`, where RUNTIME is the user's own runtime folder: one JSON object with the
fields of `RunningSession`. The starter of the processes writes and removes it. One that was left behind,
because its writer was killed, is ignored as soon as no process of the session lives.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from gating.errors import CinegateError
from gating.service.pipeline import PipelineError
from gating.settings.config import Config, require_overrides
from gating.settings.private_file import private_file
from gating.settings.private_folder import check_private, runtime_folder


class RunningSession(Struct, frozen=True, kw_only=True):
    """Where a running session can be reached."""

    session_id: str
    source: str
    """Name of the source or of the recording; for people."""
    started_at: str
    """Wall-clock time, ISO 8601 with zone; for people."""
    log: str
    """Path of the session log."""
    supervisor: int
    """Process id of who started the session and ends it."""
    processes: dict[str, int]
    """Process id of each role: beam, record, engine, source."""
    config: Config
    """Every setting of the session, its endpoints and keys among them."""


def announce(session: RunningSession) -> Path:
    """Write the file of a session, readable by its owner alone, and return its path. Raises `OSError`."""
    folder = _folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_private(folder)
    path = folder / f"{session.session_id}.json"
    unfinished = private_file(path.with_suffix(".new"))
    unfinished.write_bytes(msgspec.json.encode(session))
    return unfinished.replace(path)


def running_sessions() -> list[RunningSession]:
    """Return the sessions of which a process still lives, the oldest first; forget the others.

    Raises
    ------
    PipelineError
        If a file cannot be read or holds something else; one sentence.
    PermissionError
        If others may write to the folder.
    """
    folder = _folder()
    if not folder.exists():
        return []
    check_private(folder)
    found = [(path, _read(path)) for path in sorted(folder.glob("*.json"))]
    for path, session in found:
        if session is not None and not _lives(session):
            path.unlink(missing_ok=True)
    alive = [session for _, session in found if session is not None and _lives(session)]
    return sorted(alive, key=lambda session: session.started_at)


def find_session(session_id: str = "") -> RunningSession | None:
    """Return the running session of this name, or the only one; None if there is none.

    Raises
    ------
    PipelineError
        If several run and none was named, and as `running_sessions`.
    """
    found = [session for session in running_sessions() if session_id in ("", session.session_id)]
    if len(found) > 1:
        names = ", ".join(session.session_id for session in found)
        raise PipelineError(f"{len(found)} sessions run on this host: {names}; name one with --session")
    return found[0] if found else None


def _folder() -> Path:
    return runtime_folder() / "running"


def _read(path: Path) -> RunningSession | None:
    """Return what a file says; None if it has just been removed."""
    try:
        session = msgspec.json.decode(path.read_bytes(), type=RunningSession)
        require_overrides(session.config)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, CinegateError) as error:
        raise PipelineError(f"{path} is no file of a running session: {error}; remove it if none runs") from None
    return session


def _lives(session: RunningSession) -> bool:
    """Whether a process of the session lives; its command line names the session, so that no other is taken for it."""
    return any(_is_of(pid, session.session_id) for pid in session.processes.values())


def _is_of(process_id: int, session_id: str) -> bool:
    try:
        return os.fsencode(session_id) in Path(f"/proc/{process_id}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
