"""Which code this is: what a kept result depends on besides log and settings."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Final

import xxhash

PACKAGES: Final = ("gating", "drivers", "cinegate")
LIBRARIES: Final = ("numpy", "scipy", "numba", "opencv-python")
"""A decision may depend on their versions."""


@cache
def code_version() -> str:
    """Return version and hash of this code, of the libraries that compute and of Python, as one line."""
    ours = f"cinegate {version('cinegate')} {source_hash(Path(str(files(name))) for name in PACKAGES)}"
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return f"{ours}, {libraries}, Python {platform.python_version()}, {platform.machine()}"


def source_hash(packages: Iterable[Path]) -> str:
    """Return the hash of every source and data file of some packages."""
    digest = xxhash.xxh3_64()
    for package in packages:
        for file in sorted(package.rglob("*")):
            if file.is_file() and file.suffix != ".pyc":
                digest.update(f"{file.relative_to(package.parent)}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()
