"""The catalogue of faults: what is injected, what must follow, and by when."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

FAMILIES: Final = Path(__file__).with_name("families")
TOLERANCE_MS: Final = 20.0
"""Added to every bound, for a machine that is not a real-time system."""

Family = Literal["stream", "time", "bytes", "processes", "anatomy", "targets", "beam", "disk"]
Reaction = Literal["hold", "latch", "rearm"]
Bound = Literal["lease", "stale", "still", "recorder", "flush"]
SceneKind = Literal["standard", "float32", "faulty", "replayed", "mrd", "far", "sites", "tiny_disk", "small_file"]


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault.

    `reaction` is `hold` (the beam resumes by itself once the fault is over), `latch` (held until a named
    acknowledgement with a reason, then armed by an operator) or `rearm` (held until an operator arms).
    """

    id: Annotated[str, Meta(pattern="^[a-z][a-z0-9_]+$", max_length=40)]
    family: Family
    injected: Annotated[str, Meta(min_length=10, max_length=200)]
    reaction: Reaction
    reason: Annotated[tuple[str, ...], Meta(min_length=1)]
    """The engine or the beam interface must give one of these."""
    bound: Bound = "lease"
    momentary: bool = False
    """Over as soon as it has happened. The beam must go off once within the bound, and may then come back."""
    scene: SceneKind = "standard"
    inside_ours: bool = False
    """Changes our own engine or beam interface, so it does not apply to another engine."""
    quick: bool = False

    @property
    def short(self) -> bool:
        """Whether the fault takes about two seconds: it needs no pipeline of its own, no film, no process to start."""
        own_pipeline = self.scene not in ("standard", "float32") or self.reaction == "rearm"
        short_bound = self.bound in ("lease", "stale", "still")
        return not own_pipeline and self.family not in ("anatomy", "targets") and short_bound


def read_catalogue(folder: Path = FAMILIES) -> tuple[Fault, ...]:
    """Read and check the catalogue: one file for each family.

    Raises
    ------
    ValueError
        If a field is missing or out of bounds, or two faults share an id.
    """
    faults = tuple(
        msgspec.convert({**plain, "family": path.stem}, Fault)
        for path in sorted(folder.glob("*.toml"))
        for plain in tomllib.loads(path.read_text(encoding="utf-8"))["fault"]
    )
    ids = [fault.id for fault in faults]
    twice = sorted({one for one in ids if ids.count(one) > 1})
    if twice:
        raise ValueError(f"{folder.name}: {', '.join(twice)} appears twice; ids must differ")
    return faults
