"""Reading a source frame by frame, for the contract suites."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.ports import CineSource, EndOfStream, FrameStamp
from gating.messages import StreamInfo
from tests.patience import PATIENCE_S

TIMEOUT_MS = round(PATIENCE_S * 1e3)


def read(source: CineSource, info: StreamInfo, count: int) -> tuple[list[FrameStamp], list[NDArray[Any]]]:
    """Stamps and pixels of up to `count` frames."""
    stamps, frames = [], []
    pixels = np.zeros(info.shape, info.dtype)
    while len(stamps) < count:
        try:
            stamp = source.read_into(pixels, TIMEOUT_MS)
        except EndOfStream:
            break
        assert stamp is not None, "no frame within the time-out"
        stamps.append(stamp)
        frames.append(pixels.copy())
    return stamps, frames
