"""Every parser under a coverage-guided fuzzer: `python -m bench.fuzz_guided --minutes 5 [--json FILE]`.

This needs atheris (libFuzzer for Python): `pip install 'cinegate[fuzz]'`. Each parser runs for its share of the time in
a process of its own, which ends if it takes more than `LIMIT_MB` of memory or ten seconds for one input. The parsers
and their documented errors are those of `bench.fuzz`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

LIMIT_MB: Final = 2048
LONGEST_S: Final = 10
IN_MEMORY: Final = Path("/dev", "shm")
"""Folder for parsers that read files: on a disk, the disk would be tested."""
INSTRUMENTED: Final = [
    "gating.wire.codec",
    "gating.session.log",
    "gating.session.recovery",
    "gating.session.hash_chain",
    "gating.settings.config",
    "drivers",
    "mcap",
    "bench.fuzz",
]
_EXECUTED: Final = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_PEAK: Final = re.compile(r"stat::peak_rss_mb:\s*(\d+)")
_COVERED: Final = re.compile(r"cov: (\d+)")


def packed(parts: list[bytes]) -> bytes:
    """Return parts as one string of bytes, each after its length."""
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def unpacked(data: bytes, count: int) -> list[bytes]:
    """Return the parts of a packed string. A length beyond the end stands for the rest."""
    parts: list[bytes] = []
    while len(data) >= 4 and len(parts) < count:
        (length,) = struct.unpack("<I", data[:4])
        parts.append(data[4 : 4 + length])
        data = data[4 + length :]
    return parts or [data]


def run_one(name: str, seconds: int, seed: int) -> None:
    """Fuzz one parser in this process. This does not return."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        from bench.fuzz import TARGETS

    target = TARGETS[name]
    valid = target.seeds()
    most = max(map(len, valid)) + 1
    warnings.simplefilter("ignore")

    def call(data: bytes) -> None:
        parts = [data] if most == 2 else unpacked(data, most)
        with suppress(*target.documented):
            target.call(parts)

    with tempfile.TemporaryDirectory(prefix="cgf-") as folder:
        for number, parts in enumerate(valid):
            (Path(folder) / str(number)).write_bytes(parts[0] if most == 2 else packed(parts))
        limits = [
            f"-rss_limit_mb={LIMIT_MB}",
            f"-timeout={LONGEST_S}",
            f"-max_total_time={seconds}",
            f"-seed={seed + 1}",
        ]
        longest = f"-max_len={4 * max(len(packed(parts)) for parts in valid)}"
        atheris.Setup(
            [
                sys.argv[0],
                *limits,
                longest,
                f"-seed={seed + 1}",
                "-print_final_stats=1",
                f"-artifact_prefix={folder}/",
                folder,
            ],
            call,
        )
        atheris.Fuzz()


def run_all(minutes: float, seed: int) -> list[dict[str, Any]]:
    """Fuzz every parser, one after another; return the result of each."""
    from bench.fuzz import TARGETS

    seconds = max(1, round(60 * minutes / len(TARGETS)))
    found = []
    for name in TARGETS:
        one = _in_own_process(name, seconds, seed)
        found.append(one)
        verdict = f"FAILED\n{one['failure']}" if one["failure"] else "held"
        figures = f"{one['inputs']:8} inputs, {one['edges']:5} edges, {one['peak_mb']:4} MB"
        print(f"{name:14} {figures}  {verdict}", flush=True)
    return found


def _in_own_process(name: str, seconds: int, seed: int) -> dict[str, Any]:
    """Fuzz one parser in a process of its own, and remove its files, since libFuzzer ends without cleaning up."""
    command = [sys.executable, "-m", "bench.fuzz_guided", "--parser", name, "--seconds", str(seconds)]
    where = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="cinegate-fuzz-", dir=where) as folder:
        environment = {**os.environ, "TMPDIR": folder}
        done = subprocess.run([*command, "--seed", str(seed)], capture_output=True, check=False, env=environment)
    output = done.stderr.decode(errors="replace") + done.stdout.decode(errors="replace")
    return {
        "parser": name,
        "inputs": _number(_EXECUTED, output),
        "edges": _number(_COVERED, output),
        "peak_mb": _number(_PEAK, output),
        "seconds": seconds,
        "failure": "" if done.returncode == 0 else output[-4000:],
    }


def _number(pattern: re.Pattern[str], text: str) -> int:
    """Return the last number that a pattern finds, 0 if none."""
    numbers = pattern.findall(text)
    return int(numbers[-1]) if numbers else 0


def main() -> None:
    """Fuzz every parser; exit code 1 after an undocumented error."""
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz_guided", description=main.__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="for all parsers together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the result here")
    parser.add_argument("--parser", help="only this one, in this process")
    parser.add_argument("--seconds", type=int, default=30, help="for --parser")
    arguments = parser.parse_args()
    if arguments.parser:
        run_one(arguments.parser, arguments.seconds, arguments.seed)
        return
    found = run_all(arguments.minutes, arguments.seed)
    if arguments.json:
        arguments.json.write_text(json.dumps(found), encoding="utf-8")
    failed = [one["parser"] for one in found if one["failure"]]
    print(f"{sum(one['inputs'] for one in found)} inputs, {len(failed)} parsers failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
