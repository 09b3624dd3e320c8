"""What machines that follow were told in a session: how much of it was valid, and how much the log lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from gating.analysis.unknown import percent
from gating.messages import TargetPosition


class StructurePositions(Struct, frozen=True, kw_only=True):
    """The positions of one structure."""

    structure: str
    positions: int
    valid: int
    reasons: dict[str, int]
    """Reason to number of positions that were not valid."""


class PositionStream(Struct, frozen=True, kw_only=True):
    """The position stream of a session. Nothing of it counts for the gate, or for the completeness of the log."""

    structures: list[StructurePositions]
    lost: int
    """How many positions are missing between the first and the last of each publisher."""

    def sentence(self) -> str:
        """Return it in words."""
        told = [
            f"{one.structure}: {one.positions}, {percent(one.valid / one.positions)} valid" for one in self.structures
        ]
        return "; ".join([*told, "none lost" if self.lost == 0 else f"{self.lost} lost"])


def position_stream(positions: Sequence[TargetPosition]) -> PositionStream | None:
    """Return what the positions of a log came to; None if it has none."""
    if not positions:
        return None
    heard = Counter(one.structure for one in positions)
    valid = Counter(one.structure for one in positions if one.valid)
    numbers: dict[str, set[int]] = {}
    for one in positions:
        numbers.setdefault(one.publisher_id, set()).add(one.position_sequence)
    return PositionStream(
        structures=[
            StructurePositions(
                structure=name,
                positions=count,
                valid=valid[name],
                reasons=dict(Counter(one.reason for one in positions if one.structure == name and not one.valid)),
            )
            for name, count in heard.items()
        ],
        lost=sum(max(seen) - min(seen) + 1 - len(seen) for seen in numbers.values()),
    )
