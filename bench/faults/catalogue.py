"""The catalogue of faults: what is injected, what must follow, and by when."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

CATALOGUE: Final = Path(__file__).with_name("catalogue.toml")

Family = Literal["stream", "time", "bytes", "processes", "anatomy", "beam", "disk"]
Reaction = Literal["hold", "latch", "rearm"]
Bound = Literal["lease", "stale", "recorder", "flush"]
SceneKind = Literal["standard", "float32", "faulty", "replayed", "tiny_disk", "small_file"]


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


class Catalogue(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    tolerance_ms: Annotated[float, Meta(gt=0, le=50)]
    fault: tuple[Fault, ...]


def read_catalogue(path: Path = CATALOGUE) -> Catalogue:
    """Read and check the catalogue.

    Raises
    ------
    ValueError
        If a field is missing or out of bounds, or two faults share an id.
    """
    catalogue = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Catalogue)
    ids = [fault.id for fault in catalogue.fault]
    twice = sorted({one for one in ids if ids.count(one) > 1})
    if twice:
        raise ValueError(f"{path.name}: {', '.join(twice)} appears twice; ids must differ")
    return catalogue
