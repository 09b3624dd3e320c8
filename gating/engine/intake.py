"""Incoming frames: checked, tracked, and remembered once their command has been sent. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from gating.decision.decide import GateDecision
from gating.decision.reasons import NOT_TRACKED, GateReason, HoldReason
from gating.messages import CineFrame, FrameHeader, TargetEstimate, TargetReference
from gating.settings.config import Config
from gating.stream.stream import Stream
from gating.targets.binding import TargetNotMatched
from gating.targets.spec import TargetSpec
from gating.targets.targets import TargetSet
from gating.tracking.checked_tracker import TrackerFault
from gating.tracking.together import Together, one_by_one
from gating.tracking.tracker import Tracker

MAX_UNCERTAIN_NS: Final = 10 * 10**9


class FinishedFrame(NamedTuple):
    """Results of a frame beside its command: new references, estimates and accepted templates."""

    references: Sequence[TargetReference]
    estimates: Sequence[TargetEstimate]
    accepted_templates: Sequence[str]


class FrameIntake:
    """The stream and the targets that are tracked in it.

    Parameters
    ----------
    config, targets, make_tracker, session_id
        As for `Engine`.
    live_needs_image, together
        As for `TargetSet`.

    Attributes
    ----------
    stream
        The declaration of the source, and what is remembered of its frames.
    targets
        The targets, learned or still to be learned.
    fault
        Fault of the newest frame or message, or None.
    healthy_in_a_row
        Number of frames without a fault since the last fault.
    """

    def __init__(
        self,
        config: Config,
        targets: Sequence[TargetSpec],
        make_tracker: Callable[[], Tracker],
        session_id: str,
        *,
        live_needs_image: bool = True,
        together: Together = one_by_one,
    ) -> None:
        self.stream = Stream(session_id, config.health)
        gating, prediction = config.gating, config.prediction
        self.targets = TargetSet(
            targets, make_tracker, gating, prediction, live_needs_image=live_needs_image, together=together
        )
        self.fault: HoldReason | None = None
        self._unlearned: dict[str, HoldReason] = {}
        self.healthy_in_a_row = 0
        self._unfinished: tuple[CineFrame, int] | None = None
        self._certain_ns: int | None = None
        """Raw stamp of the newest frame without a fault; None until there is one."""

    @property
    def unlearned(self) -> HoldReason | None:
        """Why the targets of a plane have not been learned yet, or cannot be; None once they have."""
        return next(iter(self._unlearned.values()), None)

    @property
    def hold_reason(self) -> HoldReason | None:
        """Reason to hold that does not depend on the targets' positions, or None."""
        return self.fault or self.stream.frozen or self.unlearned

    def missing_before(self, frame: CineFrame) -> int:
        """Return how many frames are missing between the newest remembered one and this one."""
        return self.stream.missing_before(frame.header)

    def process(self, frame: CineFrame, received_ns: int) -> bool:
        """Check a frame, and track the targets in it unless its fault would mislead the trackers.

        Returns
        -------
        bool
            Whether the frame was tracked; if so, `finish` must follow.

        Raises
        ------
        RuntimeError
            If the previous frame was not finished.
        """
        if self._unfinished is not None:
            raise RuntimeError("the last frame was not finished: call finish_frame() after each step()")
        header = frame.header
        fault = self.fault = self._lasting(self.stream.check(frame, received_ns), header)
        self.healthy_in_a_row = self.healthy_in_a_row + 1 if fault is None else 0
        if fault is not None and fault.reason in NOT_TRACKED:
            if fault.reason is GateReason.FRAME_REFUSED:
                self.stream.remember_untracked(header, received_ns)
            return False
        try:
            self.targets.update(frame, self.stream.elapsed_s(header))
        except TrackerFault as error:
            self._refuse_tracker(error)
            self.stream.remember_untracked(header, received_ns)
            return False
        if not self.targets.knows(header.plane):
            text = f"the targets are being learned from frame {header.sequence}"
            self._unlearned.setdefault(header.plane, HoldReason(GateReason.NOT_READY, text))
        self._unfinished = frame, received_ns
        return True

    def _lasting(self, fault: HoldReason | None, header: FrameHeader) -> HoldReason | None:
        """Return the fault of a frame; stamps that were certain and have been uncertain for too long are a hard one."""
        if fault is None:
            self._certain_ns = header.acquired_ns
        elif fault.reason is GateReason.STAMP_UNCERTAIN and self._certain_ns is not None:
            for_ns = header.acquired_ns - self._certain_ns
            if for_ns > MAX_UNCERTAIN_NS:
                return HoldReason(GateReason.CLOCK_FAULT, f"stamps uncertain for {for_ns / 1e9:.0f} s: {fault.detail}")
        return fault

    def finish(self, session_id: str, decision: GateDecision) -> FinishedFrame:
        """Remember the newest frame, learn targets from it, and let the trackers do their deferred work."""
        if self._unfinished is None:
            return FinishedFrame((), (), ())
        (frame, received_ns), self._unfinished = self._unfinished, None
        header = frame.header
        self.stream.remember(frame, received_ns)
        known = len(self.targets.references)
        accepted: Sequence[str] = ()
        try:
            if not self.targets.knows(header.plane):
                self._learn(frame)
            accepted = self.targets.finish_frame(header.plane)
            if self.stream.stands_still(header.plane):
                self.targets.forget_motion(header.plane)
        except TrackerFault as error:
            self._refuse_tracker(error)
        estimates = self.targets.estimates(header, session_id, decision)
        return FinishedFrame(self.targets.references[known:], estimates, accepted)

    def _learn(self, frame: CineFrame) -> None:
        plane = frame.header.plane
        try:
            self.targets.learn(frame, self.stream.first_plane(frame.header))
            self._unlearned.pop(plane, None)
        except TargetNotMatched as error:
            self._keep_unlearned(plane, GateReason.TARGET_NOT_MATCHED, error)
        except ValueError as error:
            self._keep_unlearned(plane, GateReason.TARGET_UNUSABLE, error)

    def _keep_unlearned(self, plane: str, reason: GateReason, error: ValueError) -> None:
        self._unlearned[plane] = HoldReason(reason, str(error)[:300])
        self.healthy_in_a_row = 0

    def _refuse_tracker(self, error: TrackerFault) -> None:
        self.refuse(HoldReason(GateReason.TRACKER_FAULT, str(error)[:300]))

    def refuse(self, fault: HoldReason) -> None:
        """Set the fault of a message that could not be trusted, as if it were that of the newest frame."""
        self.fault = fault
        self.healthy_in_a_row = 0

    def drop_unfinished(self) -> None:
        """Drop the deferred work on the newest frame."""
        self._unfinished = None

    def forget_faults(self) -> None:
        """Clear all faults after an operator's acknowledgement; the stream must keep its geometry."""
        self.fault = self._certain_ns = None
        self._unlearned.clear()
        self.healthy_in_a_row = 0
        self.stream.forget()

    def warm_caches(self, frame: CineFrame, now_ns: int) -> None:
        """Repeat `process` on the newest frame without any effect."""
        self.stream.warm_caches(frame, now_ns)
        self.targets.warm_caches(frame)
