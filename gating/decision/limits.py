"""The limits of every decision; they depend only on the configuration and the declared stream."""

from __future__ import annotations

from gating.decision.decide import DecisionLimits
from gating.messages import StreamInfo
from gating.settings.config import Config, SafetySettings


def decision_limits(config: Config, stream: StreamInfo | None) -> DecisionLimits:
    """Return the limits; until a stream is declared, a frame may be as old as `stale_max_ms`."""
    gating, safety = config.gating, config.safety
    stale_ns = round(safety.stale_max_ms * 1e6)
    if stream is not None and stream.nominal_interval_ns > 0:
        stale_ns = stale_limit_ns(stream.nominal_interval_ns, len(stream.planes), stream.speed, safety)
    return DecisionLimits(
        min_confidence=config.tracking.min_confidence,
        stale_ns=stale_ns,
        resume_good_frames=gating.resume_good_frames,
        max_beam_on_ns=round(safety.max_beam_on_s * 1e9),
        min_dwell_ns=round(safety.min_dwell_ms * 1e6),
        on_delay_ns=round(gating.on_delay_ms * 1e6),
        off_delay_ns=round(gating.off_delay_ms * 1e6),
    )


def stale_limit_ns(nominal_interval_ns: int, planes: int, speed: float, settings: SafetySettings) -> int:
    """Return the age at which a frame no longer permits beam, ns.

    The default is 1.5 intervals plus a margin, at most `stale_max_ms`: one late frame does not hold the beam, one lost
    frame does. With interleaved planes the interval is that between two frames of the same plane.
    """
    interval_ms = nominal_interval_ns * planes / 1e6 / (speed if speed > 0 else 1.0)
    limit_ms = settings.stale_intervals * interval_ms + settings.stale_margin_ms + settings.source_latency_ms
    return round(min(limit_ms, settings.stale_max_ms) * 1e6)
