"""The engine: frames in, gate commands and estimates out. No socket, no file, no thread; the clock is handed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gating.clocks.clock import StageClock
from gating.decision.arming import ArmingEvent
from gating.decision.decide import GateDecision, decide, first_decision
from gating.decision.limits import decision_limits
from gating.decision.reasons import LATCHING, GateReason, HoldReason
from gating.engine.budget import DecisionWatch
from gating.engine.intake import FrameIntake
from gating.engine.lifecycle import Lifecycle
from gating.engine.outcome import StepOutcome
from gating.engine.peers import PeerMonitor, Peers
from gating.engine.statements import Statements
from gating.latency.budgets import DecisionBudget
from gating.messages import (
    ARRIVAL_TIME,
    ARRIVAL_TIME_MEANS,
    BeamStatus,
    CineFrame,
    ControlReply,
    ControlRequest,
    EngineState,
    GateCommand,
    GateState,
    Heartbeat,
    Message,
    StageStamps,
    StampMeaning,
    StreamEnd,
    StreamInfo,
    TargetReference,
)
from gating.settings.config import Config
from gating.targets.targets import TargetSpec
from gating.tracking.tracker import Tracker


class Engine:
    """One gating session. After each `step`, once its command is out, call `finish_frame`.

    Parameters
    ----------
    config : validated settings; they do not change while the engine lives.
    targets : one to ten targets.
    make_tracker : returns a new, warm tracker; called once per target.
    clock : of this host, or one that a log has recorded.
    session_id, engine_id : who speaks.
    peers : what is known of beam interface and recorder; by default they are listened to, and missed.
    arm_by_itself : arm without an operator, for recordings and phantoms.
    budget : of each decision; None where time does not run by itself (offline).
    """

    def __init__(
        self,
        config: Config,
        targets: Sequence[TargetSpec],
        make_tracker: Callable[[], Tracker],
        clock: StageClock,
        session_id: str,
        engine_id: str,
        *,
        peers: PeerMonitor | None = None,
        arm_by_itself: bool = False,
        budget: DecisionBudget | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._intake = FrameIntake(config, targets, make_tracker)
        self._peers = Peers(engine_id, config.recording) if peers is None else peers
        self._life = Lifecycle()
        self._watch = None if budget is None else DecisionWatch(budget)
        self._say = Statements(session_id, engine_id, clock, config.safety.lease_ms)
        self._arm_by_itself = arm_by_itself
        self._limits = decision_limits(config, None)
        self._decision = first_decision(clock.now_ns())
        self._command_sequence = -1
        self._frame_sequence = -1
        self._stamps = StageStamps()
        self.counters = {"decided": 0, "skipped": 0, "refused": 0, "repeated": 0, "over_budget": 0}

    @property
    def state(self) -> EngineState:
        """STARTING, READY, ARMED or LATCHED."""
        return self._life.state

    @property
    def references(self) -> tuple[TargetReference, ...]:
        """The targets as learned from their reference frames, for whoever joins late."""
        return tuple(self._intake.targets.references)

    @property
    def stale_at_ns(self) -> int | None:
        """When the beam that is on now ends for want of a newer frame; None while held."""
        if self._decision.state is not GateState.ON:
            return None
        return min(self._intake.targets.acquired_ns, default=0) + self._limits.stale_ns

    @property
    def frame_interval_ns(self) -> int:
        """How often frames come, as declared; 0 if that is not known."""
        return self._intake.stream.frame_interval_ns

    def warm_up(self) -> None:
        """Compile and touch everything that `step` needs; then the engine is READY."""
        self._intake.targets.warm_up()
        self._life.apply(ArmingEvent.WARMED_UP)

    # ---- the stream -------------------------------------------------------------------------------------------------

    def open_stream(self, stream: StreamInfo) -> list[Message]:
        """Take a source's declaration; the first one binds, a contradicting later one latches."""
        if self._intake.stream.declared is None:
            self._intake.stream.declared = stream
            self._limits = decision_limits(self._config, stream)
            opened = f"{stream.source} ({stream.source_kind}): {stream.description}"
            messages: list[Message] = [self._say.event("info", "stream_opened", opened)]
            if stream.acquired_meaning is StampMeaning.ARRIVAL:
                messages.append(self._say.event("warning", ARRIVAL_TIME, f"{stream.source}: {ARRIVAL_TIME_MEANS}"))
            return messages
        if stream != self._intake.stream.declared:
            return self._latch(HoldReason(GateReason.GEOMETRY_CHANGED, "the source declared its stream differently"))
        return []

    def step(self, frame: CineFrame, received_ns: int) -> StepOutcome:
        """Track every target of the frame's plane and decide.

        Parameters
        ----------
        frame : decoded frame.
        received_ns : when its bytes were received, engine clock.

        Raises
        ------
        RuntimeError
            If the frame before was not finished.
        """
        decoded_ns = self._clock.stage_ns("decoded")
        missing = self._intake.missing_before(frame)
        if self._intake.take(frame, received_ns):
            self._peers.count_gap(missing)
        header = frame.header
        self._frame_sequence = header.sequence
        self._stamps = StageStamps(
            acquired_ns=header.acquired_on_publish_clock_ns,
            published_ns=header.published_ns,
            received_ns=received_ns,
            decoded_ns=decoded_ns,
            tracked_ns=self._clock.stage_ns("tracked"),
        )
        self.counters["decided"] += 1
        messages = [*self._check_budget(), *self._arm_if_possible()]
        outcome = self._decide(new_frame=True, renewal=False)
        return StepOutcome(outcome.command, [*messages, *outcome.messages])

    def finish_frame(self) -> list[Message]:
        """Do what the last frame has left to do once its command is out; return what the log and the screen get.

        The stream's memory, references that are learned from the frame, templates that trackers accept, and estimates.
        """
        finished = self._intake.finish(self._say.session_id, self._decision)
        accepted = [self._say.event("info", "template_accepted", text) for text in finished.accepted_templates]
        return [*finished.references, *finished.estimates, *accepted]

    def warm_caches(self, frame: CineFrame) -> GateCommand:
        """Go through a step on the newest frame without consequences, so that the next one finds warm caches.

        Returns
        -------
        The command that it would lead to: not to be sent.
        """
        now_ns = self._clock.now_ns()
        self._intake.warm_caches(frame, now_ns)
        decision = self._next_decision(self._hold_reason(now_ns), now_ns, new_frame=True)
        return self._command(decision, now_ns, renewal=False)

    def refuse(self, sentence: str) -> StepOutcome:
        """Hold because a message could not be trusted; the next good frame clears it."""
        self.counters["refused"] += 1
        self._peers.pass_over(1)
        self._intake.refuse(HoldReason(GateReason.MESSAGE_REFUSED, sentence[:300]))
        outcome = self._decide(new_frame=False, renewal=False)
        said = self._say.event("warning", GateReason.MESSAGE_REFUSED, sentence)
        return StepOutcome(outcome.command, [*outcome.messages, said])

    def skip(self, frames: int) -> None:
        """Count frames that were passed over for a newer one."""
        self.counters["skipped"] += frames
        self._peers.pass_over(frames)

    def close_stream(self, end: StreamEnd) -> StepOutcome:
        """Hold because the source is done."""
        self._intake.fault = HoldReason(GateReason.STREAM_ENDED, end.why)
        self._life.apply(ArmingEvent.STREAM_ENDED)
        return self._decide(new_frame=False, renewal=False)

    # ---- time, peers, operators -------------------------------------------------------------------------------------

    def tick(self) -> StepOutcome:
        """Re-examine the decision between frames: renew the lease, or hold because something has gone stale."""
        return self._decide(new_frame=False, renewal=True)

    def observe_beam(self, status: BeamStatus) -> None:
        """Take the beam interface's confirmation."""
        self._peers.hear_beam(status, self._clock.now_ns())

    def observe_recorder(self, heartbeat: Heartbeat) -> None:
        """Take the recorder's sign of life."""
        self._peers.hear_recorder(heartbeat, self._clock.now_ns())

    def latch_internal_error(self, sentence: str) -> StepOutcome:
        """Latch because something inside went wrong; what the last frame has left to do is dropped."""
        self._intake.drop_unfinished()
        messages = self._latch(HoldReason(GateReason.INTERNAL_ERROR, sentence[:300]))
        outcome = self._decide(new_frame=False, renewal=False)
        return StepOutcome(outcome.command, [*outcome.messages, *messages])

    def stop(self) -> GateCommand:
        """Return the last command: hold."""
        self._life.apply(ArmingEvent.DISARM)
        self._intake.fault = HoldReason(GateReason.STOPPING, "the engine is stopping")
        return self._decide(new_frame=False, renewal=False).command

    def control(self, request: ControlRequest) -> tuple[ControlReply, list[Message]]:
        """Do what an operator asks, or say why not."""
        asked = f"{request.action} by {request.operator}"
        refused = self._carry_out(request)
        if refused is not None:
            text = f"{asked} refused: {refused}"
            said = self._say.event("warning", "request_refused", text)
            return self._say.reply(self.state, text, accepted=False), [said]
        text = f"{asked}: {self.state}" + (f" ({request.why})" if request.why else "")
        told: list[Message] = [] if request.action == "status" else [self._say.event("info", request.action, text)]
        return self._say.reply(self.state, text, accepted=True), told

    def _carry_out(self, request: ControlRequest) -> str | None:
        """Do what is asked; return why that is not possible, or None."""
        reasoned = bool(request.why.strip())
        match request.action:
            case "arm":
                return self._not_armable() or self._life.apply(ArmingEvent.ARM)
            case "disarm":
                return self._life.apply(ArmingEvent.DISARM)
            case "acknowledge":
                return self._acknowledge() if reasoned else "a reason is needed"
            case "accept_shift":
                return None if reasoned else "the text of the proposed couch shift is needed"
            case _:
                return None

    def _acknowledge(self) -> str | None:
        refused = self._life.acknowledge()
        if refused is None:
            self._intake.forget_faults()
            self._peers.excuse_losses()
            if self._watch is not None:
                self._watch.forget()
        return refused

    # ---- the decision -----------------------------------------------------------------------------------------------

    def _check_budget(self) -> list[Message]:
        """Count a decision that took too long; it holds where frames come at a pace of their own."""
        over = None if self._watch is None else self._watch.observe(self._frame_sequence, self._stamps)
        if over is None:
            return []
        self.counters["over_budget"] += 1
        if self._config.safety.hold_over_budget and self._intake.stream.pacing.is_timed:
            self._intake.fault = self._intake.fault or over
        return [self._say.event("warning", over.reason, over.detail)]

    def _arm_if_possible(self) -> list[Message]:
        """Arm without an operator, on a frame that is as fresh as the stream allows: not while catching up."""
        if not self._arm_by_itself or self.state is not EngineState.READY or self._not_armable() is not None:
            return []
        if self._intake.stream.is_late(self._clock.now_ns() - self._stamps.acquired_ns):
            return []
        self._life.apply(ArmingEvent.ARM)
        return [self._say.event("info", "armed", "armed by itself: the source is a recording or a phantom")]

    def _not_armable(self) -> str | None:
        """Return why the engine cannot be armed now, or None."""
        latched_by, needed = self._life.latched_by, self._config.safety.arm_good_frames
        if latched_by is not None:
            return f"latched by {latched_by.reason}; acknowledge it first"
        if self._intake.healthy_in_a_row < needed:
            return f"{self._intake.healthy_in_a_row} contiguous good frames, {needed} are needed"
        reason = self._hold_reason(self._clock.now_ns())
        return None if reason is None else reason.detail

    def _hold_reason(self, now_ns: int) -> HoldReason | None:
        """Return what forbids beam wherever the targets are, the gravest first, or None."""
        return self._life.latched_by or self._intake.hold_reason or self._peers.hold_reason(now_ns)

    def _decide(self, *, new_frame: bool, renewal: bool) -> StepOutcome:
        now_ns = self._clock.now_ns()
        reason = self._hold_reason(now_ns)
        messages = self._latch(reason) if reason is not None and reason.reason in LATCHING else []
        before = self._decision
        after = self._decision = self._next_decision(reason, now_ns, new_frame=new_frame)
        if after.reason in LATCHING:
            messages += self._latch(HoldReason(after.reason, after.detail))
        unchanged = (after.state, after.reason) == (before.state, before.reason)
        self._command_sequence += 1
        return StepOutcome(self._command(after, now_ns, renewal=renewal and unchanged), messages)

    def _next_decision(self, reason: HoldReason | None, now_ns: int, *, new_frame: bool) -> GateDecision:
        """Return what follows from all that is known now; nothing is changed."""
        views = self._intake.targets.views(now_ns)
        return decide(self.state, reason, views, self._limits, self._decision, now_ns, new_frame=new_frame)

    def _latch(self, reason: HoldReason) -> list[Message]:
        if not self._life.latch(reason):
            return []
        return [self._say.event("fault", reason.reason, f"latched: {reason.detail}")]

    def _command(self, decision: GateDecision, decided_ns: int, *, renewal: bool) -> GateCommand:
        return self._say.command(
            decision,
            decided_ns,
            number=self._command_sequence,
            state=self.state,
            frame_sequence=self._frame_sequence,
            renewal=renewal,
            source_kind=self._intake.stream.source_kind,
            pacing=self._intake.stream.pacing,
            stamps=self._stamps,
        )
