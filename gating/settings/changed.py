"""A configuration by what differs from the defaults: short enough to read, and whole."""

from __future__ import annotations

from typing import Any

import msgspec
import tomli_w

from gating.settings.config import Config


def changed_toml(config: Config) -> str:
    """Return as TOML only what differs from the defaults: a whole configuration again for `parse_config`."""
    return tomli_w.dumps(_changed(msgspec.to_builtins(config), msgspec.to_builtins(Config())))


def _changed(settings: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in settings.items():
        default = defaults.get(name)
        if isinstance(value, dict) and isinstance(default, dict):
            if changed := _changed(value, default):
                found[name] = changed
        elif value != default:
            found[name] = value
    return found
