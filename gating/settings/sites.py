"""Sites that are treated one after another in a session: `[[sites]]`."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

MAX_SITES: Final = 32


class SiteSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One site of a fraction: a lesion with its own targets and its own plan."""

    name: Annotated[str, Meta(min_length=1, max_length=64, description="name of the site, for `cinegate control site`")]
    target: Annotated[
        str, Meta(min_length=1, max_length=1024, description="target file of the site, made by `cinegate targets`")
    ]
    plan: Annotated[str, Meta(max_length=64, description="name of the plan, a pseudonym; shown in the report")] = ""
    monitor_units: (
        Annotated[float, Meta(gt=0, le=1e6, description="planned monitor units", extra={"unit": "MU"})] | None
    ) = None
    beam_on_s: (
        Annotated[float, Meta(gt=0, le=36_000, description="planned beam-on time", extra={"unit": "s"})] | None
    ) = None
