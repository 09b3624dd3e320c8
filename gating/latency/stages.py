"""Latency per stage, from the stamps that messages carry. Percentiles of the raw samples, never a mean alone.

Only stamps of one clock are subtracted. What is measured is software: frame published to command received and line
driven. Acquisition, reconstruction and the linac come on top, see `NOT_MEASURED`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gating.messages import BeamStatus, StageStamps

Samples = Sequence[float] | NDArray[np.float64]

STAGES: Final[dict[str, str]] = {
    "transport": "frame published to received by the engine",
    "decode": "received to decoded and checked",
    "track": "decoded to target position and contour",
    "decide": "tracked to beam decision",
    "publish": "decided to command handed to the socket",
    "engine": "frame received to command handed to the socket",
    "loop": "frame published to command received by the beam interface",
    "applied": "command received to line driven (beam changes only)",
}

NOT_MEASURED: Final = (
    "image acquisition",
    "image reconstruction and its transfer to this host",
    "beam-on and beam-off delay of the linac (of a simulated one it is a setting, not a measurement)",
)

_SPANS: Final = {
    "transport": ("published_ns", "received_ns"),
    "decode": ("received_ns", "decoded_ns"),
    "track": ("decoded_ns", "tracked_ns"),
    "decide": ("tracked_ns", "decided_ns"),
    "publish": ("decided_ns", "sent_ns"),
    "engine": ("received_ns", "sent_ns"),
}


class LatencySummary(Struct, frozen=True):
    """Percentiles of one stage, ms; None where there is no sample."""

    p50: float | None
    p99: float | None
    p999: float | None
    max: float | None
    n: int


def summarise(samples_ms: Samples) -> LatencySummary:
    """Return percentiles by the nearest rank, so that each is a latency that did occur and none is understated.

    Source: Hyndman and Fan 1996, doi:10.1080/00031305.1996.10473566, definition 1.
    """
    if not len(samples_ms):
        return LatencySummary(None, None, None, None, 0)
    p50, p99, p999, largest = _ranks(samples_ms, (50, 99, 99.9, 100))
    return LatencySummary(p50, p99, p999, largest, len(samples_ms))


def in_millimetres(latency_ms: Samples, speeds_mm_s: Samples) -> dict[str, dict[str, float]]:
    """Return how far the target moves within a latency, mm: percentiles of the speed by percentiles of the latency.

    Parameters
    ----------
    latency_ms : samples of one latency.
    speeds_mm_s : samples of the speed of the tracked target.
    """
    speeds = np.asarray(speeds_mm_s, dtype=np.float64)
    speeds = speeds[np.isfinite(speeds)]
    if not len(latency_ms) or not len(speeds):
        return {}
    late = dict(zip(("p50", "p99", "p999", "max"), _ranks(latency_ms, (50, 99, 99.9, 100)), strict=True))
    fast = dict(zip(("median_speed", "p95_speed", "largest_speed"), _ranks(speeds, (50, 95, 100)), strict=True))
    return {
        name: {"mm_s": round(speed, 3), **{key: round(speed * took_ms / 1e3, 5) for key, took_ms in late.items()}}
        for name, speed in fast.items()
    }


def _ranks(samples: Samples, percentiles: Sequence[float]) -> list[float]:
    ranked: list[float] = np.percentile(samples, percentiles, method="inverted_cdf").tolist()
    return ranked


def stage_ms(stamps: StageStamps) -> dict[str, float]:
    """Return the stages of one frame inside the engine, ms; a stage with a stamp that was not reached is left out."""
    spans: dict[str, float] = {}
    for stage, (begin, end) in _SPANS.items():
        begin_ns, end_ns = getattr(stamps, begin), getattr(stamps, end)
        if begin_ns and end_ns:
            spans[stage] = (end_ns - begin_ns) / 1e6
    return spans


def beam_ms(status: BeamStatus, published_ns: int) -> dict[str, float]:
    """Return the stages that end at the beam interface, ms, for the status that answers a newly announced frame.

    published_ns : when the frame was published, on the clock of the status; 0 where that is not known.
    """
    spans: dict[str, float] = {}
    if published_ns and status.command_received_ns:
        spans["loop"] = (status.command_received_ns - published_ns) / 1e6
    if status.applied_ns >= status.command_received_ns > 0:
        spans["applied"] = (status.applied_ns - status.command_received_ns) / 1e6
    return spans
