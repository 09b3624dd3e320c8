"""The configuration in a session log without identity: its numbers stay, and of its texts only those of a fixed set."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import tomli_w

from gating.settings.config import Config, ConfigError, parse_past_config, to_toml
from gating.tracking.registry import tracker_names

REMOVED: Final = "removed"
NAMES: Final = frozenset(("tracker", "structure", "target", "name"))
"""Settings whose names become tokens, or are checked by themselves."""


class KeptSettings(NamedTuple):
    """What may stay of a configuration.

    Attributes
    ----------
    toml
        The settings.
    overrides
        The settings that disarm a safeguard, without their reasons and who gave them.
    """

    toml: str
    overrides: list[str]


def without_identity(toml: str, structure: Callable[[str], str], site: Callable[[str], str]) -> KeptSettings:
    """Return settings without addresses, paths, users, reasons and names.

    Parameters
    ----------
    toml
        The configuration as the log has it. Settings that its version did not know are not added.
    structure, site
        Return what stands for the name of a structure, and of a site.

    Raises
    ------
    ConfigError
        If the text is no configuration.
    """
    parse_past_config(toml, "configuration in the log")  # so that every key is a setting
    plain = tomllib.loads(toml)
    _remove_texts(plain, plain)
    if plain.get("tracker", "template") not in tracker_names():
        plain["tracker"] = REMOVED
    for rule in plain.get("gating", {}).get("rules", []):
        rule.update({key: structure(rule[key]) for key in ("structure", "target") if rule.get(key)})
    for one in plain.get("sites", []):
        one.update(name=site(one["name"]), target=REMOVED)
    known = _paths(tomllib.loads(to_toml(Config())))
    overridden = [setting for setting in plain.get("overrides", {}) if setting in known]
    if "overrides" in plain:
        plain["overrides"] = dict.fromkeys(overridden, REMOVED)
    return KeptSettings(tomli_w.dumps(plain), [f"{setting}: {REMOVED}" for setting in overridden])


def _remove_texts(table: dict[str, Any], whole: dict[str, Any]) -> None:
    """Remove every text that might be another one; choices of a fixed set would no longer be settings, and stay."""
    for key, value in table.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                _remove_texts(one, whole)
        if isinstance(value, str) and value and key not in NAMES:
            table[key] = REMOVED
            try:
                parse_past_config(tomli_w.dumps(whole), "copy")
            except ConfigError:
                table[key] = value


def _paths(plain: dict[str, Any], before: str = "") -> set[str]:
    """Return the dotted names of all settings."""
    found = set()
    for key, value in plain.items():
        found |= _paths(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}"}
    return found
