"""Bundled recordings: small phantom sessions with exact truth, described in `manifest.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent


def demo_recording() -> Path:
    """Return the session for demonstrations: free breathing, 25 s."""
    return session_path("free_breathing")


def session_path(name: str) -> Path:
    """Return the file of a session. Raises `KeyError`, naming the sessions that exist."""
    path = FOLDER / f"{name}.npz"
    if not path.exists():
        raise KeyError(f"there is no session {name!r}; there are {', '.join(session_names())}")
    return path


def session_names() -> list[str]:
    """Return the names of all sessions."""
    return sorted(path.stem for path in FOLDER.glob("*.npz"))
