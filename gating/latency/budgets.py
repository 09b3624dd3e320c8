"""The latency budgets. `budgets.toml` beside this file is the only place that defines them."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from gating.settings.toml_lines import parse_toml

Milliseconds = Annotated[float, Meta(gt=0, le=60_000)]
Ratio = Annotated[float, Meta(gt=0, le=100)]
Count = Annotated[int, Meta(ge=0, le=10**9)]


class _Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""


class DecisionBudget(_Table, frozen=True, kw_only=True):
    """From frame received to decided. If `repeated` of the last `window` decisions exceed it, that is a hard fault."""

    max_ms: Milliseconds
    repeated: Annotated[int, Meta(ge=1)]
    window: Annotated[int, Meta(ge=1, le=100_000)]


class Deadline(_Table, frozen=True, kw_only=True):
    """From frame published to command received; at most one frame interval."""

    max_ms: Milliseconds

    def at_rate(self, rate_hz: float) -> float:
        """Return the deadline at a frame rate, ms; 0 frames/s stands for no rate."""
        return min(self.max_ms, 1e3 / rate_hz) if rate_hz > 0 else self.max_ms


class Tail(_Table, frozen=True, kw_only=True):
    """Largest accepted percentiles of a stage."""

    p50_ms: Milliseconds
    p99_ms: Milliseconds
    p999_ms: Milliseconds
    max_ms: Milliseconds


class BeamOff(_Table, frozen=True, kw_only=True):
    """From the loss of a process to line off: the lease or the stale limit, plus the margin."""

    lost_engine_ms: Milliseconds
    margin_ms: Milliseconds


class Ready(_Table, frozen=True, kw_only=True):
    """From the start of the engine process to READY, with and without compiled kernels in the cache."""

    warm_s: Annotated[float, Meta(gt=0)]
    cold_s: Annotated[float, Meta(gt=0)]


class Ratios(_Table, frozen=True, kw_only=True):
    """Of the pipeline with rigid matching to a bare relay, and to the same pipeline with OpenCV, in one run."""

    loop_over_relay_p50: Ratio
    loop_over_relay_p99: Ratio
    loop_over_relay_p999: Ratio
    loop_over_opencv_p50: Ratio


class Kernels(_Table, frozen=True, kw_only=True):
    """Least speed-ups over `cv2.matchTemplate` in the comparison, and least fraction of the FMA peak."""

    exact_mean: Ratio
    exact_worst: Ratio
    coarse_to_fine_mean: Ratio
    coarse_to_fine_worst: Ratio
    exact_on_noise_worst: Ratio
    fma_fraction_worst: Ratio


class LongRun(_Table, frozen=True, kw_only=True):
    """Limits for runs of many frames and for soaks."""

    frames: Count
    rate_hz: Annotated[float, Meta(gt=0)]
    lost: Count
    over_20_ms: Count
    over_50_ms: Count
    back_to_back_per_s: Annotated[float, Meta(gt=0)]
    memory_growth_percent: Ratio


class Budgets(_Table, frozen=True, kw_only=True):
    """The whole file. `stage` has the keys of `gating.latency.stages.STAGES`, `engine_rigid` and `track_organ`."""

    conditions: str
    decision: DecisionBudget
    deadline: Deadline
    stage: dict[str, Tail]
    beam_off: BeamOff
    ready: Ready
    ratio: Ratios
    kernels: Kernels
    long_run: LongRun


def parse_budgets(text: str) -> Budgets:
    """Parse and validate a budgets file.

    Raises
    ------
    ValueError
        If the text is no TOML, or a budget is missing, unknown or out of its range.
    """
    try:
        return msgspec.convert(parse_toml(text), Budgets)
    except (ValueError, msgspec.ValidationError) as error:
        raise ValueError(f"budgets: {error}") from None


@cache
def load_budgets() -> Budgets:
    """Return the budgets that are shipped with cinegate."""
    return parse_budgets(files("gating.latency").joinpath("budgets.toml").read_text(encoding="utf-8"))
