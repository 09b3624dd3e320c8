"""What the console has heard of one session, and when. Pure: messages and times in, nothing out by itself."""

from __future__ import annotations

import contextlib
from typing import Final

import numpy as np

from cinegate.console.bands import Bands
from cinegate.console.events import EventList
from cinegate.console.picture import Picture
from cinegate.console.tally import Tally
from cinegate.console.trace import Trace, displacement_mm
from gating.geometry.plane import HasGeometry
from gating.messages import (
    BeamStatus,
    CineFrame,
    Event,
    GateCommand,
    Heartbeat,
    Message,
    ReferenceImage,
    SessionHeader,
    StreamEnd,
    StreamInfo,
    TargetEstimate,
    TargetReference,
)
from gating.settings.config import Config, ConfigError, parse_past_config
from gating.settings.rules import BreathHoldRule
from gating.targets.breath_hold import BreathHold
from gating.targets.from_settings import active_rules
from gating.targets.observation import TargetObservation

SILENCE_NS: Final = 300_000_000
"""What was not heard for this long is not shown any more; a frame, for two of its intervals if they are longer."""
HEARTBEAT_SILENCE_NS: Final = {"source": 700_000_000, "recorder": 500_000_000}
"""Three of their heartbeats, which are rarer."""
SESSION_SILENCE_NS: Final = 2_000_000_000
"""After so long without its engine, a session makes room for another one."""
CONTOUR_WAIT_NS: Final = 15_000_000
"""For so long a frame waits for its contours; then it is shown without."""
MAX_TARGETS: Final = 32
"""More than any session has; what comes beyond is not shown."""
MAX_PLANES: Final = 4
"""More planes than these are not shown."""
_NO_CONTOUR: Final = np.empty((0, 2), np.float32)


