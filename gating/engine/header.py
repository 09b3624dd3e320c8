"""The head of an engine's part of a session log: which software decides, by which settings, on which clock."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import version

from gating.messages import SessionHeader
from gating.settings.config import Config, config_hash, to_toml
from gating.settings.safeguards import in_words


def session_header(
    config: Config, session_id: str, engine_id: str, clock: str, *, site: str = "", started_at: datetime | None = None
) -> SessionHeader:
    """Return the header of an engine that starts at `started_at`, by default now."""
    packages = ("cinegate", "numpy", "numba", "opencv-python", "pyzmq", "msgpack")
    return SessionHeader(
        session_id=session_id,
        engine_id=engine_id,
        started_at=(started_at or datetime.now(UTC)).isoformat(timespec="seconds"),
        versions={"python": platform.python_version(), **{name: version(name) for name in packages}},
        config_toml=to_toml(config),
        config_hash=config_hash(config),
        tracker=config.tracker,
        clock=clock,
        overrides=in_words(config, config.overrides),
        site=site,
    )
