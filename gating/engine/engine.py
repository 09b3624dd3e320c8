"""The engine: frames in, estimates and gate commands out. No sockets, no files, no threads; the clock is handed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from gating.clocks.clock import Clock
from gating.decision.arming import ArmingEvent, transition
from gating.decision.decide import GateDecision, decide, first_decision
from gating.decision.limits import decision_limits
from gating.decision.reasons import HARD_FAULTS, GateReason, HoldReason
from gating.engine.budget import DecisionWatch
from gating.engine.outcome import StepOutcome
from gating.engine.peers import Peers
from gating.latency.budgets import DecisionBudget
from gating.messages import (
    ARRIVAL_TIME,
    ARRIVAL_TIME_MEANS,
    BeamStatus,
    CineFrame,
    ControlReply,
    ControlRequest,
    EngineState,
    Event,
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
from gating.stream.stream import Stream
from gating.targets.targets import TargetSet, TargetSpec
from gating.tracking.tracker import Tracker

UNTRACKED = HARD_FAULTS | {GateReason.FRAME_REPEATED, GateReason.FRAME_OUT_OF_ORDER, GateReason.FRAME_REFUSED}
"""A frame with one of these faults is not shown to the trackers: it would corrupt what they remember."""


class Engine:
    """One gating session.

    Parameters
    ----------
    config : validated settings; they do not change while the engine lives.
    targets : one to ten targets.
    make_tracker : returns a new, warm tracker; called once per target.
    clock : of this host.
    session_id, engine_id : who speaks.
    peers_required : False where the engine runs alone (offline tracking): beam interface and recorder are not missed.
    budget : of each decision; None where time does not run by itself (offline).
    """

    def __init__(
        self,
        config: Config,
        targets: Sequence[TargetSpec],
        make_tracker: Callable[[], Tracker],
        clock: Clock,
        session_id: str,
        engine_id: str,
        *,
        peers_required: bool = True,
        arm_by_itself: bool = False,
        budget: DecisionBudget | None = None,
    ) -> None:
        self._config = config
        self._watch = None if budget is None else DecisionWatch(budget)
        self._targets = TargetSet(targets, make_tracker, config.gating, config.prediction)
        self._clock = clock
        self._session_id = session_id
        self._engine_id = engine_id
        self._peers = Peers(engine_id, config.recording, required=peers_required)
        self._arm_by_itself = arm_by_itself
        self.state = EngineState.STARTING
        self._decision = first_decision(clock.now_ns())
        self._latched: HoldReason | None = None
        self._stream = Stream(config.health)
        self._frame_fault: HoldReason | None = None
        self._unlearned: HoldReason | None = None
        self._owed: StepOutcome | None = None
        self._limits = decision_limits(config, None)
        self._healthy_in_a_row = 0
        self._command_sequence = -1
        self._frame_sequence = -1
        self._stamps = StageStamps()
        self.counters = {"decided": 0, "skipped": 0, "refused": 0, "repeated": 0, "over_budget": 0}

    @property
    def references(self) -> tuple[TargetReference, ...]:
        """The targets as learned from their reference frames, for whoever joins late."""
        return tuple(self._targets.references)

    @property
    def stale_at_ns(self) -> int | None:
        """When the beam that is on now ends for want of a newer frame; None while held."""
        if self._decision.state is not GateState.ON:
            return None
        return min(self._targets.acquired_ns, default=0) + self._limits.stale_ns

    @property
    def frame_interval_ns(self) -> int:
        """How often frames come, as declared; 0 if that is not known."""
        return self._stream.frame_interval_ns

    def warm_up(self) -> None:
        """Compile and touch everything that `step` needs; then the engine is READY."""
        self._targets.warm_up()
        self._arming(ArmingEvent.WARMED_UP)

    # ---- what arrives -------------------------------------------------------------------------------------------

    def open_stream(self, stream: StreamInfo) -> list[Message]:
        """Take a source's declaration; the first one binds, a contradicting later one latches."""
        if self._stream.declared is None:
            self._stream.declared = stream
            self._limits = decision_limits(self._config, stream)
            opened = f"{stream.source} ({stream.source_kind}): {stream.description}"
            messages: list[Message] = [self._event("info", "stream_opened", opened)]
            if stream.acquired_meaning is StampMeaning.ARRIVAL:
                messages.append(self._event("warning", ARRIVAL_TIME, f"{stream.source}: {ARRIVAL_TIME_MEANS}"))
            return messages
        if stream != self._stream.declared:
            return self._latch(HoldReason(GateReason.GEOMETRY_CHANGED, "the source declared its stream differently"))
        return []

    def close_stream(self, end: StreamEnd) -> StepOutcome:
        """Hold because the source is done."""
        self.settle()
        self._frame_fault = HoldReason(GateReason.STREAM_ENDED, end.why)
        self._arming(ArmingEvent.STREAM_ENDED)
        return self._decide(new_frame=False, renewal=False)

    def step(self, frame: CineFrame, received_ns: int) -> StepOutcome:
        """Track every target of the frame's plane and decide.

        Parameters
        ----------
        frame : decoded frame.
        received_ns : when its bytes were received, engine clock.
        """
        decoded_ns = self._clock.now_ns()
        self.settle()
        header = frame.header
        self._frame_fault = self._stream.check(frame, received_ns)
        tracked = self._frame_fault is None or self._frame_fault.reason not in UNTRACKED
        if tracked:
            self._peers.count_gap(self._stream.missing_before(header))
            self._targets.update(frame, self._stream.elapsed_s(header))
        elif self._frame_fault is not None and self._frame_fault.reason is GateReason.FRAME_REFUSED:
            self._stream.pass_over(header, received_ns)
        if tracked and self._unlearned is None and not self._targets.knows(header.plane):
            text = f"the targets are being learned from frame {header.sequence}"
            self._unlearned = HoldReason(GateReason.NOT_READY, text)
        self._frame_sequence = header.sequence
        self._healthy_in_a_row = self._healthy_in_a_row + 1 if self._frame_fault is None else 0
        self._stamps = StageStamps(
            acquired_ns=header.acquired_on_publish_clock_ns,
            published_ns=header.published_ns,
            received_ns=received_ns,
            decoded_ns=decoded_ns,
            tracked_ns=self._clock.now_ns(),
        )
        self.counters["decided"] += 1
        messages = self._check_budget()
        if self._arm_by_itself:
            messages += self._arm_if_possible()
        outcome = self._decide(new_frame=True, renewal=False)
        decision = self._decision
        self._owed = StepOutcome(
            outcome.command,
            [*messages, *outcome.messages],
            lambda: self._after(frame, received_ns, decision) if tracked else [],
        )
        return self._owed

    def _after(self, frame: CineFrame, received_ns: int, decision: GateDecision) -> list[Message]:
        """What a frame leads to once its command is out: memory, learned references, grown templates, estimates."""
        self._stream.remember(frame.header, received_ns)
        known = len(self._targets.references)
        if not self._targets.knows(frame.header.plane):
            try:
                self._targets.learn(frame, self._stream.first_plane(frame.header))
                self._unlearned = None
            except ValueError as error:
                self._unlearned = HoldReason(GateReason.TARGET_UNUSABLE, str(error)[:300])
                self._healthy_in_a_row = 0
        accepted = self._targets.finish_frame(frame.header.plane)
        learned = [self._event("info", "template_accepted", text) for text in accepted]
        estimates = self._targets.estimates(frame.header, self._session_id, decision)
        return [*self._targets.references[known:], *estimates, *learned]

    def settle(self) -> None:
        """Do what the last step has left to do, unless its messages have been asked for."""
        owed, self._owed = self._owed, None
        if owed is not None:
            owed.settle()

    def warm_caches(self, frame: CineFrame) -> GateCommand:
        """Go through a step on the newest frame without consequences, so that the next one finds warm caches.

        Returns
        -------
        The command that it would lead to: not to be sent.
        """
        self.settle()
        now_ns = self._clock.now_ns()
        self._stream.warm_caches(frame, now_ns)
        self._targets.warm_caches(frame.header.plane)
        decision = self._next_decision(self._fault(now_ns), now_ns, new_frame=True)
        return self._command(decision, now_ns, renewal=False)

    def tick(self) -> StepOutcome:
        """Re-examine the decision between frames: renew the lease, or hold because something has gone stale."""
        self.settle()
        return self._decide(new_frame=False, renewal=True)

    def refuse(self, sentence: str) -> StepOutcome:
        """Hold because a message could not be trusted; the next good frame clears it."""
        self.settle()
        self.counters["refused"] += 1
        self._peers.pass_over(1)
        self._frame_fault = HoldReason(GateReason.MESSAGE_REFUSED, sentence[:300])
        self._healthy_in_a_row = 0
        outcome = self._decide(new_frame=False, renewal=False)
        said = self._event("warning", GateReason.MESSAGE_REFUSED, sentence)
        return StepOutcome(outcome.command, [*outcome.messages, said])

    def skip(self, frames: int) -> None:
        """Count frames that were passed over for a newer one."""
        self.counters["skipped"] += frames
        self._peers.pass_over(frames)

    def observe_beam(self, status: BeamStatus) -> None:
        """Take the beam interface's confirmation."""
        self._peers.hear_beam(status, self._clock.now_ns())

    def observe_recorder(self, heartbeat: Heartbeat) -> None:
        """Take the recorder's sign of life."""
        self._peers.hear_recorder(heartbeat, self._clock.now_ns())

    def latch_internal_error(self, sentence: str) -> StepOutcome:
        """Latch because something inside went wrong."""
        messages = self._latch(HoldReason(GateReason.INTERNAL_ERROR, sentence[:300]))
        outcome = self._decide(new_frame=False, renewal=False)
        return StepOutcome(outcome.command, [*outcome.messages, *messages])

    def stop(self) -> GateCommand:
        """Return the last command: hold."""
        self._arming(ArmingEvent.DISARM)
        self._frame_fault = HoldReason(GateReason.STOPPING, "the engine is stopping")
        return self._decide(new_frame=False, renewal=False).command

    def control(self, request: ControlRequest) -> tuple[ControlReply, list[Message]]:
        """Answer an operator."""
        self.settle()
        objection: str | None = None
        if request.action == "arm":
            objection = self._arming_objection() or self._refused_by(ArmingEvent.ARM)
        elif request.action == "disarm":
            objection = self._refused_by(ArmingEvent.DISARM)
        elif request.action == "acknowledge":
            objection = "a reason is needed" if not request.why.strip() else self._refused_by(ArmingEvent.ACKNOWLEDGE)
        elif request.action == "accept_shift" and not request.why.strip():
            objection = "the text of the proposed couch shift is needed"
        if objection is not None:
            text = f"{request.action} by {request.operator} refused: {objection}"
            return self._reply(False, text), [self._event("warning", "request_refused", text)]
        if request.action == "acknowledge":
            self._latched, self._frame_fault, self._unlearned, self._healthy_in_a_row = None, None, None, 0
            self._stream.forget()
            self._peers.excuse_losses()
            if self._watch is not None:
                self._watch.forget()
        text = f"{request.action} by {request.operator}: {self.state}" + (f" ({request.why})" if request.why else "")
        return self._reply(True, text), [] if request.action == "status" else [
            self._event("info", request.action, text)
        ]

    # ---- inside ---------------------------------------------------------------------------------------------------

    def _check_budget(self) -> list[Message]:
        """Count a decision that took too long; it holds where frames come at a pace of their own."""
        if self._watch is None:
            return []
        fault = self._watch.observe(self._frame_sequence, self._stamps)
        if fault is None:
            return []
        self.counters["over_budget"] += 1
        if self._config.safety.hold_over_budget and self._stream.pacing.is_timed:
            self._frame_fault = self._frame_fault or fault
        return [self._event("warning", fault.reason, fault.detail)]

    def _arm_if_possible(self) -> list[Message]:
        """Arm without an operator, on a frame that is as fresh as the stream allows: not while catching up."""
        if self.state is not EngineState.READY or self._arming_objection() is not None:
            return []
        if self._stream.is_late(self._clock.now_ns() - self._stamps.acquired_ns):
            return []
        self._arming(ArmingEvent.ARM)
        return [self._event("info", "armed", "armed by itself: the source is a recording or a phantom")]

    def _fault(self, now_ns: int) -> HoldReason | None:
        return self._latched or self._frame_fault or self._unlearned or self._peers.fault(now_ns)

    def _decide(self, *, new_frame: bool, renewal: bool) -> StepOutcome:
        now_ns = self._clock.now_ns()
        fault = self._fault(now_ns)
        messages: list[Message] = []
        if fault is not None and fault.reason in HARD_FAULTS and self._latched is None:
            messages = self._latch(fault)
        before = self._decision
        after = self._decision = self._next_decision(fault, now_ns, new_frame=new_frame)
        if after.reason in HARD_FAULTS and self._latched is None:
            messages += self._latch(HoldReason(after.reason, after.detail))
        if (after.state, after.reason) != (before.state, before.reason):
            renewal = False
        self._command_sequence += 1
        return StepOutcome(self._command(after, now_ns, renewal=renewal), messages)

    def _next_decision(self, fault: HoldReason | None, now_ns: int, *, new_frame: bool) -> GateDecision:
        """Return what follows from all that is known now; nothing is changed."""
        views = self._targets.views(now_ns)
        return decide(self.state, fault, views, self._limits, self._decision, now_ns, new_frame=new_frame)

    def _command(self, decision: GateDecision, decided_ns: int, *, renewal: bool) -> GateCommand:
        return GateCommand(
            session_id=self._session_id,
            engine_id=self._engine_id,
            command_sequence=self._command_sequence,
            state=decision.state,
            reason=decision.reason,
            detail=decision.detail[:400],
            engine_state=self.state,
            frame_sequence=self._frame_sequence,
            renewal=renewal,
            lease_ms=self._config.safety.lease_ms if decision.state is GateState.ON else 0.0,
            source_kind=self._stream.source_kind,
            pacing=self._stream.pacing,
            stamps=replace(self._stamps, decided_ns=decided_ns, sent_ns=self._clock.now_ns()),
        )

    def _latch(self, fault: HoldReason) -> list[Message]:
        if self._latched is not None:
            return []
        self._latched = fault
        self._arming(ArmingEvent.HARD_FAULT)
        return [self._event("fault", fault.reason, f"latched: {fault.detail}")]

    def _arming(self, event: ArmingEvent) -> bool:
        outcome = transition(self.state, event)
        self.state = outcome.state
        return outcome.accepted

    def _refused_by(self, event: ArmingEvent) -> str | None:
        before = self.state
        return None if self._arming(event) else f"not possible while {before}"

    def _arming_objection(self) -> str | None:
        needed = self._config.safety.arm_good_frames
        if self.state is EngineState.LATCHED and self._latched is not None:
            return f"latched by {self._latched.reason}; acknowledge it first"
        if self._healthy_in_a_row < needed:
            return f"{self._healthy_in_a_row} contiguous good frames, {needed} are needed"
        fault = self._fault(self._clock.now_ns())
        return None if fault is None else fault.detail

    def _reply(self, accepted: bool, text: str) -> ControlReply:
        return ControlReply(session_id=self._session_id, accepted=accepted, engine_state=self.state, text=text[:400])

    def _event(self, severity: str, code: str, text: str) -> Event:
        return Event(
            session_id=self._session_id,
            role="engine",
            severity=severity,  # type: ignore[arg-type]
            code=code,
            text=text[:400],
            at_ns=self._clock.now_ns(),
        )
