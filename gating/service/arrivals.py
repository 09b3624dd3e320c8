"""Of all the messages that wait, those that the engine works on: the newest frame, and whatever is no frame. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

_FRAME_TOPIC: Final = b"frame"


class Arrival(NamedTuple):
    """A message as it came by wire, and when, engine clock."""

    parts: list[bytes]
    received_ns: int


def pass_over_older_frames(arrivals: Iterable[Arrival], skip: Callable[[int], None]) -> Iterator[Arrival]:
    """Yield the newest of each run of frames, and every other message, in their order.

    A frame that came twice in a row is yielded twice, so that the engine says so.

    Parameters
    ----------
    arrivals : in the order in which they came.
    skip : is told of each frame that a newer one replaces.
    """
    newest: Arrival | None = None
    for arrival in arrivals:
        is_frame = arrival.parts[0] == _FRAME_TOPIC
        if newest is not None:
            if is_frame and newest.parts[1:2] != arrival.parts[1:2]:
                skip(1)
            else:
                yield newest
        newest = arrival if is_frame else None
        if not is_frame:
            yield arrival
    if newest is not None:
        yield newest
