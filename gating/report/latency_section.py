"""The latency section of the report: stages with their budgets, motion within the latency, and the whole chain."""

from __future__ import annotations

from html import escape
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gating.latency.budgets import load_budgets
from gating.latency.published_chain import TG76_LIMIT_MS, TG142_LIMIT_MS, ChainSummary, sum_chain
from gating.latency.stages import NOT_MEASURED, STAGES, LatencySummary, in_millimetres
from gating.pages.page import table
from gating.report.summary import SessionSummary
from gating.session.summary_data import SessionData

PERCENTILES: Final = {"p50": "p50", "p99": "p99", "p999": "p99.9", "max": "max"}
SPEED_SPAN_S: Final = 0.25
"""Speeds are averaged over this span, so that noise between two frames does not count as motion."""


def stage_table(summary: SessionSummary) -> str:
    """Return the stages with their percentiles, in red if they exceed their budget."""
    budgets = load_budgets().stage
    rows = []
    for stage, one in summary.latency_ms.items():
        cells = [f'<b>{stage}</b><br><span class="muted">{escape(STAGES[stage])}</span>']
        for key in PERCENTILES:
            value = getattr(one, key)
            limit = getattr(budgets[stage], f"{key}_ms")
            over = summary.real_time and value is not None and value > limit
            text = three_digits(value)
            cells.append(f'<span class="bad" title="budget {limit:g} ms">{text}</span>' if over else text)
        rows.append([*cells, str(one.n)])
    return table(["stage (ms)", *PERCENTILES.values(), "n"], rows)


def speeds_mm_s(data: SessionData) -> NDArray[np.float64]:
    """Return how fast the targets moved, over spans of a quarter of a second between tracked frames."""
    found: list[NDArray[np.float64]] = []
    for estimates in data.estimates.values():
        tracked = [one for one in estimates if one.status == "tracked" and one.frame_sequence in data.frames]
        t_s = np.array([one.acquired_ns for one in tracked], np.float64) / 1e9
        at_mm = np.array([one.position_mm for one in tracked], np.float64).reshape(-1, 3)
        later = np.searchsorted(t_s, t_s + SPEED_SPAN_S)
        kept = later < len(t_s)
        first, second = np.flatnonzero(kept), later[kept]
        span = t_s[second] - t_s[first]
        near = span < 2 * SPEED_SPAN_S
        moved = np.linalg.norm(at_mm[second] - at_mm[first], axis=1)
        found.append(moved[near] / span[near])
    return np.concatenate(found) if found else np.zeros(0)


def millimetre_table(data: SessionData) -> str:
    """Return how far the targets moved within the latency of the software, by percentiles of speed and latency."""
    moved = in_millimetres(data.stages_ms.get("loop", []), speeds_mm_s(data))
    rows = [
        [f"{name.replace('_', ' ')}, {one['mm_s']:.1f} mm/s", *(f"{one[key]:.4f}" for key in PERCENTILES)]
        for name, one in moved.items()
    ]
    return table(["loop latency in mm, at", *PERCENTILES.values()], rows) if rows else ""


def chain_tables(data: SessionData) -> str:
    """Return the whole chain for beam off and beam on, with the software latency of the session."""
    rate_hz = 1e9 / data.interval_ns if data.interval_ns else 0.0
    if not rate_hz:
        return ""
    stages = {"software": data.stages_ms.get("loop", []), "beam interface": data.stages_ms.get("applied", [])}
    measured = {name: samples for name, samples in stages.items() if len(samples)}
    off, on = (sum_chain(rate_hz, beam, measured_ms=measured) for beam in ("off", "on"))
    return chain_table(off) + f'<p class="caption">{sum_sentence(off)} {sum_sentence(on)} {limits_sentence(on)}</p>'


def chain_table(chain: ChainSummary) -> str:
    """Return the links of a chain as a table."""
    rows = [
        [
            f"<b>{escape(one.name)}</b>" if one.software else escape(one.name),
            three_digits(one.p50_ms),
            three_digits(one.p99_ms),
            f"{100 * one.share:.1f} %",
            f'<span class="muted">{escape(one.source)}</span>',
        ]
        for one in chain.links
    ]
    return table([f"beam {chain.beam}, {chain.rate_hz:.1f} frames/s", "p50 (ms)", "p99 (ms)", "share", "source"], rows)


def sum_sentence(chain: ChainSummary) -> str:
    """Return the latency of a chain as a sentence."""
    text = (
        f"Beam {chain.beam}, {chain.machine}: {chain.p50_ms:.0f} ms (p50), {chain.p95_ms:.0f} ms (p95), "
        f"{chain.p99_ms:.0f} ms (p99), {100 * chain.software_share:.1f} % of it software."
    )
    if chain.whole is not None:
        text += f" Whole chains: {chain.whole.low_ms:.0f} to {chain.whole.high_ms:.0f} ms, {chain.whole.source}."
    return text


def limits_sentence(chain: ChainSummary) -> str:
    """Return what two reports of the AAPM say of such latencies, and what they do not say."""
    return (
        f"{100 * chain.within_tg76:.1f} % (beam {chain.beam}) within the {TG76_LIMIT_MS:g} ms that AAPM TG-76 has in "
        "mind for a beam that follows the target, no limit of gating. "
        f"AAPM TG-142 wants the gate within {TG142_LIMIT_MS:g} ms of the expected time."
    )


def left_out() -> str:
    """Return the list of what the figures do not include."""
    items = "".join(f"<li>{escape(what)}</li>" for what in NOT_MEASURED)
    return f'<p class="caption">This is not the gating latency. It does not include:</p><ul>{items}</ul>'


def three_digits(value: float | None) -> str:
    """Return a time in ms with three digits; empty for None."""
    if value is None:
        return ""
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def over_budget(summary: SessionSummary) -> list[str]:
    """Return a sentence for each percentile of a real-time session that exceeds its budget."""
    budgets = load_budgets().stage
    if not summary.real_time:
        return []
    return [
        f"{stage} {label} is {getattr(one, key):.2f} ms, the budget is {getattr(budgets[stage], f'{key}_ms'):g} ms"
        for stage, one in summary.latency_ms.items()
        for key, label in PERCENTILES.items()
        if _over(one, key, getattr(budgets[stage], f"{key}_ms"))
    ]


def _over(one: LatencySummary, key: str, limit_ms: float) -> bool:
    value = getattr(one, key)
    return value is not None and value > limit_ms
