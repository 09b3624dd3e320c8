"""Compiled kernels are cached wherever the package is installed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

COMPILE = "import gating, os; from gating.boundary import GatingBoundary; print(os.environ.get('NUMBA_CACHE_DIR'))"


def folder_chosen(**environment: str) -> str:
    env = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")} | environment
    done = subprocess.run([sys.executable, "-c", COMPILE], env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_cache_lies_in_the_users_cache_folder(tmp_path):
    assert folder_chosen(XDG_CACHE_HOME=str(tmp_path)).startswith(str(tmp_path / "cinegate"))


def test_a_users_own_choice_is_kept(tmp_path):
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
