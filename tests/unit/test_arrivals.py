"""Which of the waiting messages the engine works on."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gating.service.arrivals import Arrival, skip_older_frames
from gating.wire.codec import encode_frame, frame_header
from tests.factories import frame as cine_frame

PIXELS = np.zeros((8, 8), np.uint16)


def frame(number: int, **header: object) -> Arrival:
    return Arrival([bytes(part) for part in encode_frame(cine_frame(number, PIXELS, **header))], 0)


def number_of(arrival: Arrival) -> int:
    return frame_header(arrival.parts).sequence


OTHER = Arrival([b"heartbeat", b"0"], 0)
TORN = Arrival([b"frame"], 9)
FRAMES = st.integers(0, 5).map(frame)
ANY = st.lists(FRAMES | st.just(OTHER) | st.just(TORN))


def worked_on(*arrivals: Arrival) -> tuple[list[Arrival], int]:
    skipped: list[int] = []
    return list(skip_older_frames(arrivals, skipped.append)), sum(skipped)


def test_of_waiting_frames_the_newest_is_worked_on_and_the_others_counted() -> None:
    assert worked_on(frame(1), frame(2), frame(3)) == ([frame(3)], 2)


def test_of_frames_that_changed_places_the_newest_is_worked_on() -> None:
    assert worked_on(frame(2), frame(1)) == ([frame(2)], 1)
    assert worked_on(frame(1), frame(4), frame(2), frame(3)) == ([frame(4)], 3)


def test_a_frame_of_another_publisher_is_not_skipped_for_its_lower_number() -> None:
    foreign = frame(1, publisher_id="p2")
    assert worked_on(frame(2), foreign) == ([foreign], 1)


def test_a_frame_that_came_twice_is_shown_twice() -> None:
    assert worked_on(frame(1), frame(1)) == ([frame(1), frame(1)], 0)


def test_a_message_between_two_frames_keeps_both_and_their_order() -> None:
    assert worked_on(frame(1), OTHER, frame(2)) == ([frame(1), OTHER, frame(2)], 0)


@given(ANY)
def test_every_message_is_worked_on_or_counted(arrivals: list[Arrival]) -> None:
    kept, skipped = worked_on(*arrivals)
    assert len(kept) + skipped == len(arrivals)
    assert kept.count(OTHER) == arrivals.count(OTHER)


@given(st.lists(FRAMES, min_size=1))
def test_in_whatever_order_frames_come_the_newest_is_worked_on_last(arrivals: list[Arrival]) -> None:
    assert worked_on(*arrivals)[0][-1] == max(arrivals, key=number_of)


def test_a_frame_without_a_header_is_passed_on_to_be_refused() -> None:
    assert worked_on(frame(1), TORN) == ([TORN], 1)
