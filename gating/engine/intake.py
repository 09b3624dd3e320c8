"""Frames as they come in: checked, shown to the trackers, and remembered once their command is out. Pure."""

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
    """What a frame led to beside its command: references learned from it, estimates, and templates accepted."""

    references: Sequence[TargetReference]
    estimates: Sequence[TargetEstimate]
    accepted_templates: Sequence[str]


class FrameIntake:
    """The stream and the targets that are followed in it.

    Parameters
    ----------
    config, targets, make_tracker : as of `Engine`.

    Attributes
    ----------
    stream : what the source has declared, and the frames so far.
    targets : learned and followed.
    fault : what is wrong with the newest frame or message; None if nothing is.
    unlearned : why the targets are not learned yet, or cannot be; None once they are.
    healthy_in_a_row : frames without a fault since the last one with a fault.
    """

    def __init__(self, config: Config, targets: Sequence[TargetSpec], make_tracker: Callable[[], Tracker]) -> None:
        self.stream = Stream(config.health)
        self.targets = TargetSet(targets, make_tracker, config.gating, config.prediction)
        self.fault: HoldReason | None = None
        self.unlearned: HoldReason | None = None
        self.healthy_in_a_row = 0
        self._unfinished: tuple[CineFrame, int] | None = None

    @property
    def hold_reason(self) -> HoldReason | None:
        """Why the newest frame forbids beam, wherever the targets are; None if it does not."""
        return self.fault or self.unlearned

    def missing_before(self, frame: CineFrame) -> int:
        """Return how many frames are missing between the newest one that was tracked and this one."""
        return self.stream.missing_before(frame.header)

    def take(self, frame: CineFrame, received_ns: int) -> bool:
        """Check a frame, and show it to the trackers unless its fault would mislead them.

        Returns
        -------
        Whether the trackers saw it; then `finish` has something to do.

        Raises
        ------
        RuntimeError
            If the frame before was not finished.
        """
        if self._unfinished is not None:
            raise RuntimeError("the last frame was not finished: call finish_frame() after each step()")
        header = frame.header
        fault = self.fault = self.stream.check(frame, received_ns)
        self.healthy_in_a_row = self.healthy_in_a_row + 1 if fault is None else 0
        if fault is not None and fault.reason in NOT_TRACKED:
            if fault.reason is GateReason.FRAME_REFUSED:
                self.stream.pass_over(header, received_ns)
            return False
        self.targets.update(frame, self.stream.elapsed_s(header))
        if self.unlearned is None and not self.targets.knows(header.plane):
            text = f"the targets are being learned from frame {header.sequence}"
            self.unlearned = HoldReason(GateReason.NOT_READY, text)
        self._unfinished = frame, received_ns
        return True

    def finish(self, session_id: str, decision: GateDecision) -> FinishedFrame:
        """Remember the newest frame, learn targets from it, and let the trackers do what could wait."""
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
        """Take a message that could not be trusted for the newest frame."""
        self.fault = fault
        self.healthy_in_a_row = 0

    def drop_unfinished(self) -> None:
        """Forget what the newest frame has left to do."""
        self._unfinished = None

    def forget_faults(self) -> None:
        """Start anew after an operator's acknowledgement; the stream's geometry stays bound."""
        self.fault = self.unlearned = None
        self.healthy_in_a_row = 0
        self.stream.forget()

    def warm_caches(self, frame: CineFrame, now_ns: int) -> None:
        """Go through `take` once more for the newest frame, without consequences."""
        self.stream.warm_caches(frame, now_ns)
        self.targets.warm_caches(frame.header.plane)
