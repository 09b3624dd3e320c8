"""Incoming frames: checked, tracked, and remembered once their command has been sent. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from gating.decision.decide import GateDecision
from gating.decision.reasons import NOT_TRACKED, GateReason, HoldReason
from gating.messages import CineFrame, TargetEstimate, TargetReference
from gating.settings.config import Config
from gating.stream.stream import Stream
from gating.targets.targets import TargetSet, TargetSpec
from gating.tracking.tracker import Tracker


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

    Attributes
    ----------
    stream
        The declaration of the source, and what is remembered of its frames.
    targets
        The targets, learned or still to be learned.
    fault
        Fault of the newest frame or message, or None.
    unlearned
        Why the targets have not been learned yet, or cannot be; None once they have.
    healthy_in_a_row
        Number of frames without a fault since the last fault.
    """

    def __init__(
        self, config: Config, targets: Sequence[TargetSpec], make_tracker: Callable[[], Tracker], session_id: str
    ) -> None:
        self.stream = Stream(session_id, config.health)
        self.targets = TargetSet(targets, make_tracker, config.gating, config.prediction)
        self.fault: HoldReason | None = None
        self.unlearned: HoldReason | None = None
        self.healthy_in_a_row = 0
        self._unfinished: tuple[CineFrame, int] | None = None

    @property
    def hold_reason(self) -> HoldReason | None:
        """Reason to hold that does not depend on the targets' positions, or None."""
        return self.fault or self.unlearned

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
        fault = self.fault = self.stream.check(frame, received_ns)
        self.healthy_in_a_row = self.healthy_in_a_row + 1 if fault is None else 0
        if fault is not None and fault.reason in NOT_TRACKED:
            if fault.reason is GateReason.FRAME_REFUSED:
                self.stream.remember_untracked(header, received_ns)
            return False
        self.targets.update(frame, self.stream.elapsed_s(header))
        if self.unlearned is None and not self.targets.knows(header.plane):
            text = f"the targets are being learned from frame {header.sequence}"
            self.unlearned = HoldReason(GateReason.NOT_READY, text)
        self._unfinished = frame, received_ns
        return True

    def finish(self, session_id: str, decision: GateDecision) -> FinishedFrame:
        """Remember the newest frame, learn targets from it, and let the trackers do their deferred work."""
        if self._unfinished is None:
            return FinishedFrame((), (), ())
        (frame, received_ns), self._unfinished = self._unfinished, None
        header = frame.header
        self.stream.remember(header, received_ns)
        known = len(self.targets.references)
        if not self.targets.knows(header.plane):
            self._learn(frame)
        accepted = self.targets.finish_frame(header.plane)
        estimates = self.targets.estimates(header, session_id, decision)
        return FinishedFrame(self.targets.references[known:], estimates, accepted)

    def _learn(self, frame: CineFrame) -> None:
        try:
            self.targets.learn(frame, self.stream.first_plane(frame.header))
            self.unlearned = None
        except ValueError as error:
            self.unlearned = HoldReason(GateReason.TARGET_UNUSABLE, str(error)[:300])
            self.healthy_in_a_row = 0

    def refuse(self, fault: HoldReason) -> None:
        """Set the fault of a message that could not be trusted, as if it were that of the newest frame."""
        self.fault = fault
        self.healthy_in_a_row = 0

    def drop_unfinished(self) -> None:
        """Drop the deferred work on the newest frame."""
        self._unfinished = None

    def forget_faults(self) -> None:
        """Clear all faults after an operator's acknowledgement; the stream must keep its geometry."""
        self.fault = self.unlearned = None
        self.healthy_in_a_row = 0
        self.stream.forget()

    def warm_caches(self, frame: CineFrame, now_ns: int) -> None:
        """Repeat `process` on the newest frame without any effect."""
        self.stream.warm_caches(frame, now_ns)
        self.targets.warm_caches(frame.header.plane)
