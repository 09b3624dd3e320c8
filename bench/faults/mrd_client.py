"""A scanner that sends the scene's images by MRD to a real source process, and may be replaced by another one."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from bench.faults.scripted_source import Parts
from drivers.formats.mrd import CLOSE, TICK_NS, TICKS_A_DAY, image_message
from gating.messages import CineFrame

CONNECT_S: Final = 0.2
NOON_NS: Final = 12 * 3600 * 10**9
"""Time of day of the scanner at its first image."""


class MrdClient:
    """Sends frames as image messages, stamped with its own time of day; it connects when it has a first one.

    Parameters
    ----------
    port
        Port of the source process on this host.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self._connection: socket.socket | None = None
        self._began_ns = time.monotonic_ns()

    def replace(self) -> None:
        """Say goodbye; the next image comes from another scanner."""
        if self._connection is not None:
            self._connection.sendall(CLOSE)
        self.close()

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def send(self, frame: CineFrame) -> Iterable[Parts]:
        """Send a frame if the source listens. Returns nothing that would be sent another way."""
        with suppress(OSError):
            if self._connection is None:
                self._connection = socket.create_connection(("127.0.0.1", self.port), CONNECT_S)
            self._connection.sendall(self._message(frame))
            return ()
        self.close()
        return ()

    def _message(self, frame: CineFrame) -> bytes:
        header = frame.header
        ticks = (NOON_NS + time.monotonic_ns() - self._began_ns) // TICK_NS % TICKS_A_DAY
        where = header.pixel_spacing_mm, header.image_orientation, header.image_position_mm
        return image_message(frame.pixels, *where, ticks, header.sequence)
