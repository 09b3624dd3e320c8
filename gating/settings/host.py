"""What source, engine and beam interface ask of the operating system."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

LAST_CORE, ANY_CORE = -1, -2
"""In place of a core's number."""


class HostSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[host]` table: what source, engine and beam interface ask of the operating system."""

    fifo_priority: Annotated[
        int,
        Meta(
            ge=0,
            le=80,
            description="SCHED_FIFO priority of the source; engine, beam interface and libzmq come 1 to 4 above it; "
            "0 leaves the ordinary scheduler",
        ),
    ] = 10
    engine_core: Annotated[
        int, Meta(ge=-2, le=1023, description="core that the gating loop keeps to; -1: the last permitted one, -2: any")
    ] = LAST_CORE
    rehearse_before_ms: Annotated[
        float,
        Meta(ge=0, le=50, description="at most so long before a frame is due a rehearsal of its step ends; 0: never"),
    ] = 2.5
    keep_cores_awake: Annotated[
        bool, Meta(description="hold /dev/cpu_dma_latency at 0 us, so that idle cores do not sleep; costs power")
    ] = True
    lock_memory: Annotated[bool, Meta(description="keep every page in memory")] = False
    run_as: Annotated[
        str, Meta(max_length=32, description="user that a process started as root becomes once its sockets are bound")
    ] = ""
