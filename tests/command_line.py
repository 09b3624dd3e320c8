"""The command line within the test's own process: everything but the two seconds in which a process imports itself."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import signal
import sys
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest import mock

import pytest

from cinegate.verbs import main


class Said(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


def call(*arguments: object) -> Said:
    """Run `cinegate` with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    words = mock.patch.object(sys, "argv", ["cinegate", *map(str, arguments)])
    shown = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with kept(), words, shown[0], shown[1], pytest.raises(SystemExit) as left:
        main()
    return Said(int(left.value.code or 0), out.getvalue(), err.getvalue())


def answer(*arguments: object, expect: int = 0) -> dict[str, Any]:
    """Return what a command says with `--json`."""
    said = call(*arguments, "--json")
    assert said.code == expect, said.err
    told: dict[str, Any] = json.loads(said.out)
    return told


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Restore what a command sets for its whole process: signals, warnings and the log."""
    signals = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    log = logging.getLogger("cinegate.kernels")
    handlers, level = list(log.handlers), log.level
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        try:
            yield
        finally:
            log.handlers[:] = handlers
            log.setLevel(level)
            for number, handler in signals.items():
                signal.signal(number, handler)
