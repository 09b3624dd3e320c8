"""A queue of images that have no stamps but their arrival: it shows only while it is emptied.

Images are acquired at the declared rate. Where they arrive faster, those before have waited somewhere: in the socket of
a paused receiver, or in the scanner. While such a queue is emptied, nobody knows how old its images are.
"""

from __future__ import annotations

from typing import Final

from gating.decision.reasons import GateReason, HoldReason
from gating.messages import FrameHeader, StampMeaning
from gating.settings.config import HealthSettings

QUICKEST: Final = 0.95
"""Share of the declared interval at which a source that has no queue may send: it may be declared that wrongly."""
MOST_QUEUED_NS: Final = 150_000_000
"""More is not counted, so that a queue that has been emptied is forgotten within some seconds."""


def queued_ns(header: FrameHeader, before: FrameHeader | None, queued_before_ns: int, interval_ns: int) -> int:
    """Return by how much frames of the stream are known to have been older than their arrival, ns.

    Parameters
    ----------
    header, before
        The newest frame and the one before it; None if there is none.
    queued_before_ns
        What this function returned for `before`.
    interval_ns
        Declared time between frames; 0 if it is not known.
    """
    if before is None or interval_ns == 0 or header.acquired_meaning is not StampMeaning.ARRIVAL:
        return 0
    due_ns = round(QUICKEST * interval_ns * (header.sequence - before.sequence))
    ahead_ns = queued_before_ns + due_ns - (header.acquired_ns - before.acquired_ns)
    return min(max(0, ahead_ns), MOST_QUEUED_NS)


def check_queue(sequence: int, queued: int, settings: HealthSettings) -> HoldReason | None:
    """Return a fault if images are known to have waited for longer than a stamp may be uncertain."""
    if not queued > settings.max_stamp_uncertainty_ms * 1e6:
        return None
    return HoldReason(
        GateReason.STAMP_UNCERTAIN,
        f"frame {sequence}: images arrive faster than they are acquired, so they waited by {queued / 1e6:.0f} ms "
        f"or more, the limit is {settings.max_stamp_uncertainty_ms:g} ms",
    )