class SessionView:
    """The newest of everything, of one session.

    Parameters
    ----------
    wanted
        The session to follow; empty: the one that is heard first, and the next one once it has fallen silent.
    """

    def __init__(self, wanted: str = "") -> None:
        self._wanted = wanted
        self.setting_version = 0
        """Grows when anything changes that holds for the whole session."""
        self.picture_number = 0
        self._forget("")

    def _forget(self, session_id: str) -> None:
        """Begin with a session of which nothing is known yet."""
        self.session_id = session_id
        self.setting_version += 1
        self.heard_ns: dict[str, int] = {}
        """When each of frame, gate, beam, source and recorder was heard last."""
        self.stream: StreamInfo | None = None
        self.ended: StreamEnd | None = None
        self.header: SessionHeader | None = None
        self.config: Config | None = None
        self._forget_targets()
        self.command: GateCommand | None = None
        self.beam: BeamStatus | None = None
        self.recorder: Heartbeat | None = None
        self.source: Heartbeat | None = None
        self.picture: Picture | None = None
        self.pictures: dict[str, Picture] = {}
        """The newest picture of each plane."""
        self.trace, self.tally, self.events = Trace(), Tally(), EventList()
        self._frame: tuple[CineFrame, int] | None = None

    def _forget_targets(self) -> None:
        """Begin with other targets: those of another session, or of another site of this one."""
        self.references: dict[str, TargetReference] = {}
        self.breath_hold: BreathHold | None = None
        self.bands: Bands = {}
        """Of the setting that they were measured of; none until then."""
        self._measured_version = -1
        self._estimates: dict[str, TargetEstimate] = {}

    def hear(self, message: Message | CineFrame | ReferenceImage, now_ns: int, at: str) -> None:
        """Take one message that came at a time of this host's monotonic clock, and at a local time HH:MM:SS."""
        if isinstance(message, ReferenceImage):
            return
        session_id = message.header.session_id if isinstance(message, CineFrame) else message.session_id
        if not self._is_followed(session_id, now_ns):
            return
        match message:
            case CineFrame():
                self.heard_ns["frame"] = now_ns
                self._frame = message, now_ns
                self.complete_picture(now_ns)
            case GateCommand():
                self.heard_ns["gate"] = now_ns
                self.command = message
                self.tally.observe_command(message, now_ns)
            case TargetEstimate():
                self._hear_estimate(message, now_ns)
            case BeamStatus():
                self.heard_ns["beam"] = now_ns
                self.beam = message
                self.tally.observe_beam(message, now_ns)
            case Heartbeat(role="source"):
                self.heard_ns["source"], self.source = now_ns, message
            case Heartbeat(role="recorder"):
                self.heard_ns["recorder"], self.recorder = now_ns, message
            case Event():
                self.events.add(message, at)
            case _:
                self._hear_setting(message)

    def _is_followed(self, session_id: str, now_ns: int) -> bool:
        """Whether a session is the one shown; another takes its place only where that is allowed."""
        if session_id == self.session_id:
            return True
        if self._wanted:
            if session_id != self._wanted:
                return False
        elif self.session_id and now_ns - max(self.heard_ns.values(), default=0) < SESSION_SILENCE_NS:
            return False
        self._forget(session_id)
        return True

    def _hear_setting(self, message: Message) -> None:
        match message:
            case StreamInfo() if message != self.stream:
                self.stream, self.ended = message, None
            case StreamEnd():
                self.ended = message
            case SessionHeader() if message != self.header:
                if self.header is not None and message.site != self.header.site:
                    self._forget_targets()
                self.header, self.config = message, None
                with contextlib.suppress(ConfigError):
                    self.config = parse_past_config(message.config_toml, "session")
            case TargetReference() if message != self.references.get(message.target):
                if len(self.references) < MAX_TARGETS or message.target in self.references:
                    self.references[message.target] = message
            case _:
                return
        self.setting_version += 1

    @property
    def shown(self) -> tuple[str, str]:
        """The session, and the engine that decides in it: each restart and each site has one of its own."""
        return self.session_id, self.header.engine_id if self.header else ""

    @property
    def wants_bands(self) -> bool:
        """Whether the setting has changed since the bands were measured."""
        return self._measured_version != self.setting_version and bool(self.planes) and self.config is not None

    @property
    def planes(self) -> dict[str, HasGeometry]:
        """Geometry of each target's images, by the target's name; empty until the source has declared it."""
        if self.stream is None:
            return {}
        shown = {plane: picture.frame.header for plane, picture in self.pictures.items()}
        return {name: shown.get(one.plane, self.stream) for name, one in self.references.items()}

    def take_bands(self, bands: Bands) -> None:
        """Take the bands that were measured of the setting."""
        self.bands = bands
        self.setting_version += 1
        self._measured_version = self.setting_version

    def _hear_estimate(self, seen: TargetEstimate, now_ns: int) -> None:
        reference = self.references.get(seen.target)
        if reference is not None:
            self._estimates[seen.target] = seen
            self.trace.add(seen, reference, now_ns)
            self._follow_hold(seen, reference)
        self.complete_picture(now_ns)

    def _follow_hold(self, seen: TargetEstimate, reference: TargetReference) -> None:
        """Follow the breath-hold of the first target that has a rule for it, for the display and the patient."""
        rule = self.hold_rule(seen.target)
        if rule is None or self.guided_target != seen.target:
            return
        self.breath_hold = self.breath_hold or BreathHold(rule)
        away_mm = displacement_mm(seen, reference)
        self.breath_hold.update(TargetObservation(seen.acquired_ns, _NO_CONTOUR, away_mm, bound_mm=seen.bound_mm))

    def hold_rule(self, target: str) -> BreathHoldRule | None:
        """Return the breath-hold rule of a target, or None."""
        rules = [] if self.config is None else active_rules(target, self.config.gating)
        return next((rule for rule in rules if isinstance(rule, BreathHoldRule)), None)

    @property
    def guided_target(self) -> str | None:
        """The target that guides the patient: the first with a breath-hold rule, or else the first."""
        names = list(self.references)
        return next((name for name in names if self.hold_rule(name) is not None), names[0] if names else None)

    def newest(self, target: str) -> TargetEstimate | None:
        """Return the newest estimate of a target."""
        return self._estimates.get(target)

    def complete_picture(self, now_ns: int) -> None:
        """Show the newest frame once its contours have come, or it has waited long enough for them."""
        if self._frame is None:
            return
        frame, received_ns = self._frame
        header = frame.header
        expected = [name for name, known in self.references.items() if known.plane == header.plane]
        seen = [self._estimates[name] for name in expected if name in self._estimates]
        own = tuple(one for one in seen if one.frame_sequence == header.sequence and one.plane == header.plane)
        if len(own) < len(expected) and now_ns - received_ns < CONTOUR_WAIT_NS:
            return
        self.picture_number += 1
        self.picture, self._frame = Picture(self.picture_number, frame, received_ns, own), None
        if header.plane in self.pictures or len(self.pictures) < MAX_PLANES:
            self.pictures[header.plane] = self.picture

    @property
    def waits_for_contours(self) -> bool:
        """Whether a frame waits for its contours."""
        return self._frame is not None

    def silence_limit_ns(self, name: str) -> int:
        """Return after how long what was heard last is not shown any more."""
        if name == "frame" and self.stream is not None:
            return max(SILENCE_NS, 2 * self.frame_interval_ns)
        return HEARTBEAT_SILENCE_NS.get(name, SILENCE_NS)

    @property
    def frame_interval_ns(self) -> int:
        """Time between frames as they come, ns; 0 if it is not known."""
        if self.stream is None:
            return 0
        return round(self.stream.nominal_interval_ns / (self.stream.speed or 1.0))
