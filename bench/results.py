"""The result of a benchmark run: one JSON object with all that is needed to compare two runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from hdrh.histogram import HdrHistogram
from msgspec import to_builtins
from numpy.typing import NDArray

from bench.engine_steps import step_samples_ms
from bench.loop import Case, Samples, bench_config, target_speeds_mm_s
from gating.latency.budgets import Budgets
from gating.latency.stages import NOT_MEASURED, in_millimetres, summarise

FORMAT: Final = "cinegate bench 1"
LONGEST_US: Final = 60_000_000
DIGITS: Final = 3
SHARES: Final = np.concatenate([np.linspace(0, 90, 19), 100 - np.geomspace(9, 0.01, 40)])
"""Percentiles at which a distribution is drawn, most of them in the tail."""


def loop_row(case: Case, found: dict[str, Samples], budgets: Budgets) -> dict[str, Any]:
    """Return one row of `loop[]`."""
    ours = found["cinegate"]
    deadline_ms = budgets.deadline.at_rate(case.rate_hz)
    return {
        "transport": case.transport,
        "rate_hz": case.rate_hz,
        "size_px": case.size_px,
        "dtype": case.dtype,
        "n": len(ours.answered),
        "skipped": int(np.isnan(ours.loop_ms).sum()),
        "missed": int((ours.answered > deadline_ms).sum()),
        "relay_ms": tail(found["relay"].answered),
        "cinegate_ms": tail(ours.answered),
        "opencv_pipeline_ms": tail(found["opencv"].answered),
        "stages": {stage: tail(samples) for stage, samples in ours.stages_ms.items()},
    }


def tail(samples_ms: Sequence[float] | NDArray[np.float64]) -> dict[str, float | None]:
    """Return `{p50, p99, p999, max}`, ms."""
    summary = summarise(samples_ms)
    return {name: _rounded(getattr(summary, name)) for name in ("p50", "p99", "p999", "max")}


def detail_row(case: Case, found: dict[str, Samples]) -> dict[str, Any]:
    """Return the details of a row: ratios, p90, jitter (quartiles), frames/s, millimetres, distributions."""
    relay, ours, opencv = (found[name].answered for name in ("relay", "cinegate", "opencv"))
    speeds = target_speeds_mm_s()
    return {
        "case": str(case),
        "ratios": {
            "cinegate_over_relay": _ratios(ours, relay),
            "cinegate_over_opencv": _ratios(ours, opencv),
        },
        "p90_ms": {name: _rounded(float(np.percentile(one.answered, 90))) for name, one in found.items() if _any(one)},
        "jitter_ms": {
            name: _rounded(float(np.subtract(*np.percentile(one.answered, [75, 25]))))
            for name, one in found.items()
            if _any(one)
        },
        "frames_per_s": {name: round(one.per_s, 1) for name, one in found.items() if one.per_s > 0},
        "latency_mm": in_millimetres(ours, speeds),
        "distributions": {name: distribution(one.answered) for name, one in found.items() if _any(one)},
    }


def distribution(samples_ms: NDArray[np.float64]) -> dict[str, Any]:
    """Return a high dynamic range histogram (three digits, 1 us to 60 s), and its points for a plot."""
    histogram = HdrHistogram(1, LONGEST_US, DIGITS)
    for sample in samples_ms:
        histogram.record_value(max(1, round(1e3 * float(sample))))
    deepest = 100 * (1 - 1 / max(1, len(samples_ms)))
    shown = SHARES[deepest >= SHARES]
    return {
        "hdr": histogram.encode().decode("ascii"),
        "percentile": [round(float(share), 4) for share in shown],
        "ms": [histogram.get_value_at_percentile(float(share)) / 1e3 for share in shown],
    }


def engine_rows(quick: bool) -> list[dict[str, Any]]:
    """Return the times of the engine without sockets, from received to packed, with cold caches."""
    frames = 150 if quick else 1000
    return [
        {
            "tracker": tracker,
            "size_px": size_px,
            "dtype": "uint16",
            "n": frames,
            "engine_ms": tail(step_samples_ms(tracker, size_px, "uint16", frames, cold=True)),
        }
        for tracker, size_px in (("rigid", 256), ("opencv", 256), ("template", 350))
    ]


def checks(loop: list[dict[str, Any]], budgets: Budgets) -> list[dict[str, Any]]:
    """Compare the rows with a frame rate (not back to back) with the budgets."""
    limits = budgets.ratio
    verdicts = []
    for row in loop:
        if not row["rate_hz"]:
            continue
        where = f"{row['transport']}, {row['rate_hz']:g} frames/s, {row['size_px']} px {row['dtype']}"
        for peer, key, limit in (
            ("relay_ms", "p50", limits.loop_over_relay_p50),
            ("relay_ms", "p99", limits.loop_over_relay_p99),
            ("relay_ms", "p999", limits.loop_over_relay_p999),
            ("opencv_pipeline_ms", "p50", limits.loop_over_opencv_p50),
        ):
            ours, theirs = row["cinegate_ms"][key], row[peer][key]
            if ours and theirs:
                ratio = round(ours / theirs, 3)
                name = f"{key} over {peer.removesuffix('_ms')}"
                verdicts.append({"where": where, "what": name, "found": ratio, "limit": limit, "met": ratio <= limit})
        engine = row["stages"].get("engine", {})
        for key in ("p50", "p99"):
            limit = getattr(budgets.stage["engine_rigid"], f"{key}_ms")
            if engine.get(key):
                verdicts.append(
                    {
                        "where": where,
                        "what": f"engine {key}, ms",
                        "found": engine[key],
                        "limit": limit,
                        "met": engine[key] <= limit,
                    }
                )
    return verdicts


def collect(
    provenance: dict[str, Any],
    budgets: Budgets,
    *,
    kernels: list[dict[str, Any]],
    loop: list[dict[str, Any]],
    details: list[dict[str, Any]],
    engine: list[dict[str, Any]],
) -> dict[str, Any]:
    """Return the whole result."""
    return {
        "format": FORMAT,
        "provenance": provenance,
        "settings": to_builtins(bench_config()),
        "left_out": list(NOT_MEASURED),
        "kernels": kernels,
        "loop": loop,
        "engine": engine,
        "details": details,
        "checks": checks(loop, budgets),
    }


def _ratios(ours: NDArray[np.float64], floor: NDArray[np.float64]) -> dict[str, float | None]:
    a, b = tail(ours), tail(floor)
    return {key: _rounded(over / under) if over and (under := b[key]) else None for key, over in a.items()}


def _any(samples: Samples) -> bool:
    return len(samples.answered) > 0


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
