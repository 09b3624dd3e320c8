"""Whether the engine may rely on the beam interface and the recorder. Pure: time is an argument."""

from __future__ import annotations

from typing import Protocol

from gating.decision.reasons import GateReason, HoldReason
from gating.messages import BeamStatus, Heartbeat
from gating.settings.config import RecordingSettings

BEAM_SILENCE_NS = 100_000_000
"""The beam interface reports every 20 ms; it counts as silent after five missing reports."""


class PeerMonitor(Protocol):
    """Monitors the beam interface and the recorder, and decides whether the engine may rely on them."""

    @property
    def interface_id(self) -> str:
        """The beam interface that was heard last; empty if none was."""
        ...

    @property
    def are_recorded(self) -> bool:
        """Whether what the engine says from now on will be in the log, where it has to be."""
        ...

    def observe_beam(self, status: BeamStatus, now_ns: int) -> None:
        """Record a status report of the beam interface."""
        ...

    def observe_recorder(self, heartbeat: Heartbeat, now_ns: int) -> None:
        """Record a heartbeat of the recorder."""
        ...

    def count_skipped(self, frames: int) -> None:
        """Count frames that the engine received but skipped; the recorder must have them."""
        ...

    def count_missing(self, frames: int) -> None:
        """Count the frames missing between two processed ones; those that were not skipped never reached the engine."""
        ...

    def acknowledge_losses(self) -> None:
        """Acknowledge the frames that the log has lost so far; only further losses are faults."""
        ...

    def hold_reason(self, now_ns: int) -> HoldReason | None:
        """Return why the engine cannot rely on its peers, or None."""
        ...


class Peers:
    """Keeps the newest reports of the peers, and counts the frames that the log may lack.

    These are frames that reached neither recorder nor engine, frames lost before this engine, and acknowledged ones.

    Parameters
    ----------
    engine_id
        The engine that the beam interface must follow.
    recording
        Whether a recorder is required, and how long it may be silent.
    """

    def __init__(self, engine_id: str, recording: RecordingSettings) -> None:
        self._engine_id = engine_id
        self._silence_ns = round(recording.max_silence_ms * 1e6)
        self._recorder_required = recording.required
        self._beam: tuple[BeamStatus | None, int] = (None, 0)
        self._recorder: tuple[Heartbeat | None, int] = (None, 0)
        self._missing_frames = self._skipped_frames = 0
        self._known_lost = 0
        """What the recorder had lost before the newest frame, so that it is known whether the engine has them."""

    @property
    def interface_id(self) -> str:
        """The beam interface that was heard last; empty if none was."""
        status = self._beam[0]
        return "" if status is None else status.interface_id

    @property
    def are_recorded(self) -> bool:
        """Whether what the engine says from now on will be in the log, where it has to be."""
        heartbeat, _ = self._recorder
        return not self._recorder_required or (heartbeat is not None and unheard_channels(heartbeat) == 0)

    def observe_beam(self, status: BeamStatus, now_ns: int) -> None:
        """Record a status report of the beam interface."""
        self._beam = (status, now_ns)

    def observe_recorder(self, heartbeat: Heartbeat, now_ns: int) -> None:
        """Record a heartbeat of the recorder.

        What the log had lost before this engine first heard the recorder is not this engine's loss. A recorder that
        starts later begins with a count of 0, and all that it loses is.
        """
        before, lost = self._recorder[0], heartbeat.counters.get("frames_lost", 0)
        if before is None:
            self._missing_frames = max(self._missing_frames, lost)
        elif restarted(heartbeat, before):
            self._missing_frames = self._known_lost = 0
        self._recorder = (heartbeat, now_ns)

    def count_skipped(self, frames: int) -> None:
        """Count frames that the engine received but skipped; the recorder must have them."""
        self._skipped_frames += frames

    def count_missing(self, frames: int) -> None:
        """Count the frames missing between two processed ones; those that were not skipped never reached the engine."""
        self._missing_frames += max(0, frames - self._skipped_frames)
        self._skipped_frames = 0
        self._known_lost = self._lost

    @property
    def _lost(self) -> int:
        heartbeat, _ = self._recorder
        return 0 if heartbeat is None else heartbeat.counters.get("frames_lost", 0)

    def acknowledge_losses(self) -> None:
        """Acknowledge the frames that the log has lost so far; only further losses are faults."""
        self._missing_frames = max(self._missing_frames, self._lost)

    def hold_reason(self, now_ns: int) -> HoldReason | None:
        """Return why the engine cannot rely on its peers, or None."""
        reason = check_beam(*self._beam, now_ns, self._engine_id)
        if reason is None and self._recorder_required:
            excused = self._missing_frames + self._lost - self._known_lost
            reason = check_recorder(*self._recorder, now_ns, self._silence_ns, missing_frames=excused)
        return reason


