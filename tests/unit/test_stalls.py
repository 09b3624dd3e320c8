"""How long the machine stood still within a span, from stalls seen on several cores."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bench.stalls import Stalls, joined

MS = 1_000_000
intervals = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda at: (at[0], at[0] + at[1])))


@given(intervals)
def test_joined_intervals_cover_the_same_time_and_never_touch(found: list[tuple[int, int]]) -> None:
    union = joined(found)
    assert {t for begin, end in union for t in range(begin, end)} == {t for b, e in found for t in range(b, e)}
    assert all(end < begin for (_, end), (begin, _) in pairwise(union))


def test_only_what_lies_within_the_span_counts() -> None:
    stalls = Stalls(intervals_ns=[(0, 3 * MS), (10 * MS, 12 * MS), (19 * MS, 40 * MS)])
    assert stalls.within_ms(1 * MS, 20 * MS) == 2 + 2 + 1


def test_cores_that_stall_together_count_once() -> None:
    stalls = Stalls(intervals_ns=joined([(0, 5 * MS), (2 * MS, 7 * MS)]))
    assert stalls.within_ms(0, 10 * MS) == 7
    assert stalls.longest_ms == 7
