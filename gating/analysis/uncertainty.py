"""The tables of geometric uncertainties on which margins are based, each with its value, kind, arm and source.

The arms are those of a comparison such as MAESTRO's (doi:10.1186/s13014-022-02033-2): gating on an MR-linac with a plan
of the day, and an ITV (or the mid-position) on a conventional linac with a cone-beam CT.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import tomli_w
from msgspec import Meta, Struct

Arm = Literal["gated", "ungated"]
Kind = Literal["systematic", "random", "intrafraction"]
"""The same in every fraction; another in each fraction; varying within a fraction, so that it blurs the dose."""


class Uncertainty(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One geometric uncertainty: its standard deviation, its kind, and the source of the value."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    sd_mm: Annotated[float, Meta(ge=0, le=50)]
    kind: Kind
    source: Annotated[str, Meta(min_length=1, max_length=200)]
    gated_only: bool = False
    """True if it does not affect plans without gating, as the uncertainty of tracking."""
    ungated_only: bool = False
    """True if it does not affect gating on an MR-linac, as the match of a cone-beam CT."""

    def __post_init__(self) -> None:
        if self.gated_only and self.ungated_only:
            raise ValueError(f"{self.name}: gated_only and ungated_only are both true; at most one can be")

    def affects(self, arm: Arm) -> bool:
        """Return whether a plan of that arm suffers from it."""
        return not (self.ungated_only if arm == "gated" else self.gated_only)


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    uncertainty: Annotated[tuple[Uncertainty, ...], Meta(min_length=1)]


def default_table(pixel_mm: float) -> tuple[Uncertainty, ...]:
    """Return a table to start from. Its sources say which values are assumed and have to be measured at the site."""
    pixel_sd_mm = round(pixel_mm / 12**0.5, 3)
    return (
        _both("delineation", 2.0, "assumed for every site; 2 mm in the lung example of ESTRO's SBRT course, 2016"),
        _both("leaf position", 0.5, "assumed; tolerance 1 mm: AAPM TG-142, doi:10.1118/1.3190392"),
        _gated("tracking", 1.0, "intrafraction", "assumed; `cinegate evaluate` on the site's labelled cases"),
        _gated("pixel size", pixel_sd_mm, "intrafraction", "uniform within a pixel: JCGM 100:2008 (GUM) 4.3.7"),
        _gated("MR geometric distortion", 0.5, "systematic", "assumed; site phantom QA"),
        _gated("MR to radiation isocentre", 0.5, "systematic", "assumed; site QA"),
        _gated("set-up by the plan of the day, mean", 0.5, "systematic", "assumed; repeated matches on MR at the site"),
        _gated("set-up by the plan of the day", 1.0, "random", "assumed; repeated matches on MR at the site"),
        _ungated("CT to radiation isocentre", 0.5, "systematic", "assumed; tolerance 1 mm: AAPM TG-142"),
        _ungated("baseline left by CBCT, mean", 1.0, "systematic", "assumed; repeated CBCT at the site"),
        _ungated(
            "baseline left by CBCT", 1.6, "random", "matching the liver, largest axis: Case, ASTRO 2007, abstract 2124"
        ),
    )


def _both(name: str, sd_mm: float, source: str) -> Uncertainty:
    return Uncertainty(name=name, sd_mm=sd_mm, kind="systematic", source=source)


def _gated(name: str, sd_mm: float, kind: Kind, source: str) -> Uncertainty:
    return Uncertainty(name=name, sd_mm=sd_mm, kind=kind, source=source, gated_only=True)


def _ungated(name: str, sd_mm: float, kind: Kind, source: str) -> Uncertainty:
    return Uncertainty(name=name, sd_mm=sd_mm, kind=kind, source=source, ungated_only=True)


def root_sums_mm(table: Sequence[Uncertainty], arm: Arm) -> dict[Kind, float]:
    """Return the standard deviation of each kind of error in an arm: the root of the sum of squares."""
    kinds: tuple[Kind, ...] = ("systematic", "random", "intrafraction")
    squares = {kind: [u.sd_mm**2 for u in table if u.kind == kind and u.affects(arm)] for kind in kinds}
    return {kind: sum(found) ** 0.5 for kind, found in squares.items()}


def read_table(path: Path) -> tuple[Uncertainty, ...]:
    """Read `[[uncertainty]]` tables from TOML.

    Raises
    ------
    ValueError
        If the file is no such table. The text is one sentence that names field and limit.
    OSError
        If the file cannot be read.
    """
    try:
        return msgspec.toml.decode(path.read_text(encoding="utf-8"), type=_File).uncertainty
    except msgspec.ValidationError as error:
        raise ValueError(f"{path}: {error}") from None
    except msgspec.DecodeError as error:
        raise ValueError(f"{path} is no TOML: {error}") from None


def table_toml(table: Sequence[Uncertainty]) -> str:
    """Return a table as TOML, in which a site can enter its own values."""
    head = (
        "# Standard deviations in mm. `kind`: systematic, random (another in each fraction) or intrafraction.\n"
        "# `gated_only` does not affect plans without gating; `ungated_only` does not affect gating on an MR-linac.\n"
    )
    entries = (tomli_w.dumps(msgspec.to_builtins(one)) for one in table)
    return head + "".join(f"\n[[uncertainty]]\n{entry}" for entry in entries)
