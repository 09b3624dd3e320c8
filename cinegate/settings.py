"""Settings as a user names them: a file, a preset, or a `Config` made in Python."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from gating.settings.config import Config, ConfigError, parse_config, require_overrides
from gating.settings.presets import NAMES, read_preset
from gating.tracking.registry import TrackerFactory, make_tracker
from gating.tracking.tracker import Tracker

Settings = Config | str | os.PathLike[str]
"""A `Config`, the path of a TOML file, or the name of a preset (`exhale`, or `preset:exhale`)."""


def load_config(config: Settings | None = None, tracker: str | None = None) -> Config:
    """Return validated settings.

    Parameters
    ----------
    config
        A `Config`; the path of a TOML file; or the name of a preset. None: the defaults.
    tracker
        Tracker by name, in place of the configured one.

    Raises
    ------
    ConfigError
        One sentence with the line, the key, the value and the limit, also for a setting that disarms a safeguard
        without an override.

    Examples
    --------
    >>> cinegate.load_config("preset:exhale").gating.margins.superior_mm
    4.0
    """
    if config is None:
        loaded = Config()
    else:
        loaded = require_overrides(config) if isinstance(config, Config) else _parsed(config)
    return loaded if tracker is None else replace(loaded, tracker=tracker)


def tracker_maker(config: Config, tracker: str | TrackerFactory | None) -> Callable[[], Tracker]:
    """Return what makes a new tracker: the one asked for, else the configured one."""
    return lambda: make_tracker(tracker or config.tracker, config.tracking)


def _parsed(config: str | os.PathLike[str]) -> Config:
    name = os.fspath(config)
    preset = name.removeprefix("preset:")
    if preset != name or (name in NAMES and not Path(name).exists()):
        return parse_config(read_preset(preset), name)
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise ConfigError(f"configuration {name} cannot be read: {why}") from None
    return parse_config(text, name)
