"""The folder of the compiled kernels: chosen here, because numba's own choice fails on a read-only install.

numba compares a cached kernel with the kernel's own file only, so it would use an old one after a change in a file
whose code the kernel inlines. So the folder's name depends on the version and on every source file that holds kernels.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final

_GATING: Final = Path(__file__).parents[2]
_COMPILED: Final = b"from numba", b"from gating.tracking.zncc.memory", b"compiled code"
"""Files with one of these words hold kernels, or code or constants that are compiled into them."""


def choose_cache_folder(version: str) -> None:
    """Set NUMBA_CACHE_DIR to a private, writable folder unless the user has set it. Call before numba is imported."""
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    digest = hashlib.sha256()
    for file in sorted(_GATING.rglob("*.py")):
        source = file.read_bytes()
        if any(mark in source for mark in _COMPILED):
            digest.update(source)
    name = f"kernels-{version}-{digest.hexdigest()[:12]}"
    for parent in (_cache_home(), Path(tempfile.gettempdir()) / f"cinegate-{os.getuid()}"):
        folder = parent / name
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK) and folder.stat().st_uid == os.getuid():
            os.environ["NUMBA_CACHE_DIR"] = str(folder)
            return


def kernels_are_compiled() -> bool:
    """Return whether the chosen folder holds compiled kernels; the last stage that is compiled is `pyramid`."""
    folder = os.environ.get("NUMBA_CACHE_DIR")
    return folder is None or any(Path(folder).rglob("pyramid.*.nbi"))


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~").expanduser() / ".cache") / "cinegate"
