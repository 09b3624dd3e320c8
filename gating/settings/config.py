"""The configuration: every setting once, with its unit, default, bounds and source; TOML in, frozen records out."""

from __future__ import annotations

import re
import tomllib
from typing import Annotated, Any

import msgspec
import xxhash
from msgspec import Meta, Struct

from gating.errors import CinegateError
from gating.settings.host import HostSettings
from gating.settings.rules import MARGIN_SOURCE, Margins, PredictionSettings, RuleSettings
from gating.settings.tracking import TrackerSettings


class ConfigError(CinegateError, ValueError):
    """A configuration that is refused; one sentence that names the line, the key, the value and the limit."""


def _mm(description: str, source: str = "", *, le: float = 50.0) -> Meta:
    return Meta(ge=0, le=le, description=description, extra={"unit": "mm", "source": source})


def _ms(description: str, source: str = "", *, ge: float = 0, le: float = 10_000) -> Meta:
    return Meta(ge=ge, le=le, description=description, extra={"unit": "ms", "source": source})


def _count(description: str, source: str = "", *, ge: int = 0, le: int = 10_000) -> Meta:
    return Meta(ge=ge, le=le, description=description, extra={"unit": "frames", "source": source})


def _fraction(description: str, source: str = "") -> Meta:
    return Meta(ge=0, le=1, description=description, extra={"unit": "fraction", "source": source})


_ONE_WAY = "Moon, Skelly, Towsley, INFOCOM 1999: only differences of one-way delays can be seen"


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration file."""


class GatingSettings(Section, frozen=True, kw_only=True):
    """When the target counts as inside."""

    margins: Margins = Margins()
    max_out_fraction: Annotated[float, _fraction("target area that may lie outside the boundary", MARGIN_SOURCE)] = 0.10
    resume_good_frames: Annotated[int, _count("good frames in a row before beam on after a hold", ge=1, le=100)] = 2
    on_delay_ms: Annotated[float, _ms("all must be well for this long before beam on")] = 0.0
    off_delay_ms: Annotated[float, _ms("the target may be outside for this long before a hold", le=2000)] = 0.0
    rules: Annotated[
        tuple[RuleSettings, ...], Meta(max_length=32, description="rules of their own for named structures")
    ] = ()


class SafetySettings(Section, frozen=True, kw_only=True):
    """How long a permission lives, and what a frame's age may be."""

    lease_ms: Annotated[float, _ms("beam-on lease, counted by the beam interface", ge=20, le=500)] = 100.0
    renew_ms: Annotated[float, _ms("the decision loop renews the lease this often", ge=1, le=20)] = 15.0
    stale_intervals: Annotated[
        float, Meta(ge=1, le=5, description="frame age limit, in frame intervals", extra={"unit": "intervals"})
    ] = 1.5
    stale_margin_ms: Annotated[float, _ms("added to the frame age limit", le=200)] = 50.0
    source_latency_ms: Annotated[
        float, _ms("known constant delay from acquisition to publishing, added to the frame age limit", le=400)
    ] = 0.0
    stale_max_ms: Annotated[
        float, _ms("the frame age limit is never longer", "AAPM TG-76 section VI: 500 ms for the whole loop", le=500)
    ] = 400.0
    arm_good_frames: Annotated[int, _count("contiguous good frames before arming is accepted", ge=1, le=1000)] = 5
    max_beam_on_s: Annotated[
        float, Meta(ge=1, le=3600, description="longest continuous beam-on; then held", extra={"unit": "s"})
    ] = 300.0
    min_dwell_ms: Annotated[float, _ms("shortest hold after a beam-on ended (chatter guard)")] = 0.0
    hold_over_budget: Annotated[
        bool,
        Meta(description="hold the beam on a decision that took longer than its budget (gating/latency/budgets.toml)"),
    ] = True


class HealthSettings(Section, frozen=True, kw_only=True):
    """What a healthy stream looks like."""

    max_interval_ratio: Annotated[
        float,
        Meta(ge=1.05, le=10, description="longest frame interval over the nominal one", extra={"unit": "ratio"}),
    ] = 2.0
    min_interval_ratio: Annotated[
        float,
        Meta(ge=0, le=0.95, description="shortest frame interval over the nominal one", extra={"unit": "ratio"}),
    ] = 0.2
    max_stamp_uncertainty_ms: Annotated[float, _ms("largest accepted uncertainty of the acquisition stamp")] = 50.0
    max_saturated_fraction: Annotated[float, _fraction("pixels at the largest value of an integer dtype")] = 0.25


class RecordingSettings(Section, frozen=True, kw_only=True):
    """The session log."""

    required: bool = False
    """Hold the beam unless a recorder reports that it keeps up."""
    max_silence_ms: Annotated[float, _ms("a required recorder that is silent for longer holds the beam")] = 1000.0


class ClockSettings(Section, frozen=True, kw_only=True):
    """Delays between clocks that one-way stamps cannot show; an unmeasured one makes every stamp unusable."""

    source_delay_ms: Annotated[
        float, _ms("smallest delay from the moment that a source's stamp marks to its arrival here, measured")
    ] = 0.0
    source_delay_uncertainty_ms: Annotated[
        float, _ms("uncertainty of source_delay_ms; 10000 stands for never measured", _ONE_WAY)
    ] = 10_000.0
    network_delay_ms: Annotated[
        float, _ms("smallest delay of a message from a source on another host to the engine, measured")
    ] = 0.0
    network_delay_uncertainty_ms: Annotated[
        float, _ms("uncertainty of network_delay_ms; 10000 stands for never measured", _ONE_WAY)
    ] = 10_000.0


