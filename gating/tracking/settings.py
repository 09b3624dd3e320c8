"""The tracker's settings: the `[tracking]` table of the configuration. Pure data, importable without numba."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class TrackerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings that every tracker reads."""

    search_radius_mm: Annotated[
        float, Meta(ge=2, le=100, description="search window around the last position", extra={"unit": "mm"})
    ] = 20.0
