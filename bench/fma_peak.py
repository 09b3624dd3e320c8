"""Rate of multiply-adds of one core: the lower bound of every dense correlation."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from gating.tracking.zncc.dense import correlate_floats
from gating.tracking.zncc.intrinsics import LANES, splat

_FMA_CHAINS: Final = 12
_I64 = ir.IntType(64)


@intrinsic
def _fma_loop(typing_context: Any, count: Any, factor: Any) -> Any:
    """Run _FMA_CHAINS independent vector FMAs, which stay in registers, `count` times."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        count, factor = arguments
        vector = ir.VectorType(ir.FloatType(), LANES)
        contract = ("contract",)
        x = splat(builder, factor, vector)
        starts = [
            ir.Constant(vector, [1.0 + k] * LANES) for k in range(_FMA_CHAINS)
        ]  # different, or LLVM keeps one only
        chains = [cgutils.alloca_once_value(builder, start) for start in starts]
        for chain, start in zip(chains, starts, strict=True):
            builder.store(start, chain)
        with cgutils.for_range(builder, count, intp=_I64):
            for chain in chains:
                product = builder.fmul(builder.load(chain), x, flags=contract)
                builder.store(builder.fadd(product, x, flags=contract), chain)
        total = builder.load(chains[0])
        for chain in chains[1:]:
            total = builder.fadd(total, builder.load(chain))
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return types.float32(types.intp, types.float32), generate


@njit(nogil=True, cache=True)
def _run_fma(count: int, factor: float) -> float:
    return _fma_loop(count, np.float32(factor))  # type: ignore[call-arg]  # an intrinsic takes no context here


@njit(nogil=True, cache=True)
def run_map(
    repeats: int,
    source: NDArray[np.float32],
    pitch: int,
    taps: NDArray[np.float32],
    row_taps: NDArray[np.float32],
    side: int,
    rows: int,
    out: NDArray[np.float32],
    out_pitch: int,
) -> None:
    """Correlate `repeats` times in compiled code, so that the call itself does not count."""
    for _ in range(repeats):
        correlate_floats(source, pitch, taps, row_taps, side, side, rows, rows, out, out_pitch)


def median_s(call: Callable[[], Any], repeats: int) -> float:
    """Return the median duration of a call, s."""
    samples = []
    for _ in range(repeats):
        start = time.perf_counter_ns()
        call()
        samples.append(time.perf_counter_ns() - start)
    return float(np.median(samples)) / 1e9


def measure_fma_peak(repeats: int = 25) -> float:
    """Return the float32 multiply-adds per nanosecond (GMAC/s) of one core in registers."""
    count = 20_000
    _run_fma(count, 0.5)
    return count * _FMA_CHAINS * LANES / median_s(lambda: _run_fma(count, 0.5), repeats) / 1e9
