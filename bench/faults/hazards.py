"""The hazards, traced to requirement, mechanism and proof, and their FMEA sheet; all of it from `hazards.toml`."""

from __future__ import annotations

import csv
import io
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from bench.faults.catalogue import read_catalogue
from gating.settings.safeguards import SAFEGUARDS

HAZARDS: Final = Path(__file__).with_name("hazards.toml")
ROOT: Final = Path(__file__).parents[2]
FMEA_HEAD: Final = ("hazard", "effect", "cause", "S", "O", "D", "RPN", "control", "O after", "D after", "RPN after")

Text = Annotated[str, Meta(min_length=3, max_length=200)]
Rank = Annotated[int, Meta(ge=1, le=10)]


class Hazard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One hazard.

    `severity`, `occurrence` and `detection` are ranks of AAPM TG-100, the last two before and after the mechanism. The
    rank of detection is high where a failure would stay unseen.
    """

    id: Annotated[str, Meta(pattern="^H[1-9][0-9]*$")]
    name: Text
    cause: Text
    requirement: Text
    mechanism: Text
    files: tuple[str, ...]
    faults: tuple[str, ...]
    tests: tuple[str, ...]
    severity: Rank
    occurrence: tuple[Rank, Rank]
    detection: tuple[Rank, Rank]
    gap: str = ""
    """Why nothing proves the mechanism, where nothing does."""

    @property
    def priority(self) -> tuple[int, int]:
        """Risk priority number before and after: severity x occurrence x detection."""
        before, after = zip(self.occurrence, self.detection, strict=True)
        return self.severity * before[0] * before[1], self.severity * after[0] * after[1]


def read_hazards(path: Path = HAZARDS) -> tuple[Hazard, ...]:
    """Read and check the hazards.

    Raises
    ------
    ValueError
        If a field is missing or out of bounds.
    """
    return tuple(msgspec.convert(plain, Hazard) for plain in tomllib.loads(path.read_text(encoding="utf-8"))["hazard"])


def breaks(hazards: tuple[Hazard, ...], root: Path = ROOT) -> Iterator[str]:
    """Yield one sentence for each break in the trace, in both directions."""
    faults = {fault.id for fault in read_catalogue()}
    for hazard in hazards:
        missing = [name for name in (*hazard.files, *hazard.tests) if not (root / name).is_file()]
        missing += sorted(set(hazard.faults) - faults)
        if missing:
            yield f"{hazard.id} names what does not exist: {', '.join(missing)}"
        if bool(hazard.faults or hazard.tests) == bool(hazard.gap):
            yield f"{hazard.id} needs a fault, a test, or a gap that says why there is none"
    unassigned = sorted(faults - {fault for hazard in hazards for fault in hazard.faults})
    unassigned += sorted(safety_tests(root) - {test for hazard in hazards for test in hazard.tests})
    if unassigned:
        yield f"without a hazard in bench/faults/hazards.toml: {', '.join(unassigned)}"
    unknown = sorted({one.hazard for one in SAFEGUARDS} - {hazard.id for hazard in hazards})
    if unknown:
        yield f"gating/settings/safeguards.py names unknown hazards: {', '.join(unknown)}"


def safety_tests(root: Path = ROOT) -> set[str]:
    """Return the modules whose tests must belong to a hazard: those that break running processes."""
    return {str(path.relative_to(root)) for path in (root / "tests" / "faults").glob("test_*.py")}


def hazards_table() -> str:
    """Return hazard, requirement, mechanism and proof."""
    rows = ["| no. | hazard | cause | requirement | mechanism | where | proved by |", "|---|---|---|---|---|---|---|"]
    rows += [
        f"| {one.id} | {one.name} | {one.cause} | {one.requirement} | {one.mechanism} | {_code(one.files)} | "
        f"{_proof(one)} |"
        for one in read_hazards()
    ]
    return "\n".join(rows)


def fmea_rows() -> list[tuple[str | int, ...]]:
    """Return the FMEA sheet, the largest risk before its control first."""
    ranked = sorted(read_hazards(), key=lambda one: -one.priority[0])
    return [
        (f"{one.id}", one.name, one.cause, one.severity, one.occurrence[0], one.detection[0], one.priority[0],
         one.mechanism, one.occurrence[1], one.detection[1], one.priority[1])
        for one in ranked
    ]  # fmt: skip


def fmea_table() -> str:
    """Return the FMEA sheet as a table, without the words that the table of hazards has."""
    chosen = [0, 1, 3, 4, 5, 6, 8, 9, 10]
    lines = [[str(row[column]) for column in chosen] for row in (FMEA_HEAD, *fmea_rows())]
    lines.insert(1, ["---", "---", *["---:"] * (len(chosen) - 2)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def fmea_csv() -> str:
    """Return the whole FMEA sheet for a spreadsheet."""
    sheet = io.StringIO()
    csv.writer(sheet).writerows([FMEA_HEAD, *fmea_rows()])
    return sheet.getvalue()


def _code(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "-"


def _proof(hazard: Hazard) -> str:
    """Return faults and tests; a whole family of faults by its name."""
    families: dict[str, set[str]] = {}
    for fault in read_catalogue():
        families.setdefault(fault.family, set()).add(fault.id)
    whole = [family for family, ids in families.items() if ids <= set(hazard.faults)]
    rest = tuple(one for one in hazard.faults if not any(one in families[family] for family in whole))
    parts = [f"faults of family {family}" for family in whole]
    parts += [_code(each) for each in (rest, hazard.tests) if each]
    return "; ".join(parts) or hazard.gap
