"""What a message of a session log becomes without identity: every text by a rule of its own, or not at all.

Only what is known to be harmless stays: codes of a known vocabulary, hashes of pixels, numbers. Identifiers become
tokens, the same for the same one. Free texts go. A text field without a rule, as a later version may have one, goes
too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from cinegate.deidentify.identities import SECOND_NS, Patient
from cinegate.deidentify.settings import without_identity
from drivers.beam.watchdog import BeamReason
from drivers.formats.mrd import CLOCK as MRD_CLOCK
from drivers.formats.unity import CLOCK as UNITY_CLOCK
from drivers.recordings.stream import RECORDING_CLOCK
from drivers.sources.openigtlink import CLOCK as OPENIGTLINK_CLOCK
from drivers.sources.phantom import PHANTOM_CLOCK
from gating.analysis.verification import REPEATED, REPLAYED_TEXTS
from gating.decision.reasons import GateReason, PositionReason
from gating.messages import ARRIVAL_TIME, ASSUMED_CLOCK, SCHEMA, EngineState, GateState, Message
from gating.prediction import FOR_MACHINES
from gating.settings.config import logged_hash
from gating.tracking.registry import tracker_names
from gating.tracking.tracker import TrackStatus

M = TypeVar("M", bound=Message)

REMOVED: Final = "removed"
SINCE_1970_NS: Final = 1_000_000_000_000_000_000
"""Stamps beyond are of a clock that counts from 1970: no other clock counts 31 years."""
STANDARD_NAME: Final = re.compile(r"target|(GTV|CTV|PTV|ITV|IGTV)[a-z]?\d{0,2}")
"""Names of targets that tell nothing: the default, and targets as AAPM TG-263 names them."""

_HEX: Final = re.compile(r"[0-9a-f]{16}|[0-9a-f]{32}")
_VERSION: Final = re.compile(r"\d{1,5}(\.\d{1,5}){0,3}((a|b|rc|\.dev|\.post)\d{1,3})?")
_OPERATOR: Final = re.compile(r"(?P<action>\w+)(?: \S+)? by (?P<operator>[^:]*)")
_CODES: Final = frozenset(
    (
        *(*GateReason, *BeamReason, *PositionReason, *REPEATED, *EngineState, *GateState, *TrackStatus, ARRIVAL_TIME),
        *("accept_shift", "mark", "status", "stop", "armed", "stream_opened", "template_accepted", "request_refused"),
        *("other_session", "recording_failed", "host", "origin_changed", "moment_uncertain", "clock_stepped"),
        *("source_warning", "waiting", "streaming", "ended", "serving", "failed", "recording", "refused"),
        *("source", "engine", "beam", "recorder"),
    )
)
"""Reasons, codes of events, states and roles."""
_CLOCKS: Final = frozenset(
    (RECORDING_CLOCK, PHANTOM_CLOCK, ASSUMED_CLOCK, MRD_CLOCK, UNITY_CLOCK, OPENIGTLINK_CLOCK, "manual")
)
_PLANES: Final = frozenset(("sagittal", "coronal", "transversal"))
_PACKAGES: Final = frozenset(("python", "cinegate", "numpy", "numba", "opencv-python", "pyzmq", "msgpack", "mcap"))
_COUNTERS: Final = frozenset(
    (
        *("decided", "skipped", "refused", "repeated", "over_budget", "commands", "lapses", "failed_holds"),
        *("messages", "bytes", "frames", "frames_lost", "behind", "frames_published", "subscribers"),
        *("subscriber_stalls", "messages_refused", "unheard_channels", "deadlines_missed", "latest_us"),
    )
)
STAMPS: Final = frozenset(
    (
        *("acquired_on_publish_clock_ns", "published_ns", "sent_ns", "command_sent_ns", "command_received_ns"),
        *("applied_ns", "at_ns", "predicted_ns"),
    )
)
RAW_STAMP: Final = "acquired_ns"
"""Of a frame or an estimate, on the source's own clock."""
_TOKENS: Final = {
    **{name: name for name in ("source", "operator", "site", "beam", "peer", "series")},
    "accepted_by": "operator",
    **{f"{name}_id": name for name in ("session", "engine", "interface", "publisher")},
}
"""Fields that identify something, and what their token is called."""
_CHECKED: Final = (
    *("schema", "source_kind", "pacing", "acquired_meaning", "dtype", "gate", "engine_state", "commanded"),
    *("confirmed", "beam_kind", "severity", "action"),
)
"""Enumerations, which the message's own type checks; the schema is set anew."""


