"""The stream of frames: its declaration, and what is remembered of its frames. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from msgspec.structs import replace

from gating.decision.reasons import GateReason, HoldReason
from gating.messages import CineFrame, FrameHeader, Pacing, SourceKind, StreamInfo
from gating.settings.config import HealthSettings
from gating.stream.checks import StreamMemory, check_frame, check_pixels, forget_stream, remember
from gating.stream.seen_images import SeenImages
from gating.stream.stillness import Stillness

TRUST: Final = (SourceKind.PHANTOM, SourceKind.REPLAY, SourceKind.LIVE)
"""Kinds of source, the least trusted first: only live frames may drive a patient's beam."""
FRAMES_NOW_COME_FROM: Final = "frames now come from "

REPEATS_WITHIN: Final = 16
"""Frames, in an endless replay: each lap repeats the one before, but a recording of so few frames may not be played."""


class PlaneImages(NamedTuple):
    """What is remembered of the images of one plane."""

    seen: SeenImages
    stillness: Stillness


def other_session(what: str, its_session: str, session: str) -> HoldReason:
    """Return the fault of a message that belongs to another session than the engine."""
    return HoldReason(GateReason.SESSION_CHANGED, f"{what} is of session {its_session!r}; this is {session!r}")


def other_origin(stream: StreamInfo, before: StreamInfo) -> HoldReason | None:
    """Return the fault of a source that now takes its frames from another peer or series; None if that is the same."""
    if (stream.peer, stream.series) == (before.peer, before.series):
        return None
    text = f"{FRAMES_NOW_COME_FROM}{stream.origin}; until now they came from {before.origin}"
    return HoldReason(GateReason.SESSION_CHANGED, text)


