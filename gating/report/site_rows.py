"""The sites of a session and their totals as rows, for the terminal and for the page."""

from __future__ import annotations

from typing import Final

from gating.analysis.sites import SiteDelivery, total

HEAD: Final = ("site", "plan", "planned", "beam on")
ALL: Final = "all sites"


def site_rows(sites: list[SiteDelivery]) -> list[tuple[str, str, str, str]]:
    """Return a row under `HEAD` for each site, and one of totals; none for a session without sites.

    A total of which a part is not known is not known.
    """
    if not sites:
        return []
    rows = [
        (one.site, one.plan, _planned(one.monitor_units, one.planned_beam_on_s), _s(one.beam_on_s)) for one in sites
    ]
    units, planned_s = total([one.monitor_units for one in sites]), total([one.planned_beam_on_s for one in sites])
    return [*rows, (ALL, "", _planned(units, planned_s), _s(total([one.beam_on_s for one in sites])))]


def _planned(monitor_units: float | None, beam_on_s: float | None) -> str:
    units = "" if monitor_units is None else f"{monitor_units:g} MU"
    return ", ".join(filter(None, (units, "" if beam_on_s is None else _s(beam_on_s)))) or "–"


def _s(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.1f} s"
