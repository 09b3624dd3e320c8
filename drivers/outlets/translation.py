"""Wire messages as OpenIGTLink messages: estimates have the stamp of their image, and only a tracked target a pose."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np

from drivers.formats.openigtlink import (
    NOT_FOUND,
    NOT_READY,
    OK,
    image_message,
    point_message,
    polydata_message,
    status_message,
    string_message,
    transform_message,
)
from gating.geometry.plane import ImagePlane
from gating.messages import CineFrame, FrameHeader, GateCommand, GateState, TargetEstimate

GATE_EVERY_NS: Final = 10**9
MAX_FRAMES: Final = 64
MAX_DEVICE: Final = 20
"""Length of a device name."""
_CODES: Final = {"tracked": OK, "lost": NOT_FOUND}

_Frame = tuple[int, int]
"""Number and raw stamp of a frame: the number alone begins anew with each publisher."""


class Translation:
    """Turns frames, estimates and gate commands into messages.

    A client pairs positions with images by their stamps, so an estimate takes the stamp of its frame. One that is heard
    before its frame waits for it. Of a target that is not tracked no pose is sent, only its status.

    Parameters
    ----------
    utc_offset_ns
        UTC minus the host's monotonic clock, ns.
    """

    def __init__(self, utc_offset_ns: int) -> None:
        self._utc_offset_ns = utc_offset_ns
        self._headers: dict[_Frame, FrameHeader] = {}
        self._waiting: deque[TargetEstimate] = deque(maxlen=MAX_FRAMES)
        self._gate: tuple[GateState, str] | None = None
        self._gate_due_ns = 0

    def remember(self, header: FrameHeader) -> None:
        """Remember the stamp and geometry of a frame for its estimates."""
        self._headers[header.sequence, header.acquired_ns] = header
        if len(self._headers) > MAX_FRAMES:
            del self._headers[next(iter(self._headers))]

    def image(self, frame: CineFrame) -> bytes:
        """Return a frame as IMAGE, stamped with its acquisition in UTC."""
        header = frame.header
        return image_message(
            f"Cine {header.plane}"[:MAX_DEVICE],
            self._utc_ns(header),
            frame.pixels,
            header.pixel_spacing_mm,
            header.image_orientation,
            header.image_position_mm,
        )

    def target(self, estimate: TargetEstimate) -> list[bytes]:
        """Return the messages of an estimate; none yet if its frame has not been heard."""
        header = self._headers.get((estimate.frame_sequence, estimate.acquired_ns))
        if header is None:
            self._waiting.append(estimate)
            return []
        return self._state(estimate, header) + self._place(estimate, header)

    def targets_waiting_for(self, header: FrameHeader) -> list[bytes]:
        """Return the messages of the estimates that were heard before their frame."""
        key = header.sequence, header.acquired_ns
        due = [one for one in self._waiting if (one.frame_sequence, one.acquired_ns) == key]
        for estimate in due:
            self._waiting.remove(estimate)
        return [message for estimate in due for message in self.target(estimate)]

    def gate(self, command: GateCommand, now_ns: int) -> list[bytes]:
        """Return the gate, when it changes and once a second."""
        gate = (command.state, command.reason)
        if gate == self._gate and now_ns < self._gate_due_ns:
            return []
        self._gate, self._gate_due_ns = gate, now_ns + GATE_EVERY_NS
        utc_ns, on = now_ns + self._utc_offset_ns, command.state is GateState.ON
        return [
            status_message("Gate", utc_ns, OK, int(on), command.state, command.reason),
            string_message("GateText", utc_ns, f"beam {command.state}: {command.reason}"),
        ]

    def _utc_ns(self, header: FrameHeader) -> int:
        return header.acquired_on_publish_clock_ns + self._utc_offset_ns

    def _state(self, estimate: TargetEstimate, header: FrameHeader) -> list[bytes]:
        """Return status and confidence of a target."""
        utc_ns, status = self._utc_ns(header), estimate.status
        confidence = f"{estimate.confidence:.2f}" if np.isfinite(estimate.confidence) else "-"
        text = f"confidence {confidence}" + (f": {estimate.detail}" if estimate.detail else "")
        return [
            status_message(
                _device(estimate, "status"),
                utc_ns,
                _CODES.get(status, NOT_READY),
                int(status == "tracked"),
                status,
                text,
            ),
            string_message(_device(estimate, "text"), utc_ns, f"{estimate.target} {status}, {text}"),
        ]

    def _place(self, estimate: TargetEstimate, header: FrameHeader) -> list[bytes]:
        """Return position and contour of a target that is tracked."""
        if estimate.status != "tracked" or not np.isfinite(estimate.position_mm).all():
            return []
        utc_ns, position_mm = self._utc_ns(header), estimate.position_mm
        messages = [
            transform_message(_device(estimate), utc_ns, position_mm),
            point_message(_device(estimate, "point"), utc_ns, estimate.target, position_mm),
        ]
        contour_px = np.reshape(estimate.contour_px, (-1, 2))
        if len(contour_px) and np.isfinite(contour_px).all():
            plane = ImagePlane.of(header)
            outline_mm = [plane.to_lps_mm(x, y) for x, y in contour_px]
            messages.append(polydata_message(_device(estimate, "contour"), utc_ns, outline_mm))
        return messages


def _device(estimate: TargetEstimate, what: str = "") -> str:
    """Return the device name of a target: its name, shortened so that what is sent of it fits behind."""
    end = f" {what}" if what else ""
    return f"{estimate.target[: MAX_DEVICE - len(end)]}{end}"
