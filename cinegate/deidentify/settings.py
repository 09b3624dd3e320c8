"""The configuration in a session log without identity: its numbers stay, and of its texts only those of a fixed set."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from typing import Any, NamedTuple

import tomli_w

from gating.settings.config import Config, parse_past_config, to_toml
from gating.tracking.registry import tracker_names

REMOVED = "removed"


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
    parse_past_config(toml, "configuration in the log")  # so that every key is a setting, and choices are choices
    plain = tomllib.loads(toml)
    if plain.get("tracker", "template") not in tracker_names():
        plain["tracker"] = REMOVED
    plain["endpoints"] = {name: f"ipc://{name}" for name in plain.get("endpoints", {})}
    if "security" in plain:
        plain["security"] |= {"keys": REMOVED if plain["security"].get("keys") else ""}
    if "host" in plain:
        plain["host"] |= {"run_as": REMOVED if plain["host"].get("run_as") else ""}
    for rule in plain.get("gating", {}).get("rules", []):
        rule.update({key: structure(rule[key]) for key in ("structure", "target") if rule.get(key)})
    for one in plain.get("sites", []):
        one.update(name=site(one["name"]), target=REMOVED, **({"plan": REMOVED} if one.get("plan") else {}))
    known = _paths(tomllib.loads(to_toml(Config())))
    overridden = [setting for setting in plain.get("overrides", {}) if setting in known]
    if "overrides" in plain:
        plain["overrides"] = dict.fromkeys(overridden, REMOVED)
    return KeptSettings(tomli_w.dumps(plain), [f"{setting}: {REMOVED}" for setting in overridden])


def _paths(plain: dict[str, Any], before: str = "") -> set[str]:
    """Return the dotted names of all settings."""
    found = set()
    for key, value in plain.items():
        found |= _paths(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}"}
    return found
