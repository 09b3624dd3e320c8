"""A live source, opened in another thread because it waits for a peer's first frames."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np

from drivers.ports import FrameStamp
from gating.messages import StreamInfo
from tests.patience import PATIENCE_S

Frames = list[tuple[FrameStamp, np.ndarray[Any, Any]]]
FIRST_FRAME_TIMEOUT_S = 60.0
"""Long, because a peer may be a program that must start first."""


class LiveSession:
    """A source of a network peer, listening from the start."""

    def __init__(self, source: Any) -> None:
        self.source = source
        source.arrivals.peer.open()
        self.port: int = source.arrivals.peer.port
        self.info: StreamInfo | None = None
        self._thread = threading.Thread(target=self._open, daemon=True)
        self._thread.start()

    def _open(self) -> None:
        self.info = self.source.open()

    def opened(self) -> StreamInfo:
        self._thread.join(FIRST_FRAME_TIMEOUT_S)
        assert self.info is not None, "the source did not open"
        return self.info

    def read(self, count: int, patience_s: float = PATIENCE_S) -> Frames:
        """Up to `count` frames."""
        info = self.opened()
        pixels, frames = np.zeros(info.shape, info.dtype), []
        until_s = time.monotonic() + patience_s
        while len(frames) < count and time.monotonic() < until_s:
            if (stamp := self.source.read_into(pixels, 20)) is not None:
                frames.append((stamp, pixels.copy()))
        return frames

    def notice(self, patience_s: float = PATIENCE_S) -> str:
        """The next sentences for the operator; frames that come before them are dropped."""
        info, until_s = self.opened(), time.monotonic() + patience_s
        while time.monotonic() < until_s:
            self.source.read_into(np.zeros(info.shape, info.dtype), 20)
            if notices := self.source.take_notices():
                return "; ".join(notices)
        return ""
