"""The latency of the whole gating chain as a sum of published distributions. See `docs/latency_budget.md`.

The chain reaches from the target crossing the gating boundary to the beam having followed. Its links are assumed to be
independent and added by Monte Carlo. A link that was measured contributes its samples instead of the published figure.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

DRAWS: Final = 200_000
SEED: Final = 5
TG76_LIMIT_MS: Final = 500.0
"""Limit for the whole loop of a gated or tracked delivery: AAPM TG-76 section VI, doi:10.1118/1.2349696."""

Milliseconds = Annotated[float, Meta(ge=0, le=10_000)]
Beam = Literal["off", "on"]


class Link(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One delay of the chain.

    `uniform` lies between `low` and `high`; `normal` has the mean `low` and the standard deviation `high`, cut at 0.
    Both are in ms, or in frame intervals if `per_interval` is set.
    """

    name: str
    kind: Literal["uniform", "normal"]
    low: Milliseconds
    high: Milliseconds
    per_interval: bool = False
    beam: Literal["off", "on", "both"] = "both"
    software: bool = False
    source: str

    def draw(self, interval_ms: float, rng: np.random.Generator, draws: int) -> NDArray[np.float64]:
        """Return samples, ms."""
        scale = interval_ms if self.per_interval else 1.0
        if self.kind == "uniform":
            return scale * rng.uniform(self.low, self.high, draws)
        return np.maximum(0.0, scale * rng.normal(self.low, self.high, draws))


class _Chain(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    link: list[Link]


@dataclass(frozen=True, slots=True)
class LinkShare:
    """The contribution of one link to the sum."""

    name: str
    p50_ms: float
    p99_ms: float
    share: float
    """Share of the mean of the sum, 0 to 1."""
    software: bool
    source: str


@dataclass(frozen=True, slots=True)
class ChainSummary:
    """The latency of the chain, and what each link contributes."""

    beam: Beam
    rate_hz: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    software_share: float
    within_tg76: float
    """Probability that the latency is at most 500 ms."""
    links: tuple[LinkShare, ...]


@cache
def published_chain() -> tuple[Link, ...]:
    """Return the links of the chain with their published figures, in order."""
    text = files("gating.latency").joinpath("published_chain.toml").read_text(encoding="utf-8")
    return tuple(msgspec.convert(tomllib.loads(text), _Chain).link)


def sum_chain(
    rate_hz: float,
    beam: Beam,
    *,
    measured_ms: Mapping[str, Sequence[float] | NDArray[np.float64]] | None = None,
    links: Sequence[Link] | None = None,
    draws: int = DRAWS,
) -> ChainSummary:
    """Return the latency of the chain.

    Parameters
    ----------
    rate_hz
        Cine frames per second.
    beam
        Which change of the beam ends the chain.
    measured_ms
        Measured samples by name of the link, which replace the published figure.
    links
        Links of the chain; the published ones by default.
    draws
        Number of Monte Carlo samples.

    Raises
    ------
    ValueError
        If the rate is not above 0, or a measured link is unknown or has no finite sample.
    """
    if not rate_hz > 0:
        raise ValueError(f"rate_hz is {rate_hz}; above 0 frames/s is needed")
    chain = [link for link in (links or published_chain()) if link.beam in (beam, "both")]
    own = _checked(measured_ms or {}, chain)
    rng = np.random.default_rng(SEED)
    samples = {
        link.name: rng.choice(own[link.name], draws) if link.name in own else link.draw(1e3 / rate_hz, rng, draws)
        for link in chain
    }
    total = np.sum(list(samples.values()), axis=0)
    mean = float(total.mean())
    shares = tuple(
        LinkShare(
            link.name,
            float(np.percentile(samples[link.name], 50)),
            float(np.percentile(samples[link.name], 99)),
            float(samples[link.name].mean()) / mean,
            link.software,
            f"measured, n = {len(own[link.name])}" if link.name in own else link.source,
        )
        for link in chain
    )
    p50, p95, p99 = np.percentile(total, [50, 95, 99]).tolist()
    software = sum(share.share for share in shares if share.software)
    return ChainSummary(beam, rate_hz, p50, p95, p99, software, float((total <= TG76_LIMIT_MS).mean()), shares)


def _checked(measured_ms: Mapping[str, Any], chain: Sequence[Link]) -> dict[str, NDArray[np.float64]]:
    known = {link.name for link in chain}
    own = {}
    for name, samples in measured_ms.items():
        if name not in known:
            raise ValueError(f"measured link {name!r} is unknown; known are {', '.join(sorted(known))}")
        finite = np.asarray(samples, dtype=np.float64)
        finite = finite[np.isfinite(finite)]
        if not len(finite):
            raise ValueError(f"measured link {name!r} has no finite sample")
        own[name] = finite
    return own
