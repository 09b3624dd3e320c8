"""CPU, memory and disk load from other processes: stress-ng if it is installed, else small loops of our own.

python -m bench.load cpu|memory|disk FOLDER
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

MEMORY_BYTES: Final = 256 * 2**20
FILE_BYTES: Final = 32 * 2**20
KINDS: Final = ("cpu", "memory", "disk")


@contextmanager
def loaded(folder: Path, *, cores: int) -> Iterator[str]:
    """Keep the machine busy: a CPU process for each core, one for memory, one for disk. Yields the name of the load."""
    stress = shutil.which("stress-ng")
    if stress:
        kinds = ["--cpu", str(cores), "--vm", "1", "--vm-bytes", "256M", "--hdd", "1", "--hdd-bytes", "64M"]
        commands = [[stress, *kinds, "--temp-path", str(folder), "--quiet"]]
    else:
        kinds = ["cpu"] * cores + ["memory", "disk"]
        commands = [[sys.executable, "-m", "bench.load", kind, str(folder)] for kind in kinds]
    processes = [subprocess.Popen(command, stdin=subprocess.DEVNULL) for command in commands]
    try:
        yield "stress-ng" if stress else f"{cores} x CPU, memory (256 MB), disk (fsync): loops of our own"
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def burn_cpu() -> None:
    """Count for ever."""
    count = 0
    while True:
        count = (count * 1103515245 + 12345) & 0x7FFFFFFF


def burn_memory() -> None:
    """Write to a large array for ever."""
    words = np.zeros(MEMORY_BYTES // 8)
    while True:
        words += 1.0


def burn_disk(folder: Path) -> None:
    """Write and sync one file for ever."""
    block = os.urandom(2**20)
    path = folder / f"load-{os.getpid()}"
    while True:
        with path.open("wb") as file:
            for _ in range(FILE_BYTES // len(block)):
                file.write(block)
                file.flush()
                os.fsync(file.fileno())


def main(kind: str, folder: str) -> None:
    """Run one kind of load until it is ended."""
    if kind == "cpu":
        burn_cpu()
    elif kind == "memory":
        burn_memory()
    elif kind == "disk":
        burn_disk(Path(folder))
    else:
        raise SystemExit(f"load is {kind!r}; {', '.join(KINDS)} are known")


if __name__ == "__main__":
    main(*sys.argv[1:])
