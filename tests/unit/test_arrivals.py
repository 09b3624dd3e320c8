"""Which of the waiting messages the engine works on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gating.service.arrivals import Arrival, skip_older_frames


def frame(number: int) -> Arrival:
    return Arrival([b"frame", b"%d" % number, b"pixels"], number)


OTHER = Arrival([b"heartbeat", b"0"], 0)


def worked_on(*arrivals: Arrival) -> tuple[list[Arrival], int]:
    skipped: list[int] = []
    return list(skip_older_frames(arrivals, skipped.append)), sum(skipped)


def test_of_waiting_frames_the_newest_is_worked_on_and_the_others_counted() -> None:
    assert worked_on(frame(1), frame(2), frame(3)) == ([frame(3)], 2)


def test_a_frame_that_came_twice_is_shown_twice() -> None:
    assert worked_on(frame(1), frame(1)) == ([frame(1), frame(1)], 0)


def test_a_message_between_two_frames_keeps_both_and_their_order() -> None:
    assert worked_on(frame(1), OTHER, frame(2)) == ([frame(1), OTHER, frame(2)], 0)


@given(st.lists(st.integers(0, 5).map(frame) | st.just(OTHER)))
def test_every_message_is_worked_on_or_counted(arrivals: list[Arrival]) -> None:
    kept, skipped = worked_on(*arrivals)
    assert len(kept) + skipped == len(arrivals)
    assert kept.count(OTHER) == arrivals.count(OTHER)
    assert arrivals == [] or kept[-1] == arrivals[-1]


def test_a_frame_without_a_header_is_passed_on_to_be_refused() -> None:
    torn = Arrival([b"frame"], 9)
    assert worked_on(frame(1), torn) == ([torn], 1)
