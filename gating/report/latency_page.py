"""The page of `cinegate latency`: what a camera measured, where it did, and the model of the whole chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

import numpy as np

from gating.latency.published_chain import ChainSummary
from gating.pages import plots
from gating.pages.page import card, head, number, page, section, table
from gating.report.latency_section import chain_table, limits_sentence, sum_sentence, three_digits

NOTICE: Final = (
    "Research software, not a medical device. What is measured begins when the phantom crosses the gating level and "
    "ends when the beam changes; the model sums published figures of each link."
)
COLOURS: Final = {"off": plots.RED, "on": plots.GREEN}


def latency_page(
    name: str,
    physical: Mapping[str, Sequence[float]],
    chains: Sequence[ChainSummary],
    half_sample_ms: float | None = None,
) -> str:
    """Return the page.

    Parameters
    ----------
    name
        Of the camera's log; empty if there is none.
    physical
        Measured latencies, ms, by what the beam did: `off` or `on`. Where there are none, nothing is plotted.
    chains
        The model, for beam off and beam on.
    half_sample_ms
        What each measurement is known to, ms; None where nothing was measured.
    """
    measured = {beam: found for beam, found in physical.items() if len(found)}
    body = [head("Gating latency", name or "model of published figures; nothing was measured", NOTICE)]
    if measured:
        cards = "".join(
            card(
                f"Beam {beam}, measured",
                three_digits(float(np.median(found))),
                "ms, median",
                f"n = {len(found)}, each ± {number(half_sample_ms, '.1f')} ms",
            )
            for beam, found in measured.items()
        )
        caption = "From the crossing of the gating level to the change of the beam."
        tails = table(
            ["measured (ms)", "p50", "p95", "max", "n"],
            [
                [
                    f"beam {beam}",
                    *(three_digits(float(np.percentile(found, p))) for p in (50, 95, 100)),
                    str(len(found)),
                ]
                for beam, found in measured.items()
            ],
        )
        body += [f'<div class="cards">{cards}</div>', section("Measured", caption, f'<div id="physical"></div>{tails}')]
    body += [
        section(f"Whole chain, beam {chain.beam}", escape(sum_sentence(chain)), chain_table(chain)) for chain in chains
    ]
    body.append(f'<p class="caption">{escape(limits_sentence(chains[-1]))}</p>')
    return page("Gating latency", "\n".join(body), {"physical": _histogram(measured)} if measured else None)


def _histogram(measured: Mapping[str, Sequence[float]]) -> plots.Figure:
    layout = plots.layout(320, legend=True) | {"barmode": "group"}
    layout["xaxis"] = plots.axis("measured latency (ms)")
    layout["yaxis"] = plots.axis("crossings of the level", rangemode="tozero")
    traces = [
        {
            "type": "histogram",
            "x": [round(one, 3) for one in found],
            "name": f"beam {beam}",
            "nbinsx": 40,
            "marker": {"color": COLOURS.get(beam, plots.BLUE)},
        }
        for beam, found in measured.items()
    ]
    return {"data": traces, "layout": layout}
