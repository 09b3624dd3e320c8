"""How long pictures take from their publication until a page has painted them, by stage. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cinegate.console.picture import Picture
from cinegate.console.tally import Recent
from gating.latency.stages import summarise

Shown = tuple[str, str]
"""A session, and the engine that decides in it: empty before one was heard."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that a page has not painted yet."""

    sent_ns: int
    picture: Picture | None = None
    """None as well where its stamps are of another clock than the console's."""
    shown: Shown = ("", "")
    """What the page shows with it."""


class Painting:
    """The pictures that pages have painted in the newest 30 s."""

    def __init__(self) -> None:
        self._painted: Recent[dict[str, float]] = Recent()

    def add(self, sent: Sent, spent_ms: tuple[float, float, float] | None, now_ns: int) -> None:
        """Add a message that a page has acknowledged.

        Parameters
        ----------
        sent
            The message; counted only with its picture.
        spent_ms
            What the page says of itself: until it began to draw, drew, and had painted.
        now_ns
            When the acknowledgement came, on the clock of the console.
        """
        if sent.picture is None:
            return
        published_ns, received_ns = sent.picture.frame.header.published_ns, sent.picture.received_ns
        stages = {
            "published_to_drawn": (now_ns - published_ns) / 1e6,
            "to_console": (received_ns - published_ns) / 1e6,
            "to_sent": (sent.sent_ns - received_ns) / 1e6,
        }
        if spent_ms is not None:
            stages |= dict(zip(("to_draw", "draw", "paint"), spent_ms, strict=True))
            stages["both_ways"] = (now_ns - sent.sent_ns) / 1e6 - sum(spent_ms)
        self._painted.add(stages, now_ns)

    def latency(self, now_ns: int) -> dict[str, Any]:
        """Return published to drawn, and its stages, ms."""
        newest = self._painted.values(now_ns)
        names = dict.fromkeys(name for stages in newest for name in stages)
        found = {name: summarise([one[name] for one in newest if name in one]) for name in names}
        return {
            "published_to_drawn_ms": found.pop("published_to_drawn", summarise([])),
            "stages_ms": found,
        }