class MessageCleaner:
    """Takes the identity out of the messages of one log.

    Parameters
    ----------
    patient
        Whose log it is.
    moved
        How far the log's clocks move.
    keep_texts, keep_target_names
        Free texts, and names of targets and structures, stay as they are.
    """

    def __init__(self, patient: Patient, moved: Moved, *, keep_texts: bool, keep_target_names: bool) -> None:
        self._patient, self._moved = patient, moved
        self._keep_texts, self._keep_target_names = keep_texts, keep_target_names
        self._rules: dict[str, Callable[[str], str]] = {
            **{field: partial(patient.token, what) for field, what in _TOKENS.items()},
            **dict.fromkeys(("acquired_clock", "publish_clock", "clock"), self.clock),
            **dict.fromkeys(("target", "structure"), self.structure),
            **dict.fromkeys(("reason", "code", "state", "status", "role"), _known(_CODES)),
            **dict.fromkeys(("content_hash", "image_hash", "memory_hash"), _hash),
            **dict.fromkeys(_CHECKED, str),
            "description": str if keep_texts else partial(patient.token, "description"),
            **dict.fromkeys(("plane", "planes"), self.plane),
            "tracker": _known(frozenset(tracker_names())),
            "predictor": _known(frozenset((*FOR_MACHINES, "off", ""))),
            "started_at": self.moment,
        }

    def clean(self, message: M) -> M:
        """Return a message without identity.

        Raises
        ------
        msgspec.ValidationError
            If its rules leave no message of its kind.
        ConfigError
            If it holds settings that are none.
        """
        plain: dict[str, Any] = {**msgspec.to_builtins(message), "schema": SCHEMA}
        cleaned = self._fields(plain)
        if "config_toml" in plain:
            kept = without_identity(plain["config_toml"], self.structure, partial(self._patient.token, "site"))
            cleaned |= {"config_toml": kept.toml, "config_hash": logged_hash(kept.toml), "overrides": kept.overrides}
        if "code" in plain and "text" in plain:
            cleaned["text"] = self._event(str(cleaned["code"]), plain["text"])
        return msgspec.convert(cleaned, type(message))

    def clock(self, name: str) -> str:
        """Return the name of a clock, without that of the host."""
        return name if name in _CLOCKS else self._patient.token("clock", name)

    def plane(self, name: str) -> str:
        """Return the name of a plane, or what stands for it."""
        return name if name in _PLANES else self._patient.token("plane", name)

    def structure(self, name: str) -> str:
        """Return what stands for the name of a target or a structure."""
        plain = self._keep_target_names or STANDARD_NAME.fullmatch(name)
        return name if plain else self._patient.token("structure", name)

    def moment(self, text: str) -> str:
        """Return a date and time, ISO 8601, moved; nothing if it cannot be read."""
        try:
            return (datetime.fromisoformat(text) + timedelta(microseconds=self._patient.shift_ns // 1000)).isoformat()
        except (ValueError, OverflowError):
            return ""

    def text(self, text: str) -> str:
        """Return a free text if texts may stay; otherwise whether there was one."""
        return text if self._keep_texts or not text else REMOVED

    def stamp(self, stamp_ns: int) -> int:
        """Return a stamp of a process, ns, moved; 0 stays: unknown, or not reached."""
        return stamp_ns and stamp_ns + (self._patient.shift_ns if stamp_ns > SINCE_1970_NS else self._moved.clocks_ns)

    def raw_stamp(self, stamp_ns: int) -> int:
        """Return a raw stamp of an image, ns, moved."""
        return stamp_ns + (self._patient.shift_ns if stamp_ns > SINCE_1970_NS else self._moved.raw_ns)

    def _fields(self, plain: dict[str, Any]) -> dict[str, Any]:
        return {key: self._value(key, value) for key, value in plain.items()}

    def _value(self, key: str, value: Any) -> Any:
        if isinstance(value, str):
            rule = self._rules.get(key)
            return rule(value) if rule is not None else self.text(value)
        if key == "versions":
            return {
                name: found[0] for name, text in value.items() if name in _PACKAGES and (found := _VERSION.match(text))
            }
        if key == "counters":
            return {name: count for name, count in value.items() if name in _COUNTERS}
        if key == "stamps":  # all of them on the engine's clock
            return {stage: self.stamp(stamp_ns) for stage, stamp_ns in value.items()}
        if isinstance(value, dict):
            return self._fields(value)
        if isinstance(value, list | tuple):
            return [self._value(key, one) for one in value]
        if key == RAW_STAMP:
            return self.raw_stamp(value)
        return self.stamp(value) if key in STAMPS else value

    def _event(self, code: str, text: str) -> str:
        """Return the text of an event: who asked, as a token, or what a replay of the log must know."""
        if self._keep_texts:
            return text
        said = _OPERATOR.match(text)
        if said is not None and said["action"] == code:
            return f"{code} by {self._patient.token('operator', said['operator'])}"
        return next((known for known in REPLAYED_TEXTS if known in text), REMOVED if text else "")


class Moved(NamedTuple):
    """How far the stamps of a log move that do not count from 1970, in whole seconds, ns.

    Attributes
    ----------
    clocks_ns
        Stamps of the processes: their hosts' monotonic clocks.
    raw_ns
        Raw stamps of the images, such as times of day.
    """

    clocks_ns: int
    raw_ns: int


class Earliest:
    """The earliest stamps of a log, which say how far its clocks move."""

    def __init__(self) -> None:
        self._clocks_ns = self._raw_ns = SINCE_1970_NS

    def log_time(self, log_time_ns: int) -> None:
        """Take the receive stamp of a message."""
        self._clocks_ns = min(self._clocks_ns, log_time_ns)

    def message(self, message: Message) -> None:
        """Take the stamps in a message."""
        plain = msgspec.to_builtins(message)
        self._raw_ns = min(self._raw_ns, plain.get(RAW_STAMP, self._raw_ns))
        stages = plain.get("stamps", {}).values()
        known = [plain[field] for field in STAMPS & plain.keys()] + list(stages)
        self._clocks_ns = min(self._clocks_ns, *filter(None, known), self._clocks_ns)

    def moved(self, first_s: int) -> Moved:
        """Return how far the stamps move if the processes' clocks begin at `first_s`, and raw stamps at 0."""
        clocks_s, raw_s = (0 if ns == SINCE_1970_NS else ns // SECOND_NS for ns in (self._clocks_ns, self._raw_ns))
        return Moved((first_s - clocks_s) * SECOND_NS, -raw_s * SECOND_NS)


def _hash(text: str) -> str:
    return text if _HEX.fullmatch(text) else ""


def _known(words: frozenset[str]) -> Callable[[str], str]:
    return lambda word: word if word in words else REMOVED
