"""Settings of the position stream, for machines that follow a target: `[positions]`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct


def _ms(description: str, source: str = "", *, ge: float = 0.0, le: float = 500.0) -> Meta:
    return Meta(ge=ge, le=le, description=description, extra={"unit": "ms", "source": source})


class PositionSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a machine that follows the target is told, and for how long it may believe it."""

    consumer_latency_ms: Annotated[
        float, _ms("measured time from a position sent to a machine that stands there; predictions are for then")
    ] = 100.0
    method: Literal["persistence", "ridge", "rls", "kalman", "blend"] = "blend"
    lease_ms: Annotated[float, _ms("how long a position may be followed, counted by the machine", ge=20)] = 100.0
    renew_ms: Annotated[float, _ms("interval at which a position is predicted anew and sent", ge=5, le=50)] = 20.0
    max_horizon_ms: Annotated[
        float,
        _ms(
            "longest time from the acquisition to the moment of the prediction; positions beyond it are not valid",
            "AAPM TG-76 section VI",
            ge=50,
        ),
    ] = 500.0
