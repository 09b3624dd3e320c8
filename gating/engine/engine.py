"""The engine: frames in, gate commands and estimates out. It has no socket, file or thread, and is given its clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from gating.clocks.clock import StageClock
from gating.decision.arming import ArmingEvent
from gating.decision.decide import GateDecision, decide, first_decision
from gating.decision.limits import decision_limits
from gating.decision.reasons import CONSEQUENCES, LATCHING, GateReason, HoldReason
from gating.engine.budget import DecisionWatch
from gating.engine.intake import FrameIntake
from gating.engine.lifecycle import Lifecycle
from gating.engine.message_factory import MessageFactory
from gating.engine.operators import Operators
from gating.engine.outcome import StepOutcome
from gating.engine.peers import PeerMonitor, Peers
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
    ReferenceImage,
    SourceKind,
    StageStamps,
    StampMeaning,
    StreamEnd,
    StreamInfo,
    TargetReference,
)
from gating.settings.config import Config
from gating.stream.stream import other_origin, other_session
from gating.targets.spec import TargetSpec
from gating.tracking.checked_tracker import TrackerFault
from gating.tracking.together import Together, one_by_one
from gating.tracking.tracker import Tracker

MAX_FOREIGN_PEERS: Final = 16


class Engine:
    """One gating session. Call `finish_frame` after each `step`, once its command has been sent.

    Parameters
    ----------
    config
        Validated settings; they do not change while the engine runs.
    targets
        One to ten targets.
    make_tracker
        Returns a new, warm tracker; called once per target.
    clock
        Clock of this host, or the recorded clock of a log.
    session_id, engine_id
        Identify the session and the engine in every message.
    peers
        State of the beam interface and the recorder. By default the engine monitors both and holds if one is silent.
    arm_by_itself
        Arm without an operator; only for recordings and phantoms, and only until the first latch or `disarm`.
    budget
        Latency budget of each decision; None offline, where decisions are not timed.
    site
        Which of the sites in the settings this engine treats; empty if there are none.
    requires_binding
        Whether targets of a live source must be bound to an image, and be confirmed by an operator before arming; False
        only to replay logs of versions that asked for neither.
    together
        How the targets of one frame are tracked: one by one, or in several threads.
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
        site: str = "",
        requires_binding: bool = True,
        together: Together = one_by_one,
    ) -> None:
        self._config = config
        self._clock = clock
        self._intake = FrameIntake(
            config, targets, make_tracker, session_id, live_needs_image=requires_binding, together=together
        )
        self._peers = Peers(engine_id, config.recording) if peers is None else peers
        self._life = Lifecycle()
        self._watch = None if budget is None else DecisionWatch(budget)
        self._factory = MessageFactory(session_id, engine_id, clock, config.safety.lease_ms)
        self._operators = Operators(
            session_id,
            self._life,
            self._intake,
            self._peers,
            self._watch,
            not_armable=self._not_armable,
            warm_up=self.warm_up,
            arm_by_itself=arm_by_itself,
            sites=[one.name for one in config.sites],
            site=site,
            live_needs_confirmation=requires_binding,
        )
        self._foreign: set[tuple[str, str]] = set()
        """Role and session of each peer that has been reported as one of another session."""
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
        """The targets as learned from their reference frames, for subscribers that join late."""
        return tuple(self._intake.targets.references)

    @property
    def images(self) -> tuple[ReferenceImage, ...]:
        """The images in which the learned targets were drawn, for subscribers and for the log."""
        return self._intake.targets.images(self._factory.session_id)

    @property
    def stale_at_ns(self) -> int | None:
        """When the present beam-on ends unless a newer frame arrives; None while the beam is held."""
        if self._decision.state is not GateState.ON:
            return None
        return min(self._intake.targets.acquired_ns, default=0) + self._limits.stale_ns

    @property
    def frame_interval_ns(self) -> int:
        """Declared time between frames; 0 if it is not known."""
        return self._intake.stream.frame_interval_ns

    @property
    def is_recorded(self) -> bool:
        """Whether what is decided from now on will be in the log, where it has to be."""
        return self._peers.are_recorded

    @property
    def is_timed(self) -> bool:
        """Whether frames come at set times; where the source waits for answers instead, each frame must be decided."""
        return self._intake.stream.pacing.is_timed

    def warm_up(self) -> None:
        """Compile and load everything that `step` needs; the engine is READY afterwards.

        Raises
        ------
        TrackerFault
            If the tracker fails; the engine has latched, and stays so until it can be warmed up.
        """
        try:
            self._intake.targets.warm_up()
        except TrackerFault as error:
            self._latch(HoldReason(GateReason.TRACKER_FAULT, str(error)))
            raise
        self._life.apply(ArmingEvent.WARMED_UP)

    # ---- the stream -------------------------------------------------------------------------------------------------

    def open_stream(self, stream: StreamInfo) -> list[Message]:
        """Accept a source's declaration of its stream. The first one is binding; a later one that differs latches.

        One that differs only in peer or series latches too, and binds from then on: an operator may go on with it.
        """
        if stream.session_id != self._factory.session_id:
            return self._latch(other_session("the declared stream", stream.session_id, self._factory.session_id))
        declared = self._intake.stream.declared
        if declared is None:
            self._intake.stream.declare(stream)
            self._limits = decision_limits(self._config, stream)
            source = f"{stream.source} ({stream.source_kind})"
            opened = f"{source}: {stream.description}" + (f"; from {stream.origin}" if stream.peer else "")
            messages: list[Message] = [self._factory.event("info", "stream_opened", opened)]
            if stream.acquired_meaning is StampMeaning.ARRIVAL:
                messages.append(self._factory.event("warning", ARRIVAL_TIME, f"{stream.source}: {ARRIVAL_TIME_MEANS}"))
            if self._operators.arm_by_itself and stream.source_kind is SourceKind.LIVE:
                text = f"{stream.source} is live; only recordings and phantoms arm by themselves, an operator must arm"
                messages.append(self._factory.event("warning", "request_refused", text))
            return messages
        if stream.with_origin_of(declared) != declared:
            return self._latch(HoldReason(GateReason.GEOMETRY_CHANGED, "the source declared its stream differently"))
        self._intake.stream.declared = stream
        fault = other_origin(stream, declared)
        return [] if fault is None else self._latch(fault)

    def step(self, frame: CineFrame, received_ns: int) -> StepOutcome:
        """Track every target of the frame's plane and decide.

        Parameters
        ----------
        frame
            Decoded frame.
        received_ns
            When its bytes were received, on the engine's clock.

        Raises
        ------
        RuntimeError
            If the previous frame was not finished.
        """
        decoded_ns = self._clock.stage_ns("decoded")
        missing = self._intake.missing_before(frame)
        if self._intake.process(frame, received_ns):
            self._peers.count_missing(missing)
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
        messages = [*self._check_budget(), *self._arm_unasked()]
        outcome = self._decide(new_frame=True, renewal=False)
        return StepOutcome(outcome.command, [*messages, *outcome.messages])

    def finish_frame(self) -> list[Message]:
        """Do the work on the last frame that can wait until its command has been sent.

        The frame is remembered, targets may be learned from it, and trackers may accept it as a template.

        Returns
        -------
        list of Message
            New references, estimates and accepted templates, for the log and the screen.
        """
        finished = self._intake.finish(self._factory.session_id, self._decision)
        accepted = [self._factory.event("info", "template_accepted", text) for text in finished.accepted_templates]
        return [*finished.references, *finished.estimates, *accepted]

    def warm_caches(self, frame: CineFrame) -> GateCommand:
        """Repeat the step on the newest frame without any effect, so that the next step finds warm caches.

        Returns
        -------
        GateCommand
            The resulting command. It must not be sent.
        """
        now_ns = self._clock.now_ns()
        self._intake.warm_caches(frame, now_ns)
        decision = self._next_decision(self._hold_reason(now_ns), now_ns, new_frame=True)
        return self._command(decision, now_ns, renewal=False)

    def refuse(self, sentence: str) -> StepOutcome:
        """Hold because a message could not be trusted, until the next good frame."""
        self.counters["refused"] += 1
        self._peers.count_skipped(1)
        self._intake.refuse(HoldReason(GateReason.MESSAGE_REFUSED, sentence[:300]))
        outcome = self._decide(new_frame=False, renewal=False)
        event = self._factory.event("warning", GateReason.MESSAGE_REFUSED, sentence)
        return StepOutcome(outcome.command, [*outcome.messages, event])

    def skip(self, frames: int) -> None:
        """Count frames that were skipped in favour of a newer one."""
        self.counters["skipped"] += frames
        self._peers.count_skipped(frames)

    def close_stream(self, end: StreamEnd) -> StepOutcome:
        """Hold because the source has ended its stream; the end of another session's stream latches."""
        if end.session_id != self._factory.session_id:
            return self._latch_at_once(other_session("the end of a stream", end.session_id, self._factory.session_id))
        self._intake.fault = HoldReason(GateReason.STREAM_ENDED, end.why)
        self._life.apply(ArmingEvent.STREAM_ENDED)
        return self._decide(new_frame=False, renewal=False)

    # ---- time, peers, operators -------------------------------------------------------------------------------------

    def tick(self) -> StepOutcome:
        """Decide again between frames: renew the lease, or hold because of a fault or a stale frame."""
        return self._decide(new_frame=False, renewal=True)

    def observe_beam(self, status: BeamStatus) -> list[Message]:
        """Record a status report of the beam interface. One of another session counts for nothing; it is told once."""
        if status.session_id != self._factory.session_id:
            return self._tell_once("beam interface", status.session_id)
        self._peers.observe_beam(status, self._clock.now_ns())
        return []

    def observe_recorder(self, heartbeat: Heartbeat) -> list[Message]:
        """Record a heartbeat of the recorder. One of another session counts for nothing; it is told once."""
        if heartbeat.session_id != self._factory.session_id:
            return self._tell_once("recorder", heartbeat.session_id)
        self._peers.observe_recorder(heartbeat, self._clock.now_ns())
        return []

    def _tell_once(self, role: str, its_session: str) -> list[Message]:
        if (role, its_session) in self._foreign or len(self._foreign) >= MAX_FOREIGN_PEERS:
            return []
        self._foreign.add((role, its_session))
        fault = other_session(f"a {role}", its_session, self._factory.session_id)
        return [self._factory.event("warning", "other_session", f"{fault.detail}; its messages count for nothing")]

    def latch_internal_error(self, sentence: str) -> StepOutcome:
        """Latch because of an error inside the engine. Unfinished work on the last frame is dropped."""
        self._intake.drop_unfinished()
        return self._latch_at_once(HoldReason(GateReason.INTERNAL_ERROR, sentence[:300]))

    def stop(self, reason: GateReason = GateReason.STOPPING) -> GateCommand:
        """Disarm, and return the last command: hold, because this engine stops, or the session with it."""
        self._life.apply(ArmingEvent.DISARM)
        why = self._intake.fault = HoldReason(reason, CONSEQUENCES[reason].words)
        now_ns = self._clock.now_ns()
        self._decision = self._next_decision(why, now_ns, new_frame=False)
        self._command_sequence += 1
        return self._command(self._decision, now_ns, renewal=False)

    def control(self, request: ControlRequest) -> tuple[ControlReply, list[Message]]:
        """Carry out an operator's request, or refuse it with a reason."""
        asked = " ".join(filter(None, (request.action, request.site, "by", request.operator)))
        refused = self._operators.carry_out(request)
        if refused is not None:
            text = f"{asked} refused: {refused}"
            event = self._factory.event("warning", "request_refused", text)
            return self._factory.reply(self.state, text, accepted=False), [event]
        text = f"{asked}: {self.state}" + (f" ({request.why})" if request.why else "")
        events: list[Message] = []
        if request.action != "status":
            events.append(self._factory.event("info", request.action, text))
        elif (declared := self._intake.stream.declared) is not None and declared.peer:
            text += f"; frames come from {declared.origin}"
        return self._factory.reply(self.state, text, accepted=True), events

    # ---- the decision -----------------------------------------------------------------------------------------------

    def _check_budget(self) -> list[Message]:
        """Count a decision that took too long. It holds the beam if the source sets the pace of the frames."""
        over = None if self._watch is None else self._watch.observe(self._frame_sequence, self._stamps)
        if over is None:
            return []
        self.counters["over_budget"] += 1
        if self._config.safety.hold_over_budget and self._intake.stream.pacing.is_timed:
            self._intake.fault = self._intake.fault or over
        return [self._factory.event("warning", over.reason, over.detail)]

    def _arm_unasked(self) -> list[Message]:
        armed = self._operators.arm_unasked(self._clock.now_ns() - self._stamps.acquired_ns)
        return [self._factory.event("info", "armed", armed)] if armed else []

    def _not_armable(self) -> str | None:
        """Return why the engine cannot be armed now, or None."""
        latched_by, needed = self._life.latched_by, self._config.safety.arm_good_frames
        if latched_by is not None:
            return f"latched by {latched_by.reason}; acknowledge it first"
        reason = self._hold_reason(self._clock.now_ns())
        if self._intake.healthy_in_a_row < needed:
            text = f"{self._intake.healthy_in_a_row} contiguous good frames, {needed} are needed"
            return text if reason is None else f"{text}; {reason.detail}"
        return None if reason is None else reason.detail

    def _hold_reason(self, now_ns: int) -> HoldReason | None:
        """Return the most serious reason to hold that does not depend on the targets' positions, or None."""
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
        """Return the decision that follows from the present state, without changing that state."""
        views = self._intake.targets.views(now_ns)
        return decide(self.state, reason, views, self._limits, self._decision, now_ns, new_frame=new_frame)

    def _latch_at_once(self, reason: HoldReason) -> StepOutcome:
        """Latch, and return the hold that follows."""
        messages = self._latch(reason)
        outcome = self._decide(new_frame=False, renewal=False)
        return StepOutcome(outcome.command, [*outcome.messages, *messages])

    def _latch(self, reason: HoldReason) -> list[Message]:
        if not self._life.latch(reason):
            return []
        self._operators.withdraw()
        return [self._factory.event("fault", reason.reason, f"latched: {reason.detail}")]

    def _command(self, decision: GateDecision, decided_ns: int, *, renewal: bool) -> GateCommand:
        return self._factory.command(
            decision,
            decided_ns,
            number=self._command_sequence,
            state=self.state,
            frame_sequence=self._frame_sequence,
            renewal=renewal,
            source_kind=self._intake.stream.source_kind,
            pacing=self._intake.stream.pacing,
            stamps=self._stamps,
            interface_id=self._peers.interface_id,
        )
