"""The rules of a target as bands over its displacement, for the strip charts and for guiding the patient.

They are those of the report: the rules that decide in the engine are asked, in a process of its own, because the first
time on a computer they may have to be compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

import msgspec
import numpy as np
from msgspec import Struct

from gating.geometry.plane import HasGeometry, ImagePlane
from gating.messages import TargetReference
from gating.settings.config import GatingSettings

Axis = Literal["lr", "ap", "si"]


class Band(Struct, frozen=True):
    """Where the centre of a target may be along one patient axis, mm towards left, anterior or superior.

    None: the rule does not object on that side.
    """

    rule: str
    axis: Axis
    low_mm: float | None
    high_mm: float | None


Bands = dict[str, list[Band]]
"""By the target's name."""


def measure(
    references: Mapping[str, TargetReference], planes: Mapping[str, HasGeometry], gating: GatingSettings
) -> bytes:
    """Return the bands of every target of a session, as JSON.

    Parameters
    ----------
    references
        The targets by name.
    planes
        Geometry of each target's images, by the target's name.

    Raises
    ------
    ValueError
        If the orientation of a plane is none.
    """
    from gating.report.gate_band import GateBand, gate_bands

    def shown(one: GateBand) -> Band:
        return Band(one.name.partition(",")[0], cast(Axis, one.axis), _known(one.low_mm), _known(one.high_mm))

    found = {name: gate_bands(name, references, ImagePlane.of(planes[name]), gating) for name in references}
    return msgspec.json.encode({name: [shown(one) for one in own] for name, own in found.items()})


def _known(level_mm: float) -> float | None:
    return round(level_mm, 2) if np.isfinite(level_mm) else None
