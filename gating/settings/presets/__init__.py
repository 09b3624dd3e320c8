"""Gating strategies as configuration files, each with the publications that its values come from."""

from __future__ import annotations

from importlib.resources import files
from typing import Final, Literal, get_args

from msgspec import Struct
from msgspec.structs import replace

from gating.settings.config import Config, ConfigError, parse_config
from gating.settings.three_d import ThreeDSettings

PresetName = Literal["respiratory", "exhale", "breath_hold", "exception"]
NAMES: Final[tuple[PresetName, ...]] = get_args(PresetName)


class Aim(Struct, frozen=True, kw_only=True):
    """What a window of a strategy should reach; `cinegate prepare` proposes by it."""

    max_residual_mm: float
    """Largest residual motion, 95th percentile."""
    least_duty_cycle: float
    source: str
    """Of the residual motion."""


_TG76: Final = "AAPM TG-76: motion above 5 mm is to be managed; applied here to what is left of it"
AIMS: Final[dict[PresetName, Aim]] = {
    "respiratory": Aim(max_residual_mm=5.0, least_duty_cycle=0.4, source=_TG76),
    "exhale": Aim(max_residual_mm=5.0, least_duty_cycle=0.4, source=_TG76),
    "breath_hold": Aim(max_residual_mm=3.0, least_duty_cycle=0.3, source="the boundary of the preset breath_hold"),
    "exception": Aim(max_residual_mm=5.0, least_duty_cycle=0.9, source="the window of the preset exception"),
}
"""Least duty cycles: no publication found; conventions of this project."""


def read_preset(name: str) -> str:
    """Return a preset as TOML. Raises `ConfigError` if the name is unknown."""
    if name not in NAMES:
        raise ConfigError(f"preset is {name!r}; one of {', '.join(NAMES)} is needed")
    return files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8")


def preset_of(config: Config) -> PresetName | None:
    """Return the preset that has the gating settings of a configuration, 3D aside; None if no preset has."""
    flat = replace(config.gating, three_d=ThreeDSettings())
    return next((name for name in NAMES if parse_config(read_preset(name)).gating == flat), None)
