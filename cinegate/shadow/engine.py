"""Our engine in shadow: it decides on frames as they come, and its decisions go into a log and nowhere else.

There is no socket on which a beam interface could hear them. Besides, its commands name no beam interface, so that
none obeys a beam-on among them, even if somebody sends them from the log.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import zmq

from cinegate.shadow.sides import Side, make_side
from gating.clocks.clock import MonotonicClock
from gating.clocks.remap import ClockMap
from gating.engine.engine import Engine
from gating.engine.header import session_header
from gating.engine.outcome import StepOutcome
from gating.engine.peers import OfflinePeers
from gating.messages import (
    CineFrame,
    ControlRequest,
    EngineState,
    FrameHeader,
    GateState,
    Message,
    StreamEnd,
    StreamInfo,
    TargetEstimate,
    TargetReference,
)
from gating.session.log import SHADOW
from gating.session.log_writer import SessionWriter
from gating.settings.config import Config
from gating.targets.spec import TargetSpec
from gating.tracking.registry import make_tracker
from gating.wire.codec import WireError, decode, encode, encode_frame
from gating.wire.sockets import ReconnectingSubscriber, receive

OPERATOR: Final = "shadow mode"
POLL_MS: Final = 50
MAX_DRAIN: Final = 64
QUEUED_FRAMES: Final = 1000


class ShadowEngine:
    """Decides on the frames of a source, and writes them and what it decides to a log.

    Parameters
    ----------
    config
        Settings; of the endpoints only that of the frames is used.
    targets
        The targets.
    session_id
        Of the source's session.
    log
        The new session log.
    """

    def __init__(self, config: Config, targets: Sequence[TargetSpec], session_id: str, log: Path) -> None:
        self._config, self._session_id = config, session_id
        self._clock = MonotonicClock()
        self._clock_map = ClockMap(self._clock.name, config.clocks)
        self._writer = SessionWriter(log, session_id, self._clock.name, {SHADOW: "yes"})
        self._engine = Engine(
            config,
            targets,
            lambda: make_tracker(config.tracker, config.tracking),
            self._clock,
            session_id,
            SHADOW,
            peers=OfflinePeers(),
            arm_by_itself=True,
        )
        self._ended = False
        self._wall_minus_monotonic_ns = time.time_ns() - time.monotonic_ns()
        self.rows: list[tuple[int, float, bool, tuple[float, ...]]] = []
        """Number of each decided frame, its time (s since 1970), whether it held, and the target's centre (LPS, mm)."""

    def run(self, stop: Callable[[], bool], turn: Callable[[], None] = lambda: None) -> None:
        """Decide until the stream ends or `stop` returns True; `turn` is called between frames.

        Raises
        ------
        OSError
            If the log cannot be written.
        zmq.ZMQError
            If the endpoint cannot be used.
        """
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self._writer.open()
            self._write(session_header(self._config, self._session_id, SHADOW, self._clock.name))
            self._write(self._engine.tick().command)
            self._engine.warm_up()
            frames = ReconnectingSubscriber(context, self._config.endpoints.frames, queue=QUEUED_FRAMES)
            while not (stop() or self._ended):
                if frames.wait(POLL_MS):
                    self._drain(frames)
                self._writer.flush_if_due()
                turn()
            self._write(self._engine.stop())
            self._writer.close()
        finally:
            self._writer.abandon()
            context.destroy(linger=0)

    def side(self) -> Side:
        """Return what was decided so far. Raises `ShadowError` if that is fewer than 2 frames."""
        rows = list(self.rows)
        return make_side(
            self._session_id,
            [at_s for _, at_s, _, _ in rows],
            [hold for _, _, hold, _ in rows],
            [centre_mm for _, _, _, centre_mm in rows],
            outlines=[],
            frames=[number for number, _, _, _ in rows],
        )

    def _note(self, header: FrameHeader, outcome: StepOutcome) -> None:
        """Note a decision, by the time of its frame in seconds since 1970; a frame out of order has none."""
        at_s = (header.acquired_on_publish_clock_ns + self._wall_minus_monotonic_ns) / 1e9
        seen = [one for one in outcome.messages if isinstance(one, TargetEstimate) and one.status == "tracked"]
        if not self.rows or at_s > self.rows[-1][1]:
            centre_mm = seen[0].position_mm if seen else (math.nan,) * 3
            self.rows.append((header.sequence, at_s, outcome.command.state is GateState.HOLD, centre_mm))

    def _drain(self, frames: ReconnectingSubscriber) -> None:
        for _ in range(MAX_DRAIN):
            parts = receive(frames.socket)
            if parts is None:
                return
            received_ns = self._clock.now_ns()
            self._writer.write(parts, received_ns)
            try:
                message = decode(parts)
            except WireError as error:
                self._publish(self._engine.refuse(str(error)))
                continue
            self._take(message, received_ns)

    def _take(self, message: object, received_ns: int) -> None:
        if isinstance(message, CineFrame):
            outcome = self._engine.step(self._clock_map.frame(message, received_ns), received_ns)
            finished = self._engine.finish_frame()
            if any(isinstance(one, TargetReference) for one in finished):
                for image in self._engine.images:
                    self._writer.write(encode_frame(image), self._clock.now_ns())
            self._write(outcome.command, *finished, *outcome.messages)
            self._note(message.header, StepOutcome(outcome.command, [*finished, *outcome.messages]))
            self._arm()
        elif isinstance(message, StreamInfo):
            self._write(*self._engine.open_stream(message))
        elif isinstance(message, StreamEnd):
            self._publish(self._engine.close_stream(message))
            self._ended |= message.session_id == self._session_id

    def _arm(self) -> None:
        """Arm a live source, which nobody else does here: nothing is permitted by it but a line in the log."""
        if self._engine.state is EngineState.READY:
            for action in ("confirm", "arm"):
                request = ControlRequest(session_id=self._session_id, action=action, operator=OPERATOR)
                reply, events = self._engine.control(request)
                if not reply.accepted:
                    return
                self._write(*events)

    def _publish(self, outcome: StepOutcome) -> None:
        self._write(outcome.command, *outcome.messages)

    def _write(self, *messages: Message) -> None:
        for message in messages:
            self._writer.write(encode(message), self._clock.now_ns())