class OfflinePeers:
    """Replaces beam interface and recorder offline, where the engine runs alone or replays a log.

    Attributes
    ----------
    fault
        Fault of a peer as the log has it; None while there is none.
    """

    fault: HoldReason | None = None
    interface_id = ""
    are_recorded = True

    def observe_beam(self, status: BeamStatus, now_ns: int) -> None:
        """Do nothing: offline there is no peer."""

    def observe_recorder(self, heartbeat: Heartbeat, now_ns: int) -> None:
        """Do nothing: offline there is no peer."""

    def count_skipped(self, frames: int) -> None:
        """Do nothing: offline nothing is recorded, so nothing can be lost."""

    def count_missing(self, frames: int) -> None:
        """Do nothing: offline nothing is recorded, so nothing can be lost."""

    def acknowledge_losses(self) -> None:
        """Do nothing: offline nothing is recorded, so nothing can be lost."""

    def hold_reason(self, now_ns: int) -> HoldReason | None:
        """Return the fault that the log has, or None."""
        return self.fault


def unheard_channels(heartbeat: Heartbeat) -> int:
    """Return how many of frames, commands and telemetry a recorder has not heard yet; earlier ones do not tell."""
    return heartbeat.counters.get("unheard_channels", 0)


def restarted(heartbeat: Heartbeat, before: Heartbeat) -> bool:
    """Return whether a heartbeat is of another recorder than the one before: its counts began anew."""
    frames, earlier = (one.counters.get("frames", 0) for one in (heartbeat, before))
    return heartbeat.process_id != before.process_id or frames < earlier


def check_recorder(
    heartbeat: Heartbeat | None, received_ns: int, now_ns: int, max_silence_ns: int, *, missing_frames: int = 0
) -> HoldReason | None:
    """Return a fault unless the recorder reports that it keeps up.

    It is an audit loss if the log lost frames that the engine received. The `missing_frames` did not reach the engine
    either, so they are not counted.
    """
    if heartbeat is None or now_ns - received_ns > max_silence_ns:
        return HoldReason(GateReason.RECORDER_BEHIND, f"recorder silent for more than {max_silence_ns / 1e6:g} ms")
    if heartbeat.state == "failed":
        return HoldReason(GateReason.AUDIT_LOSS, f"recorder failed: {heartbeat.detail}")
    if heartbeat.state != "recording":
        return HoldReason(GateReason.RECORDER_BEHIND, f"recorder is {heartbeat.state}: {heartbeat.detail}")
    if unheard := unheard_channels(heartbeat):
        text = f"recorder has heard nothing yet on {unheard} of the channels of frames, commands and telemetry"
        return HoldReason(GateReason.RECORDER_BEHIND, text)
    lost = heartbeat.counters.get("frames_lost", 0) - missing_frames
    if lost > 0:
        return HoldReason(GateReason.AUDIT_LOSS, f"session log lost {lost} frames that the engine has seen")
    return None


def check_beam(status: BeamStatus | None, received_ns: int, now_ns: int, engine_id: str = "") -> HoldReason | None:
    """Return a fault unless the beam interface reports, receives this engine's commands, and its line obeys them.

    The interface echoes when its newest command was sent, on this engine's clock. The age of that stamp is the
    round-trip time, and no two clocks have to be compared.
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
