"""What the engine hears of beam interface and recorder, and whether it may rely on them. Pure: time is an argument."""

from __future__ import annotations

from typing import Protocol

from gating.decision.reasons import GateReason, HoldReason
from gating.messages import BeamStatus, Heartbeat
from gating.settings.config import RecordingSettings

BEAM_SILENCE_NS = 100_000_000
"""The beam interface reports every 20 ms; five in a row missing is silence."""


class PeerMonitor(Protocol):
    """What the engine is told of beam interface and recorder, and whether it may rely on them."""

    def hear_beam(self, status: BeamStatus, now_ns: int) -> None:
        """Take the beam interface's confirmation."""
        ...

    def hear_recorder(self, heartbeat: Heartbeat, now_ns: int) -> None:
        """Take the recorder's sign of life."""
        ...

    def pass_over(self, frames: int) -> None:
        """Count frames that the engine received and did not work on: the recorder must have them."""
        ...

    def count_gap(self, frames: int) -> None:
        """Count frames between two that the engine worked on; those not passed over never reached it."""
        ...

    def excuse_losses(self) -> None:
        """Take what the log has lost so far as acknowledged; only what it loses from now on is a fault again."""
        ...

    def hold_reason(self, now_ns: int) -> HoldReason | None:
        """Return why the engine cannot rely on its peers, or None."""
        ...


class Peers:
    """The newest words of beam interface and recorder, and the frames that neither recorder nor engine received.

    Parameters
    ----------
    engine_id : that the beam interface must follow.
    recording : whether a recorder is required, and how long it may say nothing.
    """

    def __init__(self, engine_id: str, recording: RecordingSettings) -> None:
        self._engine_id = engine_id
        self._silence_ns = round(recording.max_silence_ms * 1e6)
        self._recorder_required = recording.required
        self._beam: tuple[BeamStatus | None, int] = (None, 0)
        self._recorder: tuple[Heartbeat | None, int] = (None, 0)
        self._missing_frames = self._passed_over = 0

    def hear_beam(self, status: BeamStatus, now_ns: int) -> None:
        """Take the beam interface's confirmation."""
        self._beam = (status, now_ns)

    def hear_recorder(self, heartbeat: Heartbeat, now_ns: int) -> None:
        """Take the recorder's sign of life."""
        self._recorder = (heartbeat, now_ns)

    def pass_over(self, frames: int) -> None:
        """Count frames that the engine received and did not work on: the recorder must have them."""
        self._passed_over += frames

    def count_gap(self, frames: int) -> None:
        """Count frames between two that the engine worked on; those not passed over never reached it."""
        self._missing_frames += max(0, frames - self._passed_over)
        self._passed_over = 0

    def excuse_losses(self) -> None:
        """Take what the log has lost so far as acknowledged; only what it loses from now on is a fault again."""
        heartbeat, _ = self._recorder
        if heartbeat is not None:
            self._missing_frames = max(self._missing_frames, heartbeat.counters.get("frames_lost", 0))

    def hold_reason(self, now_ns: int) -> HoldReason | None:
        """Return why the engine cannot rely on its peers, or None."""
        reason = check_beam(*self._beam, now_ns, self._engine_id)
        if reason is None and self._recorder_required:
            reason = check_recorder(*self._recorder, now_ns, self._silence_ns, missing_frames=self._missing_frames)
        return reason


class GivenPeers:
    """No beam interface and no recorder: the engine runs alone, or with what a log tells of them.

    Attributes
    ----------
    given : why the beam is held on account of the peers; None while all is well.
    """

    given: HoldReason | None = None

    def hear_beam(self, status: BeamStatus, now_ns: int) -> None:
        """Nobody is listened to."""

    def hear_recorder(self, heartbeat: Heartbeat, now_ns: int) -> None:
        """Nobody is listened to."""

    def pass_over(self, frames: int) -> None:
        """Nothing is recorded, so nothing can be missing."""

    def count_gap(self, frames: int) -> None:
        """Nothing is recorded, so nothing can be missing."""

    def excuse_losses(self) -> None:
        """Nothing is recorded, so nothing can be missing."""

    def hold_reason(self, now_ns: int) -> HoldReason | None:
        """Return what was given."""
        return self.given


def check_recorder(
    heartbeat: Heartbeat | None, received_ns: int, now_ns: int, max_silence_ns: int, *, missing_frames: int = 0
) -> HoldReason | None:
    """Return a fault unless the recorder says that it keeps up.

    A log that lost frames which the engine did see is an audit loss; `missing_frames` never reached the engine either.
    """
    if heartbeat is None or now_ns - received_ns > max_silence_ns:
        return HoldReason(GateReason.RECORDER_BEHIND, f"recorder silent for more than {max_silence_ns / 1e6:g} ms")
    if heartbeat.state == "failed":
        return HoldReason(GateReason.AUDIT_LOSS, f"recorder failed: {heartbeat.detail}")
    if heartbeat.state != "recording":
        return HoldReason(GateReason.RECORDER_BEHIND, f"recorder is {heartbeat.state}: {heartbeat.detail}")
    lost = heartbeat.counters.get("frames_lost", 0) - missing_frames
    if lost > 0:
        return HoldReason(GateReason.AUDIT_LOSS, f"session log lost {lost} frames that the engine has seen")
    return None


def check_beam(status: BeamStatus | None, received_ns: int, now_ns: int, engine_id: str = "") -> HoldReason | None:
    """Return a fault unless the beam interface is heard, hears this engine, and its line does what it was told.

    The interface repeats when the newest command that it took was sent, on this engine's clock: the time for the whole
    way there and back, without comparing clocks.
    """
    if status is None or now_ns - received_ns > BEAM_SILENCE_NS:
        return HoldReason(GateReason.BEAM_SILENT, f"beam interface silent for more than {BEAM_SILENCE_NS / 1e6:g} ms")
    if status.reason == GateReason.STOPPING:
        return HoldReason(GateReason.BEAM_SILENT, f"beam interface stops: {status.detail}")
    if status.latched:
        return HoldReason(GateReason.READ_BACK_MISMATCH, f"beam interface latched: {status.detail or status.reason}")
    if status.engine_id and status.engine_id != engine_id:
        return HoldReason(GateReason.BEAM_SILENT, f"beam interface still follows engine {status.engine_id}")
    late_ns = now_ns - status.command_sent_ns
    if status.command_sent_ns > 0 and late_ns > BEAM_SILENCE_NS:
        text = f"beam interface acknowledges a command of {late_ns / 1e6:.0f} ms ago, the limit is"
        return HoldReason(GateReason.BEAM_SILENT, f"{text} {BEAM_SILENCE_NS / 1e6:g} ms")
    return None
