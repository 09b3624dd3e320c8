"""Frames that the recorder counts, and those that it misses."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gating.service.frame_tally import FrameTally
from tests.factories import frame


def tallied(*numbers: int | None, publisher: str = "p") -> FrameTally:
    """Return the tally of frames by their numbers; None is a message that cannot be read."""
    tally = FrameTally()
    for number in numbers:
        if number is None:
            tally.refuse()
        else:
            tally.count(replace(frame(number).header, publisher_id=publisher))
    return tally


@pytest.mark.parametrize(
    ("numbers", "frames", "lost"),
    [
        ((5, 6, 7), 3, 0),
        ((0, 1, 4), 3, 2),
        ((0, 2, 1, 3), 4, 0),
        ((0, 1, 1, 2), 4, 0),
        ((0, None, 2), 2, 0),
        ((0, None, 4), 2, 2),
    ],
    ids=["first unknown", "gap", "late", "doubled", "refused", "refused in a gap"],
)
def test_a_frame_is_lost_that_comes_neither_late_nor_refused(numbers, frames, lost) -> None:
    tally = tallied(*numbers)
    assert (tally.frames, tally.lost) == (frames, lost)


def test_the_numbers_of_another_publisher_begin_anew() -> None:
    tally = tallied(0, 1, 2)
    tally.count(replace(frame(40).header, publisher_id="q"))
    assert (tally.frames, tally.lost) == (4, 0)
