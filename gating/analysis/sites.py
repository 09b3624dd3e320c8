"""What each site of a session received: beam-on time beside what was planned."""

from __future__ import annotations

from collections.abc import Iterator
from math import fsum

from msgspec import Struct

from gating.session.summary_data import Interval, SessionData
from gating.settings.config import ConfigError, parse_past_config
from gating.settings.sites import SiteSettings


class SiteDelivery(Struct, frozen=True, kw_only=True):
    """A site of the session, in the order of the configuration; what is not known is None."""

    site: str
    plan: str
    monitor_units: float | None
    """Planned; what the linac gave is not seen here."""
    planned_beam_on_s: float | None
    beam_on_s: float | None
    """Confirmed beam-on time while an engine treated the site; None if no beam interface was heard."""
    engines: int
    """How many engines treated it; 0 if it was never begun."""


def site_deliveries(data: SessionData) -> list[SiteDelivery]:
    """Return what each site received; an empty list for a session without sites."""
    turns = list(_turns(data))
    found = []
    for planned in planned_sites(data):
        spans = [span for site, span in turns if site == planned.name]
        on_s = fsum(_common_s(on, span) for on in data.confirmed_on for span in spans)
        found.append(
            SiteDelivery(
                site=planned.name,
                plan=planned.plan,
                monitor_units=planned.monitor_units,
                planned_beam_on_s=planned.beam_on_s,
                beam_on_s=on_s if data.statuses else None,
                engines=len(spans),
            )
        )
    return found


def total(values: list[float | None]) -> float | None:
    """Return the sum; None where a part of it is not known."""
    known = [value for value in values if value is not None]
    return fsum(known) if len(known) == len(values) and known else None


def planned_sites(data: SessionData) -> tuple[SiteSettings, ...]:
    """Return the sites of the session's settings, in their order; an empty tuple if they are not known."""
    if data.header is None:
        return ()
    try:
        return parse_past_config(data.header.config_toml, data.path.name).sites
    except ConfigError:
        return ()


def _turns(data: SessionData) -> Iterator[tuple[str, Interval]]:
    """Yield the sites with their spans: each from an engine's first command to the first one of the next engine."""
    begins: dict[str, int] = {}
    for at_ns, command in data.commands:
        begins.setdefault(command.engine_id, at_ns)
    ends = [*list(begins.values())[1:], 2**63]
    for (engine_id, begin_ns), end_ns in zip(begins.items(), ends, strict=False):
        if engine_id in data.sites:
            yield data.sites[engine_id], (begin_ns, end_ns)


def _common_s(one: Interval, other: Interval) -> float:
    return max(0, min(one[1], other[1]) - max(one[0], other[0])) / 1e9
