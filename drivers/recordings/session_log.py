"""The frames of a session log, as a recording."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from drivers.errors import BadRecording, PlaneMissing
from drivers.recordings.recording import Recording, checked_recording, wire_frame
from gating.messages import ASSUMED_CLOCK, CineFrame, FrameHeader, Pixels, StreamInfo, TargetReference


class _LoggedFrames:
    """Frames read forward through the log. Going back starts again, so memory holds one frame."""

    def __init__(self, path: Path, plane: str, count: int) -> None:
        self._path, self._plane, self._count = path, plane, count
        self._stream: Iterator[CineFrame] = iter(())
        self._next = count
        self._latest: CineFrame | None = None

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Pixels:
        if not 0 <= index < self._count:
            raise IndexError(index)
        if index < self._next - 1 or self._latest is None:
            self._stream, self._next = _frames(self._path, self._plane), 0
        while self._next <= index and (frame := next(self._stream, None)) is not None:
            self._latest, self._next = frame, self._next + 1
        if self._latest is not None and self._next == index + 1:
            return wire_frame(self._latest.pixels, self._latest.header.dtype)
        raise BadRecording(f"{self._path}: frame {index} is gone; the log held {self._count} frames when it was opened")


def read_session_log(path: Path, given_spacing_mm: Sequence[float] | None = None, plane: str = "") -> Recording:
    """Open a session log, or one plane of it. Raises `BadRecording`, also if size or geometry change."""
    from gating.session.log import read_session

    headers: list[FrameHeader] = []
    reference: TargetReference | None = None
    description = ""
    try:
        for _, _, message in read_session(path):
            if isinstance(message, CineFrame) and plane in ("", message.header.plane):
                headers.append(message.header)
            elif isinstance(message, TargetReference) and plane in ("", message.plane) and reference is None:
                reference = message
            elif isinstance(message, StreamInfo):
                description = message.description
    except (ValueError, OSError) as error:
        reason = str(error.strerror or error) if isinstance(error, OSError) else str(error)
        raise BadRecording(f"{path}: {reason.removeprefix(path.name).lstrip()}") from None
    if not headers:
        raise PlaneMissing(f"{path}: the number of {f'{plane} ' if plane else ''}frames is 0; at least 1 is needed")
    first = headers[0]
    planes = sorted({header.plane for header in headers})
    if len(planes) > 1:
        raise BadRecording(f"{path}: it holds {', '.join(planes)} frames; name the plane to take, or take all of them")
    for field in ("dtype", "shape", "pixel_spacing_mm", "image_orientation", "image_position_mm"):
        for header in headers:
            if getattr(header, field) != getattr(first, field):
                raise BadRecording(
                    f"{path}: {field} changes from {getattr(first, field)} to {getattr(header, field)} "
                    f"at frame {header.sequence}; all frames must agree"
                )
    drawn_in = "" if reference is None else reference.image_hash or _hash_of(headers, reference.frame_sequence)
    drawn_first = drawn_in == first.content_hash
    return checked_recording(
        path=path,
        frames=_LoggedFrames(path, first.plane, len(headers)),
        shape=first.shape,
        dtype=first.dtype,
        stamps_ns=np.array([header.acquired_ns for header in headers], np.int64),
        stamp_meaning=first.acquired_meaning,
        pixel_spacing_mm=first.pixel_spacing_mm,
        given_spacing_mm=given_spacing_mm,
        image_orientation=first.image_orientation,
        image_position_mm=first.image_position_mm,
        plane=first.plane,
        target_contour_px=np.array(reference.contour_px) if reference is not None and drawn_first else None,
        description=description or f"session {first.session_id}",
        times_assumed=any(header.acquired_clock == ASSUMED_CLOCK for header in headers),
    )


def _hash_of(headers: Sequence[FrameHeader], sequence: int) -> str:
    return next((header.content_hash for header in headers if header.sequence == sequence), "")


def _frames(path: Path, plane: str) -> Iterator[CineFrame]:
    from gating.session.log import read_session

    messages = (message for _, _, message in read_session(path))
    return (message for message in messages if isinstance(message, CineFrame) and message.header.plane == plane)
