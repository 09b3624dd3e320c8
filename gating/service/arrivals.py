"""Selects from the waiting messages those that the engine processes: all but frames that a newer one replaces. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from gating.wire.codec import frame_header

_FRAME_TOPIC: Final = b"frame"


class Arrival(NamedTuple):
    """A message as received, and its time of receipt on the engine's clock."""

    parts: list[bytes]
    received_ns: int


def skip_older_frames(arrivals: Iterable[Arrival], skip: Callable[[int], None]) -> Iterator[Arrival]:
    """Yield the newest frame of each run of frames, and all other messages, in order.

    The newest frame of a publisher is that of the highest number, whichever came last. A frame that was received twice
    in a row is yielded twice, so that the engine can report it.

    Parameters
    ----------
    arrivals
        Messages in the order of receipt.
    skip
        Called with 1 for each frame that a newer one replaces.
    """
    newest: Arrival | None = None
    for arrival in arrivals:
        is_frame = arrival.parts[0] == _FRAME_TOPIC
        if newest is not None:
            if is_frame and newest.parts[1:2] != arrival.parts[1:2]:
                skip(1)
                if _is_overtaken(arrival, newest):
                    continue
            else:
                yield newest
        newest = arrival if is_frame else None
        if not is_frame:
            yield arrival
    if newest is not None:
        yield newest


def _is_overtaken(arrival: Arrival, by: Arrival) -> bool:
    """Return whether a frame came after a newer one of its publisher. Of a frame that cannot be read nothing is known.

    A frame of anyone else is never called older: the engine must see it to find that there are two publishers.
    """
    late, newer = frame_header(arrival.parts), frame_header(by.parts)
    if late is None or newer is None:
        return False
    same_publisher = (late.session_id, late.publisher_id) == (newer.session_id, newer.publisher_id)
    return same_publisher and late.sequence < newer.sequence
