"""Latency per stage, from the stamps in messages, as percentiles of the raw samples.

Only stamps of the same clock are subtracted. The stages are those of the software, from frame published to command
received and line driven. Acquisition, reconstruction and linac come on top, see `NOT_MEASURED`.
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
    """Percentiles of one stage, ms; None without samples."""

    p50: float | None
    p99: float | None
    p999: float | None
    max: float | None
    n: int


def summarise(samples_ms: Samples) -> LatencySummary:
    """Return percentiles by nearest rank, so that each is a latency that occurred and none is understated.

    Source: Hyndman and Fan 1996, doi:10.1080/00031305.1996.10473566, definition 1.
    """
    if not len(samples_ms):
        return LatencySummary(None, None, None, None, 0)
    p50, p99, p999, largest = _ranks(samples_ms, (50, 99, 99.9, 100))
    return LatencySummary(p50, p99, p999, largest, len(samples_ms))


def in_millimetres(latency_ms: Samples, speeds_mm_s: Samples) -> dict[str, dict[str, float]]:
    """Return how far the target moves within a latency, mm.

    Parameters
    ----------
    latency_ms
        Samples of one latency.
    speeds_mm_s
        Samples of the speed of the target.

    Returns
    -------
    dict
        By percentile of the speed, then of the latency; `mm_s` is the speed itself. Empty without samples.
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
    """Return the stages of one frame in the engine, ms, without those that it did not reach."""
    spans: dict[str, float] = {}
    for stage, (begin, end) in _SPANS.items():
        begin_ns, end_ns = getattr(stamps, begin), getattr(stamps, end)
        if begin_ns and end_ns:
            spans[stage] = (end_ns - begin_ns) / 1e6
    return spans


def beam_ms(status: BeamStatus, published_ns: int) -> dict[str, float]:
    """Return the stages of one frame that end at the beam interface, ms.

    Parameters
    ----------
    status
        First status after the command that announced the frame.
    published_ns
        When the frame was published, on the clock of the status; 0 if unknown.
    """
    spans: dict[str, float] = {}
    if published_ns and status.command_received_ns:
        spans["loop"] = (status.command_received_ns - published_ns) / 1e6
    if status.applied_ns >= status.command_received_ns > 0:
        spans["applied"] = (status.applied_ns - status.command_received_ns) / 1e6
    return spans