class Stream:
    """The stream that an engine processes. Nothing of it may be used before its source has declared it.

    Parameters
    ----------
    session_id
        The session of the engine; frames of any other are refused.
    settings
        Limits of the checks of each frame.
    """

    def __init__(self, session_id: str, settings: HealthSettings) -> None:
        self._session_id = session_id
        self._settings = settings
        self._memory: StreamMemory | None = None
        self._memory_before: StreamMemory | None = None
        self._frames_kind = SourceKind.LIVE
        self._images: dict[str, PlaneImages] = {}
        self._frozen: dict[str, HoldReason] = {}
        self.declared: StreamInfo | None = None

    def declare(self, stream: StreamInfo) -> None:
        """Accept the declaration of the stream, and make room for the memory of its images."""
        self.declared = stream
        self._forget_images()

    @property
    def frozen(self) -> HoldReason | None:
        """Why the newest remembered image of some plane shows no living anatomy, or None; it stands until one does."""
        return next(iter(self._frozen.values()), None)

    def stands_still(self, plane: str) -> bool:
        """Return whether the anatomy of a plane has stood still for longer than a patient's can."""
        images = self._images.get(plane)
        return images is not None and images.stillness.fault(self._settings.max_still_s) is not None

    @property
    def source_kind(self) -> SourceKind:
        """Kind of source that publishes the frames: the least trusted of its declaration and its newest frame."""
        declared = SourceKind.PHANTOM if self.declared is None else self.declared.source_kind
        return min(declared, self._frames_kind, key=TRUST.index)

    @property
    def pacing(self) -> Pacing:
        """What sets the pace of the frames."""
        return Pacing.REAL_TIME if self.declared is None else self.declared.pacing

    @property
    def frame_interval_ns(self) -> int:
        """Declared time between frames; 0 if it is not known."""
        declared = self.declared
        return 0 if declared is None or declared.speed <= 0 else round(declared.nominal_interval_ns / declared.speed)

    @property
    def newest(self) -> FrameHeader | None:
        """The newest frame that was remembered."""
        return None if self._memory is None else self._memory.newest

    def first_plane(self, header: FrameHeader) -> str:
        """Return the plane of targets that name none: the first declared one, or else that of `header`."""
        return header.plane if self.declared is None else self.declared.planes[0]

    def check(self, frame: CineFrame, received_ns: int) -> HoldReason | None:
        """Return the most serious fault of a frame, or None; see `gating.stream.checks`."""
        self._frames_kind = frame.header.source_kind
        return self._check(frame, received_ns, self._memory) or self._check_image(frame.header) or self.frozen

    def warm_caches(self, frame: CineFrame, received_ns: int) -> None:
        """Repeat `check` on the newest frame without any effect."""
        self._check(frame, received_ns, self._memory_before)

    def _check(self, frame: CineFrame, received_ns: int, memory: StreamMemory | None) -> HoldReason | None:
        header = frame.header
        if header.session_id != self._session_id:
            return other_session(f"frame {header.sequence}", header.session_id, self._session_id)
        if self.declared is None:
            text = f"frame {header.sequence} came before {header.source} declared its stream"
            return HoldReason(GateReason.UNDECLARED_STREAM, text)
        fault = check_frame(header, received_ns, memory, self.declared, self._settings)
        return fault or check_pixels(header.sequence, frame.pixels, self._settings)

    def _check_image(self, header: FrameHeader) -> HoldReason | None:
        images = self._images.get(header.plane)
        earlier = None if images is None else images.seen.same(header.content_hash, header.sequence)
        if earlier is None:
            return None
        return HoldReason(GateReason.FROZEN_IMAGE, f"frame {header.sequence} shows the same pixels as frame {earlier}")

    def remember(self, frame: CineFrame, received_ns: int) -> None:
        """Remember a frame as the newest one, and look whether its image lives."""
        header = frame.header
        self._memory_before, self._memory = self._memory, self._remembered(header, received_ns)
        why = self._why_frozen(frame)
        if why is None:
            self._frozen.pop(header.plane, None)
        else:
            self._frozen[header.plane] = HoldReason(GateReason.FROZEN_IMAGE, f"frame {header.sequence}: {why}")

    def _why_frozen(self, frame: CineFrame) -> str | None:
        images, header = self._images[frame.header.plane], frame.header
        earlier = images.seen.add(frame.pixels, header.content_hash, header.sequence)
        images.stillness.observe(frame.pixels, header.acquired_ns)
        if earlier is not None:
            return f"it repeats frame {earlier} in about 99 % of its pixels or more"
        return images.stillness.fault(self._settings.max_still_s)

    def remember_untracked(self, header: FrameHeader, received_ns: int) -> None:
        """Remember an untracked frame as the newest one; `elapsed_s` still counts from the last tracked frame."""
        tracked = {} if self._memory is None else self._memory.by_plane
        self._memory = replace(self._remembered(header, received_ns), by_plane=tracked)

    def _remembered(self, header: FrameHeader, received_ns: int) -> StreamMemory:
        interval_ns = 0 if self.declared is None else self.declared.nominal_interval_ns
        return remember(self._memory, header, received_ns, interval_ns)

    def forget(self) -> None:
        """Let the stream restart; its geometry must stay the same. A replay may begin again, but nothing live may."""
        self._memory = forget_stream(self._memory)
        self._forget_images()

    def _forget_images(self) -> None:
        declared = self.declared
        if declared is None:
            return
        is_live = declared.source_kind is SourceKind.LIVE
        is_endless_replay = declared.source_kind is SourceKind.REPLAY and declared.frame_count is None
        within = REPEATS_WITHIN if is_endless_replay else None
        before, self._frozen = self._images, {}
        self._images = {
            plane: PlaneImages(
                before[plane].seen if is_live and plane in before else SeenImages(declared.shape, within), Stillness()
            )
            for plane in declared.planes
        }

    def missing_before(self, header: FrameHeader) -> int:
        """Return how many frames are missing between the newest remembered one and this one."""
        return 0 if self.newest is None else header.sequence - self.newest.sequence - 1

    def elapsed_s(self, header: FrameHeader) -> float:
        """Return the time since the newest tracked frame of the same plane, s; 0 if there is none."""
        before = None if self._memory is None else self._memory.by_plane.get(header.plane)
        return 0.0 if before is None else (header.acquired_ns - before.acquired_ns) / 1e9

    def is_late(self, age_ns: int) -> bool:
        """Return whether a newest frame of this age means that the next frame should have arrived."""
        declared = self.declared
        return declared is not None and age_ns * declared.speed > declared.nominal_interval_ns
