"""How long pictures take until a page has painted them, and that only the newest are remembered."""

from __future__ import annotations

import pytest

from cinegate.console.painting import Painting, Sent
from cinegate.console.picture import Picture
from cinegate.console.tally import Recent
from tests.unit.session_bench import MS, make_frame

PUBLISHED_NS = 1000 * MS


def sent(*, published_ns: int = PUBLISHED_NS) -> Sent:
    """A picture that came 2 ms after its publication and was sent 3 ms later."""
    return Sent(published_ns + 5 * MS, Picture(1, make_frame(4, published_ns), published_ns + 2 * MS, ()))


def test_the_stages_add_up_to_published_to_drawn():
    painting = Painting()
    painting.add(sent(), (4.0, 1.0, 6.0), PUBLISHED_NS + 20 * MS)
    told = painting.latency(PUBLISHED_NS + 20 * MS)
    stages = {name: one.p50 for name, one in told["stages_ms"].items()}
    assert stages == {"to_console": 2, "to_sent": 3, "to_draw": 4, "draw": 1, "paint": 6, "both_ways": 4}
    assert told["published_to_drawn_ms"].p50 == sum(stages.values()) == 20


def test_a_page_that_says_nothing_of_its_own_time_counts_all_the_same():
    painting = Painting()
    painting.add(sent(), None, PUBLISHED_NS + 20 * MS)
    told = painting.latency(PUBLISHED_NS + 20 * MS)
    assert (told["published_to_drawn_ms"].p50, set(told["stages_ms"])) == (20, {"to_console", "to_sent"})


def test_a_message_without_a_picture_is_not_counted():
    painting = Painting()
    painting.add(Sent(PUBLISHED_NS), (1.0, 1.0, 1.0), PUBLISHED_NS + MS)
    assert painting.latency(PUBLISHED_NS + MS)["published_to_drawn_ms"].n == 0


@pytest.mark.parametrize(("age_s", "kept"), [(29, 2), (31, 1)])
def test_what_is_older_than_30_s_is_not_kept(age_s, kept):
    recent: Recent[int] = Recent()
    recent.add(1, PUBLISHED_NS)
    recent.add(2, PUBLISHED_NS + age_s * 1000 * MS)
    assert len(recent.values()) == kept
