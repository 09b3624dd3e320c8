"""The configuration: each setting defined once, with its unit, default, range and source; TOML in, records out."""

from __future__ import annotations

import re
import tomllib
from typing import Annotated, Any

import msgspec
import tomli_w
import xxhash
from msgspec import Meta, Struct

from gating.errors import CinegateError
from gating.settings.host import HostSettings
from gating.settings.positions import PositionSettings
from gating.settings.private_folder import runtime_folder
from gating.settings.rules import MARGIN_SOURCE, Margins, PredictionSettings, RuleSettings
from gating.settings.safeguards import refusal
from gating.settings.sites import MAX_SITES, SiteSettings
from gating.settings.three_d import ThreeDSettings
from gating.settings.toml_lines import ABSENT, line_of, look_up, parse_toml
from gating.settings.tracking import TrackerSettings


class ConfigError(CinegateError, ValueError):
    """The configuration is refused. The text is one sentence that names the line, the key, the value and the limit."""


def _mm(description: str, source: str = "", *, le: float = 50.0) -> Meta:
    return Meta(ge=0, le=le, description=description, extra={"unit": "mm", "source": source})


def _ms(description: str, source: str = "", *, ge: float = 0, le: float = 10_000) -> Meta:
    return Meta(ge=ge, le=le, description=description, extra={"unit": "ms", "source": source})


def _count(description: str, source: str = "", *, ge: int = 0, le: int = 10_000) -> Meta:
    return Meta(ge=ge, le=le, description=description, extra={"unit": "frames", "source": source})


def _fraction(description: str, source: str = "") -> Meta:
    return Meta(ge=0, le=1, description=description, extra={"unit": "fraction", "source": source})


