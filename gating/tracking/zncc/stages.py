"""The compiled stages, each of which defines a symbol that others call; a cold start compiles them on two cores.

numba compiles one function at a time in a process. If the cache is empty, a second process compiles half of the stages
into it, and this process loads those from there.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from importlib import import_module
from typing import Final

from gating.tracking.zncc.kernel_cache import kernels_are_compiled

HERE: Final = (
    "tracking.zncc.maps",
    "tracking.zncc.loading",
    "tracking.zncc.level_map",
    "tracking.zncc.pruned_search",
    "targets.boundary_cells",
    "tracking.contrast_kernels",
)
BESIDE: Final = (
    "tracking.zncc.window",
    "tracking.zncc.placement",
    "tracking.zncc.pyramid",
    "tracking.rivals",
    "tracking.sampling",
    "tracking.direct_fit",
    "tracking.carrying",
)
"""In this order; both lists take as long. `level_map` and `pruned_search` need `maps`, `pyramid` needs them all."""
SYMBOLS: Final = ("float_map", "pair_map", "load", "level_map", "pruned_search")
"""Of the stages compiled here. The second process needs them to link its own, and never calls them."""
PATIENCE_S: Final = 180.0
COMPILING: Final = "compiling the kernels, once for this version: about 15 s"


def load() -> None:
    """Import every stage, which compiles it or loads it from the cache."""
    other = None
    if not kernels_are_compiled():
        logging.getLogger("cinegate.kernels").info(COMPILING)
        other = _compile_beside()
    _import(HERE)
    if other is not None:
        try:
            other.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:  # whatever it has not compiled is compiled here
            other.kill()
    _import(BESIDE)


def _compile_beside() -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    return subprocess.Popen([sys.executable, "-m", __name__], stdin=quiet, stdout=quiet, stderr=quiet)


def _import(names: tuple[str, ...]) -> None:
    for name in names:
        import_module(f"gating.{name}")


if __name__ == "__main__":
    import llvmlite.binding as llvm

    for symbol in SYMBOLS:
        llvm.add_symbol(f"cinegate_{symbol}", 1)
    _import(BESIDE)
