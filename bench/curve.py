"""The time that CURVE adds to the loop: the same pipeline with and without keys, in turns, frame by frame."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from msgspec.structs import replace

from bench.loop import Case, Transport, bench_config, run_case
from bench.results import tail
from gating.settings.config import SecuritySettings
from gating.wire.keys import ROLES, new_key

SECONDS: Final = 12.0
TRANSPORTS: Final[tuple[Transport, ...]] = ("ipc", "tcp")
CASES: Final = tuple((transport, rate_hz) for transport in TRANSPORTS for rate_hz in (8.0, 60.0))


def curve_rows(seconds: float = SECONDS) -> list[dict[str, Any]]:
    """Run every row at 256x256 uint16; return `curve[]`.

    `added_ms` holds percentiles of the difference for each frame: the two pipelines get each picture one after the
    other.
    """
    rows = []
    with tempfile.TemporaryDirectory(prefix="cinegate-keys-") as name:
        folder = Path(name) / "keys"
        for role in ROLES:
            new_key(folder, role)
        plain = bench_config()
        pipelines = {"plain": plain, "curve": replace(plain, security=SecuritySettings(keys=str(folder)))}
        for transport, rate_hz in CASES:
            case = Case(transport, rate_hz, 256, "uint16", max(80, round(seconds * rate_hz)))
            found = run_case(case, pipelines)
            added = found["curve"].loop_ms - found["plain"].loop_ms
            rows.append(
                {
                    "transport": transport,
                    "rate_hz": rate_hz,
                    "size_px": case.size_px,
                    "dtype": case.dtype,
                    "n": int(np.isfinite(added).sum()),
                    "plain_ms": tail(found["plain"].answered),
                    "curve_ms": tail(found["curve"].answered),
                    "added_ms": tail(added[np.isfinite(added)]),
                }
            )
    return rows
