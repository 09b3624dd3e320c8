"""Gating strategies as configuration files, each with the publications that its values come from."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from gating.settings.config import ConfigError

NAMES: Final = ("respiratory", "exhale", "breath_hold", "exception")


def read_preset(name: str) -> str:
    """Return a preset as TOML. Raises `ConfigError` if the name is unknown."""
    if name not in NAMES:
        raise ConfigError(f"preset is {name!r}; one of {', '.join(NAMES)} is needed")
    return files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
