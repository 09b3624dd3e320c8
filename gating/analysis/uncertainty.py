"""The table of geometric uncertainties on which margins are based, each with its value, kind and source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import tomli_w
from msgspec import Meta, Struct


class Uncertainty(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One geometric uncertainty: its standard deviation, its kind, and the source of the value."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    sd_mm: Annotated[float, Meta(ge=0, le=50)]
    kind: Literal["systematic", "random"]
    source: Annotated[str, Meta(min_length=1, max_length=200)]
    gated_only: bool = False
    """True if it does not affect plans without gating, as the uncertainty of tracking."""


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    uncertainty: Annotated[tuple[Uncertainty, ...], Meta(min_length=1)]


def default_table(pixel_mm: float) -> tuple[Uncertainty, ...]:
    """Return a table to start from. Its sources say which values are assumed and have to be measured at the site."""
    return (
        Uncertainty(
            name="tracking",
            sd_mm=1.0,
            kind="random",
            source="assumed; `cinegate evaluate` on the site's labelled cases",
            gated_only=True,
        ),
        Uncertainty(
            name="pixel size",
            sd_mm=round(pixel_mm / 12**0.5, 3),
            kind="random",
            source="uniform within a pixel: JCGM 100:2008 (GUM) 4.3.7",
            gated_only=True,
        ),
        Uncertainty(name="geometric distortion", sd_mm=0.5, kind="systematic", source="assumed; site phantom QA"),
        Uncertainty(name="MR to radiation isocentre", sd_mm=0.5, kind="systematic", source="assumed; site QA"),
        Uncertainty(name="leaf position", sd_mm=0.5, kind="systematic", source="assumed; tolerance 1 mm: AAPM TG-142"),
    )


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
    head = "# Standard deviations in mm. `gated_only`: does not affect plans without gating.\n"
    entries = (tomli_w.dumps(msgspec.to_builtins(one)) for one in table)
    return head + "".join(f"\n[[uncertainty]]\n{entry}" for entry in entries)
