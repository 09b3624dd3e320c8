"""How many frames the recorder has heard, and how many of those that were published it has not. Pure."""

from __future__ import annotations

from typing import Final

from gating.messages import FrameHeader

REMEMBERED_GAP: Final = 1000
"""How many missing frames are remembered, in case they come late."""


class FrameTally:
    """Counts frames, and gaps in their numbers, without those that the log holds as messages that were refused.

    Attributes
    ----------
    frames
        Frames that were heard.
    lost
        Frames that were published and are in the log in no form.
    """

    def __init__(self) -> None:
        self.frames = self.lost = 0
        self._refused_since_frame = 0
        self._next_sequence: dict[str, int] = {}
        self._missing: set[int] = set()

    def refuse(self) -> None:
        """Count a message that cannot be read; it may have been a frame."""
        self._refused_since_frame += 1

    def count(self, header: FrameHeader) -> None:
        """Count a frame. One of another publisher begins anew; one that comes late is missing no longer."""
        self.frames += 1
        expected = self._next_sequence.get(header.publisher_id)
        if expected is None:
            expected = header.sequence
            self._missing.clear()
        if header.sequence in self._missing:
            self._missing.discard(header.sequence)
            self.lost = max(0, self.lost - 1)
        self.lost += max(0, header.sequence - expected - self._refused_since_frame)
        self._refused_since_frame = 0
        self._missing.update(range(max(expected, header.sequence - REMEMBERED_GAP), header.sequence))
        self._next_sequence = {header.publisher_id: max(expected, header.sequence + 1)}
