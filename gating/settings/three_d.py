"""Settings of decisions in 3D: `[gating.three_d]`."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

_Cosine = Annotated[float, Meta(ge=-1.001, le=1.001)]
Direction = tuple[_Cosine, _Cosine, _Cosine]
"""A unit vector towards left, posterior, superior."""


LEAST_GROWTH_MM_S: Final = 0.1
"""No preparation teaches less growth: one in which nothing moved says nothing of a treatment in which something does.
No publication found; a limit of this project."""


class CouplingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a preparation has learned of how a structure moves in one direction while it moves in another.

    displacement across = `slope` * displacement along + `lag_s` * speed along; the lag is the hysteresis.
    """

    structure: Annotated[str, Meta(min_length=1, max_length=64, description="name of the structure, or of the target")]
    along_lps: Annotated[Direction, Meta(description="direction that is seen")]
    across_lps: Annotated[Direction, Meta(description="direction that is estimated")]
    slope: Annotated[float, Meta(ge=-10, le=10, description="mm across for each mm along", extra={"unit": "mm/mm"})]
    lag_s: Annotated[float, Meta(ge=-5, le=5, description="mm across for each mm/s along", extra={"unit": "s"})] = 0.0
    growth_mm_s: Annotated[
        float,
        Meta(ge=0, le=100, description="growth of the error since the direction was seen last", extra={"unit": "mm/s"}),
    ]
    bound_mm: Annotated[
        float, Meta(ge=0, le=50, description="error where the direction is never seen", extra={"unit": "mm"})
    ]
    drift_mm_per_min: Annotated[
        float,
        Meta(
            ge=0,
            le=10,
            description="growth of that error over the session",
            extra={"unit": "mm/min", "source": "no publication found; a convention of this project"},
        ),
    ] = 0.5


class ThreeDSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rules judged by the position in 3D: beam on needs the position inside its window wherever its bound allows it."""

    on: Annotated[bool, Meta(description="judge rules by the position in 3D and its bound")] = False
    measured_mm: Annotated[
        float,
        Meta(
            ge=0,
            le=10,
            description="bound of a coordinate that the newest frame shows",
            extra={
                "unit": "mm",
                "source": "a convention of this project; docs/gating.md has its coverage",
            },
        ),
    ] = 0.5
    coverage: Annotated[
        float,
        Meta(ge=0.5, le=1, description="share of the learned errors within the bound", extra={"unit": "fraction"}),
    ] = 0.99
    learn_frames: Annotated[
        int,
        Meta(
            ge=3, le=1000, description="errors that must be known before beam on, per plane", extra={"unit": "frames"}
        ),
    ] = 20
    memory_s: Annotated[
        float, Meta(ge=5, le=600, description="errors older than this are forgotten", extra={"unit": "s"})
    ] = 60.0
    couplings: Annotated[
        tuple[CouplingSettings, ...], Meta(max_length=32, description="what a preparation has taught")
    ] = ()


def residual_risks(settings: ThreeDSettings) -> list[str]:
    """Return what no setting closes: a structure that a coupling alone bounds across a single plane, each once."""
    taught = dict.fromkeys(coupling.structure for coupling in settings.couplings) if settings.on else {}
    return [
        f"gating.three_d.couplings of {name}: with a single plane, no image shows a drift or a roll across it, and "
        "bound_mm and drift_mm_per_min hold only for what the preparation saw; interleave a second plane where you can"
        for name in taught
    ]
