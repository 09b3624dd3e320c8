"""Who of a process's peers is there, and who has fallen silent. Pure: time is an argument."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

SILENT_NS: Final = 1_000_000_000
"""Every peer sends at least twice a second."""


class Presence:
    """When each peer was last heard; tells who came and who went, once each.

    Parameters
    ----------
    peers
        Names of those that are expected.
    """

    def __init__(self, *peers: str) -> None:
        self.heard_ns: dict[str, int | None] = dict.fromkeys(peers)
        """When each peer was last heard, ns on the process's clock; None: never. Set by the owner, at no cost."""
        self._there: set[str] = set()

    def changes(self, now_ns: int) -> Iterator[str]:
        """Yield a sentence for each peer that came or went since the last call."""
        for peer, heard_ns in self.heard_ns.items():
            there = heard_ns is not None and now_ns - heard_ns <= SILENT_NS
            if there and peer not in self._there:
                self._there.add(peer)
                yield f"{peer} is there"
            elif not there and peer in self._there:
                self._there.discard(peer)
                yield f"{peer} has been silent for {SILENT_NS / 1e9:g} s"
