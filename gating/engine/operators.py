"""What operators may ask of the engine, and what permits it to arm without one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gating.decision.arming import ArmingEvent
from gating.engine.budget import DecisionWatch
from gating.engine.intake import FrameIntake
from gating.engine.lifecycle import Lifecycle
from gating.engine.peers import PeerMonitor
from gating.messages import ControlRequest, EngineState, SourceKind
from gating.stream.stream import other_session
from gating.tracking.checked_tracker import TrackerFault


class Operators:
    """Carries out the requests of operators.

    Parameters
    ----------
    session_id
        The session of the engine; requests for any other are refused.
    life, intake, peers, watch
        Parts of the engine.
    not_armable
        Returns why the engine cannot be armed now, or None.
    warm_up
        Warms up the engine, and raises `TrackerFault` where its tracker fails.
    arm_by_itself
        As for `Engine`.
    sites, site
        Names of the sites of the session, and which of them this engine treats.
    live_needs_confirmation
        Whether an operator who arms a live source must first have confirmed where the contour is.

    Attributes
    ----------
    arm_by_itself
        Whether the engine still arms without an operator; nobody gives that back once it has been taken.
    confirmed_by
        Who has confirmed that the contour is where it should be, in this life of the engine and since its last latch;
        empty if nobody has. Every target has then been learned, and no target is learned twice.
    """

    def __init__(
        self,
        session_id: str,
        life: Lifecycle,
        intake: FrameIntake,
        peers: PeerMonitor,
        watch: DecisionWatch | None,
        *,
        not_armable: Callable[[], str | None],
        warm_up: Callable[[], None],
        arm_by_itself: bool,
        sites: Sequence[str] = (),
        site: str = "",
        live_needs_confirmation: bool = True,
    ) -> None:
        self._session_id = session_id
        self._life, self._intake, self._peers, self._watch = life, intake, peers, watch
        self._not_armable, self._warm_up = not_armable, warm_up
        self._sites, self._site = sites, site
        self._live_needs_confirmation = live_needs_confirmation
        self.arm_by_itself = arm_by_itself
        self.confirmed_by = ""

    def carry_out(self, request: ControlRequest) -> str | None:
        """Carry out a request; return why it is refused, or None."""
        if request.session_id != self._session_id:
            return other_session("the request", request.session_id, self._session_id).detail
        reasoned = bool(request.why.strip())
        match request.action:
            case "confirm":
                return self._confirm(request.operator)
            case "arm":
                return self._not_armable() or self._unconfirmed() or self._life.apply(ArmingEvent.ARM)
            case "disarm":
                return self._disarm()
            case "acknowledge":
                return self._acknowledge() if reasoned else "a reason is needed"
            case "site":
                return self._leave_for(request.site)
            case "accept_shift":
                return None if reasoned else "the text of the proposed couch shift is needed"
            case "mark":
                return None if reasoned else "the text of the mark is needed"
            case _:
                return None

    def arm_unasked(self, age_ns: int) -> str:
        """Arm without an operator, unless the stream is live, or the engine still catches up with its frames.

        Parameters
        ----------
        age_ns
            Of the newest frame, from its acquisition.

        Returns
        -------
        str
            What is to be told; empty if the engine has not been armed.
        """
        if not self.arm_by_itself or self._life.state is not EngineState.READY or self._not_armable() is not None:
            return ""
        stream = self._intake.stream
        if stream.source_kind is SourceKind.LIVE or stream.is_late(age_ns):
            return ""
        self._life.apply(ArmingEvent.ARM)
        seen_by = self.confirmed_by or "nobody"
        return f"armed by itself: the source is a recording or a phantom; {seen_by} has confirmed the contour"

    def withdraw(self) -> None:
        """Take back what was given before a latch: arming by itself, and the confirmation of the contour."""
        self.arm_by_itself, self.confirmed_by = False, ""

    def _confirm(self, operator: str) -> str | None:
        """Note who has seen the contour where it should be; only one that is followed in a good image can be seen."""
        if self._life.latched_by is not None:
            return f"latched by {self._life.latched_by.reason}; acknowledge it first"
        if self._intake.hold_reason is not None:
            return self._intake.hold_reason.detail
        if not self._intake.targets.are_learned:
            return "not every target has been found yet"
        self.confirmed_by = operator
        return None

    def _unconfirmed(self) -> str | None:
        is_live = self._intake.stream.source_kind is SourceKind.LIVE
        if self.confirmed_by or not (is_live and self._live_needs_confirmation):
            return None
        return "nobody has confirmed where the contour is: look at it, then `cinegate control confirm --operator NAME`"

    def _disarm(self) -> str | None:
        refused = self._life.apply(ArmingEvent.DISARM)
        self.arm_by_itself &= refused is not None
        return refused

    def _leave_for(self, site: str) -> str | None:
        """Disarm for good: another site gets an engine of its own. A latch is not left behind that way."""
        if self._life.latched_by is not None:
            return f"latched by {self._life.latched_by.reason}; acknowledge it first"
        if site not in self._sites:
            return f"{site!r} is no site of this session; its sites are {', '.join(self._sites) or 'none'}"
        if site == self._site:
            return f"{site} is the site that is being treated"
        self._life.apply(ArmingEvent.DISARM)
        self.withdraw()
        return None

    def _acknowledge(self) -> str | None:
        if self._life.latched_by is not None and not self._life.is_warm:
            try:
                self._warm_up()
            except TrackerFault as error:
                return str(error)
        refused = self._life.acknowledge()
        if refused is None:
            self._intake.forget_faults()
            self._peers.acknowledge_losses()
            if self._watch is not None:
                self._watch.forget()
        return refused
