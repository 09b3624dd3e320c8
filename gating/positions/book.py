"""What is known of every structure: estimates and gate commands in, positions out. Pure; time is an argument."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from msgspec.structs import replace

from gating.decision.reasons import FOLLOWABLE, PositionReason
from gating.messages import (
    UNKNOWN_AXES,
    AxesMm,
    AxesMs,
    GateCommand,
    Pacing,
    SessionHeader,
    SourceKind,
    TargetEstimate,
    TargetPosition,
    TargetReference,
)
from gating.positions.fusion import fuse, shown_axes
from gating.positions.plane_track import PlaneTrack
from gating.settings.config import Config
from gating.tracking.tracker import TrackStatus

_REMEMBERED: Final = 64
"""Frames whose commands, or estimates, wait for the other: the two come by different sockets."""


class Refusal(NamedTuple):
    """Why a position is not valid."""

    reason: str
    detail: str = ""


class _Structure:
    def __init__(self, name: str, centre_mm: tuple[float, float, float]) -> None:
        self.name, self.centre_mm = name, centre_mm
        self.planes: dict[str, PlaneTrack] = {}
        self.reference_mm: AxesMm = UNKNOWN_AXES
        self.newest: TargetEstimate | None = None
        self.announced = True
        """Whether a position from the newest frame has been made."""


class PositionBook:
    """The positions of a session's structures.

    Parameters
    ----------
    config
        Settings of the position stream, least confidence and lease.
    session_id, publisher_id
        Stand in every position.
    clock_name
        Name of this process's clock. Ages are known only if the engine's clock is the same.
    """

    def __init__(self, config: Config, session_id: str, publisher_id: str, clock_name: str) -> None:
        self._config, self._session_id, self._publisher_id = config, session_id, publisher_id
        self._clock_name = clock_name
        self._sequence = -1
        self._command: GateCommand | None = None
        self._engine_clock = ""
        self._begin("")

    def _begin(self, engine_id: str) -> None:
        self._engine_id = engine_id
        self._structures: dict[str, _Structure] = {}
        self._of_target: dict[str, tuple[_Structure, str]] = {}
        self._acquired_ns: OrderedDict[int, int] = OrderedDict()
        self._waiting: OrderedDict[int, list[TargetEstimate]] = OrderedDict()

    def hear(self, message: object) -> bool:
        """Take a message of the engine; return whether it brings a position from a new frame."""
        match message:
            case SessionHeader(session_id=self._session_id):
                if message.engine_id != self._engine_id:
                    self._begin(message.engine_id)
                self._engine_clock = message.clock
            case TargetReference(session_id=self._session_id):
                self._learn(message)
            case GateCommand(session_id=self._session_id):
                return self._hear_command(message)
            case TargetEstimate(session_id=self._session_id):
                return self._hear_estimate(message)
        return False

    def positions(self, now_ns: int) -> list[TargetPosition]:
        """Return the position of each structure now; one without coordinates where it must not be followed."""
        return [self._position(structure, now_ns) for structure in self._structures.values()]

    def _learn(self, reference: TargetReference) -> None:
        if reference.image_orientation is None or reference.target in self._of_target:
            return
        name = reference.structure or reference.target
        structure = self._structures.setdefault(name, _Structure(name, reference.centre_mm))
        structure.planes[reference.plane] = PlaneTrack(reference.image_orientation, self._config.positions)
        shown = shown_axes([plane.axes for plane in structure.planes.values()])
        first = structure.reference_mm
        x, y, z = (
            (old if old is not None else new) if is_shown else None
            for old, new, is_shown in zip(first, reference.centre_mm, shown, strict=True)
        )
        structure.reference_mm = (x, y, z)
        self._of_target[reference.target] = structure, reference.plane

    def _hear_command(self, command: GateCommand) -> bool:
        self._command = command
        known = command.engine_id != self._engine_id or command.frame_sequence in self._acquired_ns
        if known or command.frame_sequence < 0:
            return False
        self._acquired_ns[command.frame_sequence] = command.stamps.acquired_ns
        while len(self._acquired_ns) > _REMEMBERED:
            self._acquired_ns.popitem(last=False)
        waiting = self._waiting.pop(command.frame_sequence, [])
        return sum(self._hear_estimate(estimate) for estimate in waiting) > 0

    def _hear_estimate(self, estimate: TargetEstimate) -> bool:
        acquired_ns = self._acquired_ns.get(estimate.frame_sequence)
        if acquired_ns is None:
            self._waiting.setdefault(estimate.frame_sequence, []).append(estimate)
            while len(self._waiting) > _REMEMBERED:
                self._waiting.popitem(last=False)
            return False
        if estimate.target not in self._of_target:
            return False
        structure, plane = self._of_target[estimate.target]
        structure.newest, structure.announced = estimate, False
        if estimate.status == TrackStatus.TRACKED:
            structure.planes[plane].observe(estimate.acquired_ns, acquired_ns, estimate.position_mm)
        return True

    def _refusal(self, structure: _Structure, now_ns: int) -> Refusal | None:
        command, seen = self._command, structure.newest
        if command is None or seen is None:
            return Refusal(PositionReason.STARTING, "no frame has shown the structure yet")
        if command.engine_id != self._engine_id:
            return Refusal(
                PositionReason.OTHER_ENGINE,
                f"{command.engine_id!r} commands, the targets are those of {self._engine_id!r}",
            )
        if self._engine_clock != self._clock_name:
            return Refusal(PositionReason.OTHER_CLOCK, f"the engine's clock is {self._engine_clock!r}, not this host's")
        lease_ms, silent_ms = self._config.safety.lease_ms, (now_ns - command.stamps.sent_ns) / 1e6
        if not 0 <= silent_ms <= lease_ms:
            return Refusal(
                PositionReason.ENGINE_SILENT,
                f"newest command is {silent_ms:.0f} ms old, the limit is {lease_ms:.0f} ms",
            )
        if command.reason not in FOLLOWABLE:
            return Refusal(command.reason, command.detail)
        limit = self._config.tracking.min_confidence
        if seen.status != TrackStatus.TRACKED or not seen.confidence >= limit:
            words = seen.detail or f"{seen.status}, confidence {seen.confidence:.2f}, the limit is {limit:.2f}"
            return Refusal(PositionReason.TARGET_NOT_TRACKED, words)
        return None

    def _position(self, structure: _Structure, now_ns: int) -> TargetPosition:
        """Return the position of a structure, or why there is none."""
        self._sequence += 1
        renewal, structure.announced = structure.announced, True
        seen, command = structure.newest, self._command
        bare = TargetPosition(
            session_id=self._session_id,
            engine_id=self._engine_id,
            publisher_id=self._publisher_id,
            position_sequence=self._sequence,
            structure=structure.name,
            valid=False,
            reason=PositionReason.STARTING,
            frame_sequence=-1 if seen is None else seen.frame_sequence,
            renewal=renewal,
            lease_ms=0.0,
            source_kind=SourceKind.REPLAY if command is None else command.source_kind,
            pacing=Pacing.UNPACED if command is None else command.pacing,
            reference_mm=structure.reference_mm,
            predictor=self._config.positions.method,
            sent_ns=now_ns,
            clock=self._clock_name,
        )
        refusal = self._refusal(structure, now_ns)
        found = None if refusal is not None or seen is None else self._followed(structure, seen, bare)
        if found is not None:
            return found
        why = refusal or self._unpredicted(structure, now_ns)
        return replace(bare, reason=why.reason, detail=why.detail[:400])

    def _followed(self, structure: _Structure, seen: TargetEstimate, bare: TargetPosition) -> TargetPosition | None:
        """Return the position with its coordinates; None if no axis can be predicted."""
        settings, now_ns = self._config.positions, bare.sent_ns
        when_ns = now_ns + round(settings.consumer_latency_ms * 1e6)
        planes = [plane.at(when_ns) for plane in structure.planes.values()]
        predicted, covariance = fuse(structure.centre_mm, [plane for plane in planes if plane is not None])
        if predicted == UNKNOWN_AXES:
            return None
        ages = self._ages(structure, seen, now_ns)
        x, y, z = (value if age is not None else None for value, age in zip(seen.position_mm, ages, strict=True))
        return replace(
            bare,
            valid=True,
            reason=PositionReason.TRACKED,
            lease_ms=settings.lease_ms,
            measured_mm=(x, y, z),
            measured_ages_ms=ages,
            predicted_mm=predicted,
            predicted_ns=when_ns,
            covariance_mm2=covariance,
        )

    def _unpredicted(self, structure: _Structure, now_ns: int) -> Refusal:
        when_ns = now_ns + round(self._config.positions.consumer_latency_ms * 1e6)
        horizon_ms = (when_ns - max(plane.acquired_ns for plane in structure.planes.values())) / 1e6
        limit_ms = self._config.positions.max_horizon_ms
        if not 0 <= horizon_ms <= limit_ms:
            return Refusal(
                PositionReason.TOO_OLD,
                f"prediction would look {horizon_ms:.0f} ms ahead, the limit is {limit_ms:.0f} ms",
            )
        return Refusal(PositionReason.LEARNING, "the uncertainty of the prediction is not known yet, or too large")

    def _ages(self, structure: _Structure, seen: TargetEstimate, now_ns: int) -> AxesMs:
        """Return the age of each measured coordinate, ms; None for those that no plane shows."""
        newest_ms = (now_ns - structure.planes[self._of_target[seen.target][1]].acquired_ns) / 1e6
        if seen.ages_ms is not None:
            x, y, z = (newest_ms + age for age in seen.ages_ms)
            return x, y, z
        known = shown_axes([structure.planes[seen.plane].axes])
        lr, ap, si = (newest_ms if is_known else None for is_known in known)
        return lr, ap, si
