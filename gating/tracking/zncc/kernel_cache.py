"""Where compiled kernels are kept: chosen here, because numba's own choice fails on a read-only install.

numba checks a kernel's cache against its own file only; a kernel that inlines code of another file would be served
stale. So the folder is keyed by the version and by every source file that holds kernels.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final

_GATING: Final = Path(__file__).parents[2]
_COMPILED: Final = b"from numba", b"from gating.tracking.zncc.memory", b"compiled code"
"""Files that say any of these hold kernels, or code or constants that are compiled into them."""


def choose_cache_folder(version: str) -> None:
    """Set NUMBA_CACHE_DIR, unless the user has, to a private folder that can be written. Call before numba loads."""
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


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~").expanduser() / ".cache") / "cinegate"