class LinacSettings(Section, frozen=True, kw_only=True):
    """The simulated linac behind the `simulated` beam switch."""

    beam_on_delay_ms: Annotated[float, _ms("from line on to beam on", "doi:10.1002/acm2.13118", le=2000)] = 50.0
    beam_off_delay_ms: Annotated[float, _ms("from line off to beam off", "doi:10.1002/acm2.13118", le=2000)] = 20.0
    jitter_ms: Annotated[float, _ms("standard deviation of both delays", le=500)] = 2.0


class EndpointSettings(Section, frozen=True, kw_only=True):
    """Where the processes meet. `ipc://` and loopback `tcp://` stay on this host."""

    frames: str = "ipc:///tmp/cinegate/frames"
    gate: str = "ipc:///tmp/cinegate/gate"
    telemetry: str = "ipc:///tmp/cinegate/telemetry"
    control: str = "ipc:///tmp/cinegate/control"
    beam: str = "ipc:///tmp/cinegate/beam"
    recorder: str = "ipc:///tmp/cinegate/recorder"


class SecuritySettings(Section, frozen=True, kw_only=True):
    """Who may connect."""

    keys: Annotated[str, Meta(max_length=1024, description="folder of `cinegate keys`; empty: no keys")] = ""
    allow_open_network: Annotated[
        bool, Meta(description="listen beyond this host without keys, on a network that is trusted")
    ] = False


class Config(Section, frozen=True, kw_only=True):
    """All settings of a session."""

    tracker: Annotated[str, Meta(max_length=64, description="tracker by name, see `cinegate drivers`")] = "template"
    tracking: TrackerSettings = TrackerSettings()
    gating: GatingSettings = GatingSettings()
    prediction: PredictionSettings = PredictionSettings()
    safety: SafetySettings = SafetySettings()
    health: HealthSettings = HealthSettings()
    recording: RecordingSettings = RecordingSettings()
    clocks: ClockSettings = ClockSettings()
    linac: LinacSettings = LinacSettings()
    host: HostSettings = HostSettings()
    endpoints: EndpointSettings = EndpointSettings()
    security: SecuritySettings = SecuritySettings()


def parse_config(text: str, name: str = "configuration") -> Config:
    """Validate a TOML text.

    Raises
    ------
    ConfigError
        One sentence with the line of the offending key.
    """
    try:
        plain = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: {error}") from None
    try:
        return msgspec.convert(plain, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(_locate(str(error), text, plain, name)) from None


def config_hash(config: Config) -> str:
    """Return a hash of every setting (xxh3-128 of the canonical JSON), for the session header."""
    return xxhash.xxh3_128_hexdigest(msgspec.json.encode(config, order="sorted"))


def to_toml(config: Config) -> str:
    """Return the configuration as TOML, every setting written out."""
    lines: list[str] = []
    _write_table(msgspec.to_builtins(config), (), lines)
    return "\n".join(lines).strip() + "\n"


def _write_table(table: dict[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    scalars = {key: value for key, value in table.items() if not isinstance(value, dict)}
    if path and scalars:
        lines += ["", f"[{'.'.join(path)}]"]
    lines += [f"{key} = {_toml_value(value)}" for key, value in scalars.items()]
    for key, value in table.items():
        if isinstance(value, dict):
            _write_table(value, (*path, key), lines)


def _toml_value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml_value(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {_toml_value(item)}' for key, item in value.items())}}}"
    return msgspec.json.encode(value).decode()


def _locate(error: str, text: str, plain: dict[str, Any], name: str) -> str:
    """Rewrite msgspec's `... - at `$.a.b`` into `file, line n: a.b = value: ...`."""
    problem, _, path = error.partition(" - at `$")
    keys = [key for key in re.sub(r"\[(\d+)\]", r".\1", path.rstrip("`")).split(".") if key]
    unknown = re.search(r"unknown field `([^`]+)`", problem)
    if unknown:
        keys.append(unknown.group(1))
        problem = "no such setting"
    value: Any = plain
    for key in keys:
        value = value[int(key)] if isinstance(value, list) else value.get(key, "?") if isinstance(value, dict) else "?"
    shown = "" if isinstance(value, dict) else f" = {value!r}"
    return f"{name}, line {_line_of(text, keys)}: {'.'.join(keys)}{shown}: {problem}"


def _line_of(text: str, keys: list[str]) -> int:
    """Return the line that sets `keys`, by the table headers above it; 1 if it cannot be told."""
    table: list[str] = []
    best = 1
    counts: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*(\[\[?)\s*([^\]]+?)\s*\]", line)
        if header:
            table = []
            for part in header.group(2).split("."):
                table.append(part.strip().strip("\"'"))
                if tuple(table) in counts and len(table) < header.group(2).count(".") + 1:
                    table.append(str(counts[tuple(table)]))
            if header.group(1) == "[[":
                counts[tuple(table)] = counts.get(tuple(table), -1) + 1
                table.append(str(counts[tuple(table)]))
            if keys[: len(table)] == table:
                best = number
            continue
        assignment = re.match(r"\s*([\w.\"'-]+)\s*=", line)
        if assignment:
            path = table + [part.strip("\"'") for part in assignment.group(1).split(".")]
            if keys[: len(path)] == path:
                return number
    return best
