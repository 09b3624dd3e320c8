"""Replays a session log through the engine, at the logged times, and compares every decision with the log.

What follows from frames, targets, settings and time is computed again: estimates, states, reasons, leases. Faults of
other processes (a silent beam interface, a failed recorder, a refused message) are taken from the log; they can only
hold the beam. So every beam-on in the log must follow again from its frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace

from gating.analysis.engine_history import EngineHistory, frame_of, frames_and_commands, read_histories
from gating.analysis.logged_targets import logged_target
from gating.analysis.stretches import Stretch, StretchFinder
from gating.clocks.clock import RecordedClock
from gating.clocks.remap import ClockMap
from gating.decision.reasons import NOT_REPLAYABLE, GateReason, HoldReason
from gating.engine.engine import Engine
from gating.engine.outcome import StepOutcome
from gating.engine.peers import OfflinePeers
from gating.latency.budgets import load_budgets
from gating.messages import (
    CineFrame,
    ControlRequest,
    EngineState,
    Event,
    GateCommand,
    GateState,
    StageStamps,
    StreamEnd,
    TargetEstimate,
)
from gating.session.log import SessionError
from gating.settings.config import Config, logged_hash, parse_past_config
from gating.stream.stream import FRAMES_NOW_COME_FROM
from gating.tracking.memory import Memory
from gating.tracking.registry import make_tracker

REFUSAL_NS: Final = 5_000_000
"""Longest time from a command to the event of the refusal that caused it."""
REPEATED: Final = {name: name for name in ("confirm", "arm", "disarm", "acknowledge")} | {"site": "disarm"}
"""Requests of operators that are repeated, and how; the next site has an engine of its own."""
OTHER_ORIGIN: Final = f"latched: {FRAMES_NOW_COME_FROM}"
OTHER_STREAM: Final = ("latched: the declared stream is of session", "latched: the end of a stream is of session")
"""How the event of a latch begins whose cause is another session's message and no frame."""
OTHER_DECLARATION: Final = "declared its stream differently"
REPLAYED_TEXTS: Final = (OTHER_ORIGIN, *OTHER_STREAM, OTHER_DECLARATION)
"""What a replay looks for in the text of an event, beside its code and the name of the operator."""
COMPARED: Final = ("state", "reason", "engine_state", "frame_sequence", "lease_ms")
IN_3D: Final = ("displacement_mm", "bound_mm")
NUMBERS: Final = ("x_px", "y_px", "confidence", "score", "target_out_fraction")


class Verification(Struct, kw_only=True):
    """The result of replaying a log."""

    commands: int = 0
    frames: int = 0
    differences: int = 0
    first_difference: str = ""
    given: int = 0
    """Decisions whose reason is taken from the log, as the replay cannot compute it; all of them hold."""
    on_to_hold: int = 0
    hold_to_on: int = 0
    """Decisions that are beam-on in the log and hold in the replay, and the reverse."""
    largest_px: float = 0.0
    """Largest distance between a target centre in the log and in the replay."""
    stretches: list[Stretch] = field(default_factory=list)
    """Where state or reason differ, in the order of the log."""

    def differ(self, sentence: str) -> None:
        """Count a difference, and keep the text of the first one."""
        self.differences += 1
        self.first_difference = self.first_difference or sentence


def verify_session(
    path: Path,
    config: Config | None = None,
    tolerance_px: float = 0.0,
    memory: Memory | None = None,
    *,
    decided: Callable[[], None] = lambda: None,
) -> Verification:
    """Replay a log and compare its decisions.

    Parameters
    ----------
    path
        Path of the log.
    config
        Settings to use instead of those in the log, to see which decisions change; estimates are then not compared.
    tolerance_px
        Largest distance between target centres that is not a difference; 0 compares bit for bit, for the same machine.
    memory
        The memory of the preparation, for a session that was tracked with one; the log names it by its hash.
    decided
        Called after each command, for progress.

    Raises
    ------
    SessionError
        If the log lacks what a replay needs; one sentence.
    OSError
        If the log cannot be read.
    """
    histories = read_histories(path)
    found, compared = Verification(), StretchFinder()
    found.stretches = compared.found
    replays: dict[str, _Replay] = {}
    frames: deque[tuple[int, CineFrame]] = deque()
    for frame_or_command, log_time_ns in frames_and_commands(path):
        if isinstance(frame_or_command, CineFrame):
            frames.append((log_time_ns, frame_or_command))
            continue
        command = frame_or_command
        if command.engine_id not in replays:
            if command.engine_id not in histories:
                raise SessionError(f"{path.name}: no session header of engine {command.engine_id}")
            replays[command.engine_id] = _Replay(histories[command.engine_id], config, tolerance_px, found, memory)
        compared.add(command, replays[command.engine_id].replay(command, frames))
        decided()
    if found.commands == 0:
        raise SessionError(f"{path.name} holds no gate command")
    return found


