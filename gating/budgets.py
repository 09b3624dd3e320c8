"""The latency budgets (`bench/budgets.toml`, the only place where they stand), and how a decision is held to them."""

from __future__ import annotations

import tomllib
from collections import deque
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from gating.decision import Fault, GateReason
from gating.messages import StageStamps

Milliseconds = Annotated[float, Meta(gt=0, le=60_000)]
Ratio = Annotated[float, Meta(gt=0, le=100)]
Count = Annotated[int, Meta(ge=0, le=10**9)]


class _Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""


class DecisionBudget(_Table, frozen=True, kw_only=True):
    """From frame received to decided; `repeated` of the last `window` decisions over it are a hard fault."""

    max_ms: Milliseconds
    repeated: Annotated[int, Meta(ge=1)]
    window: Annotated[int, Meta(ge=1, le=100_000)]


class Deadline(_Table, frozen=True, kw_only=True):
    """From frame published to command received; one frame interval, where that is shorter."""

    max_ms: Milliseconds

    def at_rate(self, rate_hz: float) -> float:
        """Return the deadline at a frame rate, ms (0 frames/s: no rate of its own)."""
        return min(self.max_ms, 1e3 / rate_hz) if rate_hz > 0 else self.max_ms


class Tail(_Table, frozen=True, kw_only=True):
    """Largest accepted percentiles of a stage."""

    p50_ms: Milliseconds
    p99_ms: Milliseconds
    p999_ms: Milliseconds
    max_ms: Milliseconds


class BeamOff(_Table, frozen=True, kw_only=True):
    """From the loss of a process to line off: the lease, or the stale limit, plus the margin."""

    lost_engine_ms: Milliseconds
    margin_ms: Milliseconds


class Ready(_Table, frozen=True, kw_only=True):
    """From the start of the engine process to READY, with compiled kernels in the cache and without."""

    warm_s: Annotated[float, Meta(gt=0)]
    cold_s: Annotated[float, Meta(gt=0)]


class Ratios(_Table, frozen=True, kw_only=True):
    """Of the rigid match to the bare relay, and to the same pipeline with OpenCV, in one run."""

    loop_over_relay_p50: Ratio
    loop_over_relay_p99: Ratio
    loop_over_relay_p999: Ratio
    loop_over_opencv_p50: Ratio


class Kernels(_Table, frozen=True, kw_only=True):
    """Least ratios to `cv2.matchTemplate` over the points of the comparison, and least share of the FMA peak."""

    exact_mean: Ratio
    exact_worst: Ratio
    coarse_to_fine_mean: Ratio
    coarse_to_fine_worst: Ratio
    exact_on_noise_worst: Ratio
    fma_fraction_worst: Ratio


class LongRun(_Table, frozen=True, kw_only=True):
    """What many frames, and a soak, may show."""

    frames: Count
    rate_hz: Annotated[float, Meta(gt=0)]
    lost: Count
    over_20_ms: Count
    over_50_ms: Count
    back_to_back_per_s: Annotated[float, Meta(gt=0)]
    memory_growth_percent: Ratio


class Budgets(_Table, frozen=True, kw_only=True):
    """The whole file. `stage` is keyed as `gating.latency.STAGES`, with variants such as `engine_rigid`."""

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
    """Validate the text of a budgets file.

    Raises
    ------
    ValueError
        One sentence that names the key and the limit.
    """
    try:
        return msgspec.convert(tomllib.loads(text), Budgets)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ValueError(f"budgets: {error}") from None


@cache
def load_budgets() -> Budgets:
    """Return the budgets that are shipped with cinegate."""
    return parse_budgets(files("bench").joinpath("budgets.toml").read_text(encoding="utf-8"))


@dataclass(slots=True)
class DecisionWatch:
    """Compares each decision with its budget, and remembers how often it was exceeded of late."""

    budget: DecisionBudget
    _over: deque[int] = field(default_factory=deque)
    """Numbers of the decisions that took too long, within the window."""
    _decisions: int = 0

    def observe(self, frame_sequence: int, stamps: StageStamps) -> Fault | None:
        """Return a fault if a decision took longer than the budget.

        Parameters
        ----------
        frame_sequence : of the frame that was decided, for the sentence.
        stamps : from received to tracked.
        """
        self._decisions += 1
        took_ms = (stamps.tracked_ns - stamps.received_ns) / 1e6
        if took_ms <= self.budget.max_ms:
            return None
        self._over.append(self._decisions)
        while self._over[0] <= self._decisions - self.budget.window:
            self._over.popleft()
        decode_ms = (stamps.decoded_ns - stamps.received_ns) / 1e6
        slowest_ms, slowest = max((decode_ms, "decode"), (took_ms - decode_ms, "track"))
        said = (
            f"frame {frame_sequence} took {took_ms:.1f} ms ({slowest} {slowest_ms:.1f} ms), "
            f"the budget is {self.budget.max_ms:g} ms"
        )
        if len(self._over) >= self.budget.repeated:
            repeated = f"{len(self._over)} of the last {self.budget.window} decisions were over budget: {said}"
            return Fault(GateReason.OVER_BUDGET_REPEATEDLY, repeated)
        return Fault(GateReason.OVER_BUDGET, said)

    def forget(self) -> None:
        """Start anew: an operator has acknowledged what was remembered."""
        self._over.clear()