_ONE_WAY = "Moon, Skelly, Towsley, INFOCOM 1999: one-way delays show only their differences"
_CENTRE = "Borman et al., ISMRM 2018, 4166: an image shows the centre of k-space"


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration file."""


class GatingSettings(Section, frozen=True, kw_only=True):
    """When the target counts as inside."""

    margins: Margins = Margins()
    max_out_fraction: Annotated[float, _fraction("target area that may lie outside the boundary", MARGIN_SOURCE)] = 0.10
    resume_good_frames: Annotated[int, _count("good frames in a row before beam on after a hold", ge=1, le=100)] = 2
    on_delay_ms: Annotated[float, _ms("every condition must hold for this long before beam on")] = 0.0
    off_delay_ms: Annotated[float, _ms("the target may be outside for this long before a hold", le=2000)] = 0.0
    rules: Annotated[tuple[RuleSettings, ...], Meta(max_length=32, description="rules for named structures")] = ()
    three_d: ThreeDSettings = ThreeDSettings()


class SafetySettings(Section, frozen=True, kw_only=True):
    """How long a beam permission lasts, and how old a frame may be."""

    lease_ms: Annotated[float, _ms("beam-on lease, counted by the beam interface", ge=20, le=500)] = 100.0
    renew_ms: Annotated[float, _ms("interval at which the decision loop renews the lease", ge=1, le=20)] = 15.0
    stale_intervals: Annotated[
        float, Meta(ge=1, le=5, description="frame age limit, in frame intervals", extra={"unit": "intervals"})
    ] = 1.5
    stale_margin_ms: Annotated[float, _ms("added to the frame age limit", le=200)] = 50.0
    source_latency_ms: Annotated[
        float, _ms("known constant delay from acquisition to publication, added to the frame age limit", le=400)
    ] = 0.0
    stale_max_ms: Annotated[
        float,
        _ms(
            "upper bound of the frame age limit",
            "AAPM TG-76 section VI: 500 ms at most for a beam that follows the target",
            le=500,
        ),
    ] = 400.0
    arm_good_frames: Annotated[int, _count("contiguous good frames before arming is accepted", ge=1, le=1000)] = 5
    max_beam_on_s: Annotated[
        float, Meta(ge=1, le=3600, description="longest continuous beam-on; a hold follows", extra={"unit": "s"})
    ] = 300.0
    min_dwell_ms: Annotated[float, _ms("shortest hold after beam on (prevents chatter)")] = 0.0
    hold_over_budget: Annotated[
        bool,
        Meta(description="hold the beam when a decision takes longer than its budget (gating/latency/budgets.toml)"),
    ] = True


class HealthSettings(Section, frozen=True, kw_only=True):
    """What a healthy stream looks like."""

    max_interval_ratio: Annotated[
        float,
        Meta(
            ge=1.05, le=10, description="longest frame interval, relative to the nominal one", extra={"unit": "ratio"}
        ),
    ] = 2.0
    min_interval_ratio: Annotated[
        float,
        Meta(
            ge=0, le=0.95, description="shortest frame interval, relative to the nominal one", extra={"unit": "ratio"}
        ),
    ] = 0.2
    max_stamp_uncertainty_ms: Annotated[float, _ms("largest accepted uncertainty of the acquisition stamp")] = 50.0
    max_still_s: Annotated[
        float,
        Meta(
            ge=1,
            le=3600,
            description="the beam is held when nothing but independent noise has changed for longer; a still phantom "
            "whose noise is independent needs more",
            extra={"unit": "s"},
        ),
    ] = 30.0
    max_saturated_fraction: Annotated[float, _fraction("pixels at the largest value of an integer dtype")] = 0.25


class RecordingSettings(Section, frozen=True, kw_only=True):
    """The session log."""

    required: bool = False
    """Hold the beam unless a recorder reports that it keeps up."""
    max_silence_ms: Annotated[float, _ms("the beam is held when a required recorder is silent for longer")] = 1000.0


class ClockSettings(Section, frozen=True, kw_only=True):
    """Delays between clocks. One-way stamps cannot show them; until they are measured, no stamp is usable."""

    source_delay_ms: Annotated[
        float, _ms("measured smallest delay from the moment that the source stamps to the arrival here")
    ] = 0.0
    source_delay_uncertainty_ms: Annotated[
        float, _ms("uncertainty of source_delay_ms; 10000 means not measured", _ONE_WAY)
    ] = 10_000.0
    acquisition_ms: Annotated[
        float,
        _ms("measured duration of the acquisition of one image; 0 means not measured", _CENTRE, le=2000),
    ] = 0.0
    reconstruction_ms: Annotated[
        float,
        _ms("measured time from the end of the acquisition to a stamp of reconstruction_done; 0 means not measured"),
    ] = 0.0
    network_delay_ms: Annotated[
        float, _ms("measured smallest delay of a message from a source on another host to the engine")
    ] = 0.0
    network_delay_uncertainty_ms: Annotated[
        float, _ms("uncertainty of network_delay_ms; 10000 means not measured", _ONE_WAY)
    ] = 10_000.0
    max_drift_ppm: Annotated[
        float,
        Meta(
            ge=1,
            le=100,
            description="largest drift between two clocks that is believed; a faster rise counts as growing delay",
            extra={"unit": "ppm", "source": "a delay is told from drift if it grows by four times this or more"},
        ),
    ] = 40.0


class LinacSettings(Section, frozen=True, kw_only=True):
    """The simulated linac behind the `simulated` beam switch."""

    beam_on_delay_ms: Annotated[float, _ms("from line on to beam on", "doi:10.1002/acm2.13118", le=2000)] = 50.0
    beam_off_delay_ms: Annotated[float, _ms("from line off to beam off", "doi:10.1002/acm2.13118", le=2000)] = 20.0
    jitter_ms: Annotated[float, _ms("standard deviation of both delays", le=500)] = 2.0


def _endpoint(name: str) -> Any:
    return msgspec.field(default_factory=lambda: f"ipc://{runtime_folder()}/{name}")


class EndpointSettings(Section, frozen=True, kw_only=True):
    """The addresses where the processes meet. `ipc://` and loopback `tcp://` stay on this host."""

    frames: str = _endpoint("frames")
    gate: str = _endpoint("gate")
    telemetry: str = _endpoint("telemetry")
    control: str = _endpoint("control")
    beam: str = _endpoint("beam")
    recorder: str = _endpoint("recorder")
    positions: str = _endpoint("positions")


class SecuritySettings(Section, frozen=True, kw_only=True):
    """Who may connect."""

    keys: Annotated[str, Meta(max_length=1024, description="folder made by `cinegate keys`; empty: no keys")] = ""
    allow_open_network: Annotated[
        bool, Meta(description="accept connections from other hosts without keys, on a trusted network")
    ] = False


class Config(Section, frozen=True, kw_only=True):
    """All settings of a session."""

    tracker: Annotated[str, Meta(max_length=64, description="name of the tracker, see `cinegate drivers`")] = "template"
    tracking: TrackerSettings = TrackerSettings()
    gating: GatingSettings = GatingSettings()
    prediction: PredictionSettings = PredictionSettings()
    positions: PositionSettings = PositionSettings()
    safety: SafetySettings = SafetySettings()
    health: HealthSettings = HealthSettings()
    recording: RecordingSettings = RecordingSettings()
    clocks: ClockSettings = ClockSettings()
    linac: LinacSettings = LinacSettings()
    host: HostSettings = HostSettings()
    endpoints: EndpointSettings = EndpointSettings()
    security: SecuritySettings = SecuritySettings()
    sites: Annotated[
        tuple[SiteSettings, ...],
        Meta(max_length=MAX_SITES, description="sites that are treated one after another in a session"),
    ] = ()
    overrides: Annotated[
        dict[str, str], Meta(description="settings that disarm a safeguard, each with its reason and who gave it")
    ] = {}


def parse_config(text: str, name: str = "configuration") -> Config:
    """Parse and validate a configuration.

    Parameters
    ----------
    text
        TOML.
    name
        How error messages call the text.

    Raises
    ------
    ConfigError
        If the text is no TOML, a setting is unknown or out of range, or one disarms a safeguard without an override.
    """
    config = parse_past_config(text, name)
    setting, why = refusal(config, config.overrides)
    if why:
        top, _, key = setting.partition(".")
        keys = [top, key] if top == "overrides" else setting.split(".")
        raise ConfigError(f"{name}, line {line_of(text, keys)}: {why}")
    return config


def require_overrides(config: Config) -> Config:
    """Return settings made in Python. Raises `ConfigError` if one disarms a safeguard without an override."""
    _, why = refusal(config, config.overrides)
    if why:
        raise ConfigError(why)
    return config


def parse_past_config(text: str, name: str) -> Config:
    """Parse the configuration of a session that is over, whatever it disarmed. Raises `ConfigError`."""
    try:
        plain = parse_toml(text)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None
    try:
        return msgspec.convert(plain, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(_locate(str(error), text, plain, name)) from None


def config_hash(config: Config) -> str:
    """Return a hash of all settings (xxh3-128 of the canonical JSON), for the session header."""
    return xxhash.xxh3_128_hexdigest(msgspec.json.encode(config, order="sorted"))


def logged_hash(config_toml: str) -> str:
    """Return the hash that the version which wrote this configuration gave it, with the settings that it knew."""
    return xxhash.xxh3_128_hexdigest(msgspec.json.encode(tomllib.loads(config_toml), order="sorted"))


def to_toml(config: Config) -> str:
    """Return the configuration as TOML, every setting written out."""
    return tomli_w.dumps(msgspec.to_builtins(config))


def _locate(error: str, text: str, plain: dict[str, Any], name: str) -> str:
    """Rewrite msgspec's `... - at `$.a.b`` as `file, line n: a.b = value: ...`."""
    problem, _, path = error.partition(" - at `$")
    path = re.sub(r"\[(\d+)\]", r".\1", path.rstrip("`").replace("[...]", ""))
    keys = [key for key in path.split(".") if key]
    unknown = re.search(r"unknown field `([^`]+)`", problem)
    if unknown:
        keys.append(unknown.group(1))
        problem = "no such setting"
    value = look_up(plain, keys)
    shown = "" if isinstance(value, dict) else f" = {'?' if value is ABSENT else value!r}"
    return f"{name}, line {line_of(text, keys)}: {'.'.join(keys)}{shown}: {problem}"
