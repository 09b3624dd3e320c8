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
"""Longest delay that AAPM TG-76 (section VI, doi:10.1118/1.2349696) has in mind for a beam that follows the target in
real time. No acceptance limit of gating, of which it names none."""
TG142_LIMIT_MS: Final = 100.0
"""How far the gate may be from the expected time, once a year: AAPM TG-142, doi:10.1118/1.3190392."""
MACHINE: Final = "0.35 T MR-linac"

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
    machine: str = ""
    """Class of the machine; empty: every one."""
    software: bool = False
    source: str

    def draw(self, interval_ms: float, rng: np.random.Generator, draws: int) -> NDArray[np.float64]:
        """Return samples, ms."""
        scale = interval_ms if self.per_interval else 1.0
        if self.kind == "uniform":
            return scale * rng.uniform(self.low, self.high, draws)
        return np.maximum(0.0, scale * rng.normal(self.low, self.high, draws))


class WholeChain(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The latency of a whole chain, from the target's crossing to the beam, as it was measured somewhere."""

    machine: str
    beam: Beam
    low_ms: Milliseconds
    high_ms: Milliseconds
    source: str


class _Chain(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    link: list[Link]
    whole: list[WholeChain]


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
    machine: str
    whole: WholeChain | None
    """What was measured of the whole chain: here, or else as published for this class of machine."""


@cache
def _published() -> _Chain:
    text = files("gating.latency").joinpath("published_chain.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), _Chain)


def machines() -> tuple[str, ...]:
    """Return the classes of machine with published figures."""
    return tuple(dict.fromkeys(one.machine for one in _published().whole))


def published_chain(machine: str = MACHINE) -> tuple[Link, ...]:
    """Return the links of the chain of a class of machine with their published figures, in order.

    Raises
    ------
    ValueError
        If nothing is published of that class.
    """
    if machine not in machines():
        raise ValueError(f"machine is {machine!r}; {', '.join(machines())} have published figures")
    return tuple(link for link in _published().link if link.machine in ("", machine))


def sum_chain(
    rate_hz: float,
    beam: Beam,
    *,
    machine: str = MACHINE,
    measured_ms: Mapping[str, Sequence[float] | NDArray[np.float64]] | None = None,
    physical_ms: Sequence[float] = (),
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
    machine
        Class of the machine, one of `machines`.
    measured_ms
        Measured samples by name of the link, which replace the published figure.
    physical_ms
        Latencies of the whole chain that the site has measured, which stand in the place of the published ones.
    links
        Links of the chain; the published ones by default.
    draws
        Number of Monte Carlo samples.

    Raises
    ------
    ValueError
        If the rate is not above 0, the machine is unknown, or a measured link is unknown or has no finite sample.
    """
    if not rate_hz > 0:
        raise ValueError(f"rate_hz is {rate_hz}; above 0 frames/s is needed")
    chain = [link for link in (links or published_chain(machine)) if link.beam in (beam, "both")]
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
    within = float((total <= TG76_LIMIT_MS).mean())
    whole = _whole(machine, beam, physical_ms)
    return ChainSummary(beam, rate_hz, p50, p95, p99, software, within, shares, machine, whole)


def _whole(machine: str, beam: Beam, physical_ms: Sequence[float]) -> WholeChain | None:
    if len(physical_ms):
        low_ms, high_ms = min(physical_ms), max(physical_ms)
        source = f"measured here, n = {len(physical_ms)}"
        return WholeChain(machine=machine, beam=beam, low_ms=low_ms, high_ms=high_ms, source=source)
    return next((one for one in _published().whole if (one.machine, one.beam) == (machine, beam)), None)


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
