"""A session log without processes: the engine decides on every frame of a recording, and the log says all of it.

The log is like one that a recorder writes, but for its clock, which moves with the stamps of the frames. A simulated
linac on the same clock obeys the commands through the watchdog of the beam interface.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from drivers.beam.line import Line
from drivers.beam.simulated import SimulatedLinac
from drivers.beam.watchdog import LeaseWatchdog
from gating.clocks.clock import ManualClock
from gating.decision.reasons import GateReason
from gating.engine.engine import Engine
from gating.engine.header import session_header
from gating.engine.offline import offline_frames
from gating.engine.outcome import StepOutcome
from gating.engine.peers import OfflinePeers
from gating.messages import (
    BeamStatus,
    CineFrame,
    GateCommand,
    Message,
    Pacing,
    Pixels,
    StreamEnd,
    StreamInfo,
)
from gating.session.log_writer import SessionWriter
from gating.settings.config import Config, parse_past_config, to_toml
from gating.targets.spec import TargetSpec
from gating.tracking.registry import make_tracker
from gating.wire.codec import encode, encode_frame

CLOCK: Final = "offline"
_START_NS: Final = 1_000_000_000
_RENEWAL_NS: Final = 80_000_000
"""A lease is 100 ms long; a live engine renews it every 15 ms, which would only make the log longer."""
_DECIDED_AFTER_NS: Final = 1_000_000


def write_offline_log(
    path: Path,
    session_id: str,
    started_at: datetime,
    config: Config,
    targets: Sequence[TargetSpec],
    stream: StreamInfo,
    images: Iterable[tuple[int, Pixels]],
) -> None:
    """Decide on every image, and write the session's log.

    Parameters
    ----------
    path
        The new log.
    session_id, started_at
        What the log calls the session, and when it says that it began.
    config
        Settings of the engine, which arms by itself.
    targets
        One to ten targets, drawn in the first image.
    stream
        The stream as its source declares it; it is replayed without pacing.
    images
        Pairs of (acquisition stamp in ns, pixels).

    Raises
    ------
    ValueError
        If the targets are too many or too few, or their names are not unique.
    OSError
        If the log cannot be written.
    """
    log = _OfflineLog(path, session_id, parse_past_config(to_toml(config), "settings"), targets)
    log.writer.open()
    try:
        log.begin(started_at, replace(stream, session_id=session_id, pacing=Pacing.UNPACED, speed=0.0))
        frames = 0
        for frame in offline_frames(stream, images, session_id):
            log.renew_until(frame.header.published_ns)
            log.frame(frame)
            frames += 1
        log.end(StreamEnd(session_id=session_id, source=stream.source, frames_published=frames, why="it ended"))
        log.writer.close()
    finally:
        log.writer.abandon()


class _OfflineLog:
    def __init__(self, path: Path, session_id: str, config: Config, targets: Sequence[TargetSpec]) -> None:
        self.clock = ManualClock(_START_NS, CLOCK)
        self.writer = SessionWriter(path, session_id, CLOCK)
        self._config = config
        self._beam = _Beam(session_id, config, self.clock)
        self.engine = Engine(
            config,
            targets,
            lambda: make_tracker(config.tracker, config.tracking),
            self.clock,
            session_id,
            session_id,
            peers=OfflinePeers(),
            arm_by_itself=True,
        )

    def begin(self, started_at: datetime, stream: StreamInfo) -> None:
        self._say(session_header(self._config, stream.session_id, stream.session_id, CLOCK, started_at=started_at))
        self.command(self.engine.tick())
        self.engine.warm_up()
        self._say(stream, *self.engine.open_stream(stream))
        self.command(self.engine.tick())

    def renew_until(self, moment_ns: int) -> None:
        """Let the engine examine its decision again, as it does between frames."""
        while self.clock.now_ns() + _RENEWAL_NS < moment_ns:
            self.clock.advance_to(self.clock.now_ns() + _RENEWAL_NS)
            self.command(self.engine.tick())
        self.clock.advance_to(moment_ns)

    def frame(self, frame: CineFrame) -> None:
        """Log a frame and what is decided on it."""
        self.writer.write(encode_frame(frame), self.clock.now_ns())
        self.clock.advance_to(frame.header.published_ns + _DECIDED_AFTER_NS)
        outcome = self.engine.step(frame, self.clock.now_ns())
        self.command(StepOutcome(outcome.command, [*self.engine.finish_frame(), *outcome.messages]))

    def end(self, ending: StreamEnd) -> None:
        self.clock.advance_ms(1)
        self._say(ending)
        self.command(self.engine.close_stream(ending))
        self.clock.advance_ms(1)
        self.command(StepOutcome(self.engine.stop(GateReason.SESSION_ENDED), []))

    def command(self, outcome: StepOutcome) -> None:
        """Log a command with what the engine says beside it, and let the beam obey."""
        self._say(outcome.command, *outcome.messages, self._beam.obey(outcome.command))

    def _say(self, *messages: Message) -> None:
        for message in messages:
            self.writer.write(encode(message), self.clock.now_ns())


class _Beam:
    """The watchdog of the beam interface and a simulated linac, both on the clock of the session."""

    def __init__(self, session_id: str, config: Config, clock: ManualClock) -> None:
        self._session_id, self._clock = session_id, clock
        self._watchdog = LeaseWatchdog(session_id, max_lease_ms=config.safety.lease_ms, allow_simulated=True)
        self._linac = SimulatedLinac(config.linac, clock=clock)
        self._line = Line(self._linac)
        self._linac.open()
        self._statuses = 0

    def obey(self, command: GateCommand) -> BeamStatus:
        now_ns = self._clock.now_ns()
        self._watchdog.note_awake(now_ns)
        self._watchdog.receive(command, now_ns)
        permission = self._watchdog.permission(now_ns)
        self._line.drive(permission.state, self._clock)
        self._line.compare(now_ns)
        self._statuses += 1
        return BeamStatus(
            session_id=self._session_id,
            beam="beam",
            beam_kind="simulated",
            status_sequence=self._statuses - 1,
            commanded=permission.state,
            confirmed=self._line.confirmed,
            reason=permission.reason.value,
            detail=permission.detail,
            engine_id=command.engine_id,
            command_sequence=command.command_sequence,
            frame_sequence=command.frame_sequence,
            renewal=command.renewal,
            command_sent_ns=command.stamps.sent_ns,
            command_received_ns=now_ns,
            applied_ns=self._line.applied_ns,
            sent_ns=now_ns,
            clock=CLOCK,
        )
