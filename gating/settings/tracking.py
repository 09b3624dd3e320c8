"""Settings of the tracker: the `[tracking]` table of the configuration."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class TrackerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[tracking]` table of the configuration."""

    search_radius_mm: Annotated[
        float, Meta(ge=5, le=150, description="largest distance of the target from where it is expected, mm")
    ] = 60.0
    margin_mm: Annotated[
        float, Meta(ge=0, le=30, description="width of the tissue around the target that belongs to the template, mm")
    ] = 6.0
    max_speed_mm_s: Annotated[
        float, Meta(ge=10, le=1000, description="fastest plausible motion of the target centre, mm/s")
    ] = 120.0
    max_templates: Annotated[
        int, Meta(ge=1, le=16, description="largest number of templates; 1: the reference alone")
    ] = 4
    min_confidence: Annotated[
        float, Meta(ge=0, le=1, description="below this P(error <= 2 mm) a result is low_confidence")
    ] = 0.8
    lost_confidence: Annotated[
        float, Meta(ge=0, le=1, description="below this P(error <= 2 mm) the target counts as lost")
    ] = 0.2
