"""What a source refused: counts by kind, and sentences for the operator."""

from __future__ import annotations

import logging
from collections import Counter, deque
from typing import Final

from gating.clocks.clock import Clock

MAX_NOTICES: Final = 32
NOTICE_EVERY_NS: Final = 10**9

_log: Final = logging.getLogger("cinegate.source")


class Refusals:
    """Counters and sentences of one stream.

    Parameters
    ----------
    name
        Name of the source, which begins each sentence.
    clock
        If given, limits the sentences to one of each kind a second.
    """

    def __init__(self, name: str, clock: Clock | None = None) -> None:
        self._name, self._clock = name, clock
        self.waiting = True
        """Whether the source waits for its stream; nobody takes its sentences then, so they are told on its console."""
        self.counts: Counter[str] = Counter()
        self._notices: deque[str] = deque(maxlen=MAX_NOTICES)
        self._noticed_ns: dict[str, int] = {}
        self._remark = ""

    @property
    def last(self) -> str:
        """The newest sentence, to end another one with; empty if there is none."""
        newest = self._notices[-1] if self._notices else self._remark
        return f"; last: {newest}" if newest else ""

    def take(self) -> list[str]:
        """Return the sentences that are new since the last call."""
        taken = list(self._notices)
        self._notices.clear()
        return taken

    def remark(self, sentence: str) -> None:
        """Tell the console what came and is nothing wrong: no refusal, and no event that holds the beam."""
        if not sentence:
            return
        self._remark = f"{self._name}: {sentence}"[:400]
        _log.info("%s", self._remark)

    def refuse(self, kind: str, sentence: str) -> bool:
        """Count and report a refusal. Returns False, so that a check can return it."""
        self.counts[kind] += 1
        now_ns = 0 if self._clock is None else self._clock.now_ns()
        if self._clock is None or now_ns - self._noticed_ns.get(kind, -NOTICE_EVERY_NS) >= NOTICE_EVERY_NS:
            self._noticed_ns[kind] = now_ns
            self._notices.append(f"{self._name}: {sentence}"[:400])
            if self.waiting:
                _log.warning("%s", self._notices[-1])
        return False
