"""Compiled kernels are cached wherever the package is installed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

COMPILE = "import gating, os; import gating.targets.boundary_cells; print(os.environ.get('NUMBA_CACHE_DIR'))"


def folder_chosen(**environment: str) -> str:
    env = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")} | environment
    done = subprocess.run([sys.executable, "-c", COMPILE], env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_cache_lies_in_the_users_cache_folder(tmp_path):
    assert folder_chosen(XDG_CACHE_HOME=str(tmp_path)).startswith(str(tmp_path / "cinegate"))


def test_the_users_own_cache_folder_is_kept(tmp_path):
    assert folder_chosen(NUMBA_CACHE_DIR=str(tmp_path)) == str(tmp_path)


def test_without_a_usable_home_the_import_still_works(tmp_path):
    assert folder_chosen(HOME="/proc/nowhere", TMPDIR=str(tmp_path)).startswith(str(tmp_path))


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to make a folder that this user cannot write")
def test_a_cache_folder_of_another_user_is_not_trusted(tmp_path):
    foreign = tmp_path / "cinegate"
    chosen = folder_chosen(XDG_CACHE_HOME=str(tmp_path), TMPDIR=str(tmp_path))
    for folder in foreign.iterdir():
        os.chown(folder, 12345, 12345)
    assert folder_chosen(XDG_CACHE_HOME=str(tmp_path), TMPDIR=str(tmp_path)) != chosen


ONE_SIGNATURE = """
import pkgutil, importlib, gating, gating.targets.boundary_cells
from numba.core.caching import NullCache
from numba.core.registry import CPUDispatcher
import gating.tracking
for found in pkgutil.walk_packages(gating.tracking.__path__, "gating.tracking."):
    importlib.import_module(found.name)
import gc
for function in gc.get_objects():
    if isinstance(function, CPUDispatcher) and function.__module__.startswith("gating"):
        if not isinstance(function._cache, NullCache):
            print(function.__name__, len(function.signatures), function._can_compile)
"""


def test_every_function_in_the_cache_has_one_signature_that_is_declared():
    """Two processes that compile two signatures of a function at once may store one's code under the other's name."""
    done = subprocess.run([sys.executable, "-c", ONE_SIGNATURE], capture_output=True, text=True, check=True)
    found = [line.split() for line in done.stdout.splitlines()]
    assert len(found) >= 5
    assert [(name, count, compiles) for name, count, compiles in found if (count, compiles) != ("1", "False")] == []


SCORES = """
import sys, numpy as np
from gating.tracking.zncc.matcher import TemplateMatcher
rng = np.random.default_rng(3)
frame = rng.integers(0, 250, (128, 128))
answers = {}
for name in sys.argv[1:]:
    pixels = frame.astype(name)
    pixels.flags.writeable = name != "float32"
    matcher = TemplateMatcher(frame[40:80, 40:80], max_radius_px=16)
    answers[name] = [matcher.match(pixels, 44, 38, 16, method).score for method in ("exact", "coarse_to_fine", "dense")]
print(sorted(answers.items()))
"""


@pytest.mark.slow
def test_processes_that_fill_one_empty_cache_together_agree(tmp_path):
    orders = ("uint8 uint16 float32", "float32 uint8 uint16", "uint16 float32 uint8")
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}

    def answers() -> set[str]:
        running = [
            subprocess.Popen([sys.executable, "-c", SCORES, *order.split()], env=env, stdout=subprocess.PIPE, text=True)
            for order in orders
        ]
        return {process.communicate(timeout=600)[0] for process in running}

    compiled, loaded = answers(), answers()
    assert len(compiled) == 1
    assert compiled == loaded