class _Replay:
    """Replays one engine of the log, decision by decision."""

    def __init__(
        self,
        history: EngineHistory,
        config: Config | None,
        tolerance_px: float,
        found: Verification,
        memory: Memory | None,
    ) -> None:
        logged = parse_past_config(history.header.config_toml, "configuration in the log")
        if logged_hash(history.header.config_toml) != history.header.config_hash:
            found.differ("the configuration in the session header does not match its hash there")
        self._streams = [stream for stream in history.streams if stream.session_id == history.header.session_id]
        if not history.references or not self._streams:
            raise SessionError("the log holds no target or no stream; nothing was decided that could be replayed")
        wanted = next((one.memory_hash for one in history.references if one.memory_hash), "")
        if wanted and memory is None:
            raise SessionError(
                f"the session was tracked with memory {wanted}, which is not in the log; it must be given"
            )
        self._history, self._found, self._tolerance_px = history, found, tolerance_px
        self._other_config = config is not None
        settings = config or logged
        self._clock = RecordedClock(history.header.clock)
        self._peers = OfflinePeers()
        self._clock_map = ClockMap(history.header.clock, settings.clocks)
        self._engine = Engine(
            settings,
            [logged_target(reference, history.images, memory) for reference in history.references],
            lambda: make_tracker(settings.tracker, settings.tracking),
            self._clock,
            history.header.session_id,
            history.header.engine_id,
            peers=self._peers,
            arm_by_itself=any(event.code == "armed" for event in history.events),
            budget=load_budgets().decision,
            requires_binding=any(reference.image_hash for reference in history.references),
        )
        self._warm = False
        self._received_ns = 0
        self._sequence: int | None = None

    def replay(self, command: GateCommand, frames: deque[tuple[int, CineFrame]]) -> GateCommand:
        """Repeat the cause of a command, compare the results, and return the command of the replay."""
        self._found.commands += 1
        if self._sequence is not None and command.command_sequence != self._sequence + 1:
            missing = command.command_sequence - self._sequence - 1
            self._found.differ(f"{missing} commands are missing before command {command.command_sequence}")
        self._sequence = command.command_sequence
        if not self._warm and command.engine_state is not EngineState.STARTING:
            self._engine.warm_up()
            if not self._history.undeclared:
                self._engine.open_stream(self._streams[0])
            self._warm = True
        stamps = command.stamps
        self._clock.set(decided_ns=stamps.decided_ns)
        self._act_until(stamps.decided_ns)
        from_log = command.reason in NOT_REPLAYABLE
        self._found.given += from_log
        self._peers.fault = HoldReason(GateReason(command.reason), command.detail) if from_log else None
        outcome = self._cause(command, stamps, frames)
        self._compare(command, outcome)
        return outcome.command

    def _cause(self, command: GateCommand, stamps: StageStamps, frames: deque[tuple[int, CineFrame]]) -> StepOutcome:
        refusal = self._refusal(stamps.decided_ns, stamps.sent_ns)
        if refusal is not None:
            return self._engine.refuse(refusal.text)
        if command.reason in (GateReason.STOPPING, GateReason.SESSION_ENDED):
            return StepOutcome(self._engine.stop(GateReason(command.reason)), [])
        if command.reason == GateReason.STREAM_ENDED and not command.renewal:
            end = StreamEnd(session_id=command.session_id, source="log", frames_published=0, why=command.detail)
            return self._engine.close_stream(end)
        if stamps.received_ns != self._received_ns:
            self._received_ns = stamps.received_ns
            frame = frame_of(command, frames)
            if frame is None:
                raise SessionError(f"frame {command.frame_sequence} of command {command.command_sequence} is missing")
            self._found.frames += 1
            self._clock.set(decided_ns=stamps.decided_ns, decoded_ns=stamps.decoded_ns, tracked_ns=stamps.tracked_ns)
            outcome = self._engine.step(self._clock_map.frame(frame, stamps.received_ns), stamps.received_ns)
            return StepOutcome(outcome.command, [*self._engine.finish_frame(), *outcome.messages])
        return self._engine.tick()

    def _act_until(self, moment_ns: int) -> None:
        """Repeat the operators' requests and the sources' declarations up to a moment."""
        events = self._history.events
        while events and events[0].at_ns <= moment_ns and events[0].code != GateReason.MESSAGE_REFUSED:
            event = events.popleft()
            if event.code in REPEATED:
                self._engine.control(_request(event))
            elif event.code == GateReason.GEOMETRY_CHANGED and OTHER_DECLARATION in event.text:
                for stream in self._streams[1:]:
                    self._engine.open_stream(stream)
            elif event.text.startswith(OTHER_ORIGIN):
                self._engine.open_stream(replace(self._streams[0], series=f"as of {event.at_ns}"))
            elif event.code == "stream_opened" and self._history.undeclared:
                self._engine.open_stream(self._streams[0])
            elif event.text.startswith(OTHER_STREAM):
                self._engine.open_stream(replace(self._streams[0], session_id="another session"))

    def _refusal(self, decided_ns: int, sent_ns: int) -> Event | None:
        """Return the event of the refusal that caused a command, or None. It was logged just after the decision."""
        events = self._history.events
        if events and events[0].code == GateReason.MESSAGE_REFUSED and events[0].at_ns >= decided_ns:
            following = events[0].at_ns - max(decided_ns, sent_ns) < REFUSAL_NS
            return events.popleft() if following else None
        while events and events[0].code == GateReason.MESSAGE_REFUSED and events[0].at_ns < decided_ns:
            events.popleft()
        return None

    def _compare(self, command: GateCommand, outcome: StepOutcome) -> None:
        ours = outcome.command
        self._found.on_to_hold += command.state is GateState.ON and ours.state is GateState.HOLD
        self._found.hold_to_on += command.state is GateState.HOLD and ours.state is GateState.ON
        for name in COMPARED:
            logged, computed = getattr(command, name), getattr(ours, name)
            if logged != computed:
                why = f" ({command.detail} / {ours.detail})" if name == "reason" else ""
                self._found.differ(
                    f"command {command.command_sequence}, frame {command.frame_sequence}: {name} is {logged} in the "
                    f"log and {computed} in the replay{why}"
                )
                return
        for message in outcome.messages:
            if isinstance(message, TargetEstimate) and not self._other_config:
                self._compare_estimate(message)

    def _compare_estimate(self, ours: TargetEstimate) -> None:
        logged = self._history.estimates.pop((ours.frame_sequence, ours.target), None)
        if logged is None:
            self._found.differ(f"frame {ours.frame_sequence}: the log has no estimate of {ours.target}")
            return
        distance_px = float(np.hypot(ours.x_px - logged.x_px, ours.y_px - logged.y_px))
        self._found.largest_px = max(self._found.largest_px, distance_px if np.isfinite(distance_px) else 0.0)
        if self._tolerance_px > 0:
            same = distance_px <= self._tolerance_px or _same(ours.x_px, logged.x_px)
            different = [] if same and ours.status == logged.status else ["x_px"]
        else:
            different = [name for name in NUMBERS if not _same(getattr(ours, name), getattr(logged, name))]
            different += [] if ours.status == logged.status else ["status"]
            different += [] if np.array_equal(ours.contour_px, logged.contour_px) else ["contour_px"]
            different += [name for name in IN_3D if getattr(ours, name) != getattr(logged, name)]
        if different:
            name = different[0]
            self._found.differ(
                f"frame {ours.frame_sequence}, {ours.target}: {name} is {getattr(logged, name)} in the log and "
                f"{getattr(ours, name)} in the replay"
            )


def _same(ours: float, logged: float) -> bool:
    return ours == logged or (ours != ours and logged != logged)  # noqa: PLR0124 - NaN is not itself


def _request(event: Event) -> ControlRequest:
    operator = event.text.removeprefix(f"{event.code} by ").partition(":")[0]
    return ControlRequest(
        session_id=event.session_id,
        action=REPEATED[event.code],
        operator=operator[:64] or "unknown",
        why="as logged",
    )
