"""Settings for what source, engine and beam interface request from the operating system."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

LAST_CORE, ANY_CORE = -1, -2
"""Values of `engine_core` that name no single core."""


class HostSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[host]` table: what source, engine and beam interface request from the operating system."""

    fifo_priority: Annotated[
        int,
        Meta(
            ge=0,
            le=80,
            description="SCHED_FIFO priority of the source; engine, beam interface and libzmq run 1 to 4 above it; "
            "0 keeps the ordinary scheduler",
        ),
    ] = 10
    engine_core: Annotated[
        int, Meta(ge=-2, le=1023, description="core that runs the gating loop; -1: the last permitted one, -2: any")
    ] = LAST_CORE
    rehearse_before_ms: Annotated[
        float,
        Meta(ge=0, le=50, description="caches are warmed until at most this long before a frame is due; 0: never"),
    ] = 2.5
    keep_cores_awake: Annotated[
        bool, Meta(description="hold /dev/cpu_dma_latency at 0 us, so that idle cores do not sleep; uses more power")
    ] = True
    lock_memory: Annotated[bool, Meta(description="lock all memory pages, so that none is swapped out")] = False
    run_as: Annotated[
        str,
        Meta(max_length=32, description="user that a process started as root switches to once its sockets are bound"),
    ] = ""
