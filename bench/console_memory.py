"""A session, its console and a browser for minutes: whether the memory of server and page stays flat."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

from msgspec import to_builtins

from bench.browser import Browser
from bench.console_pages import ConsoleProcess, looped_session, wait_for_paint
from bench.growth import trend
from bench.soak import entries, resident_mb

RATE_HZ: Final = 8.0
WARM_S: Final = 120.0
"""The page keeps 30 s of samples, and the allocators of server and browser take what they need within two minutes."""
EVERY_S: Final = 10.0
LIMIT_PERCENT: Final = 5.0
"""Growth that counts as flat, upper end of its 95 % interval; the browser's own processes are reported alone."""
ROOM: Final = {"page_heap_mb": 0.5}
"""A page's own objects come to about 1.3 MB, of which compiled code comes and goes; pictures or samples are more."""
NOT_JUDGED: Final = ("browser_mb",)


def measure_memory(
    minutes: float, *, warm_s: float = WARM_S, every_s: float = EVERY_S, sampled: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Return how what server and page hold has grown in so many minutes.

    Parameters
    ----------
    minutes, warm_s
        Time that counts, and the time before it.
    every_s
        Time between samples. Before each, the page collects its garbage.
    sampled
        Called after each sample.

    Raises
    ------
    PipelineError
        If a process ends before its time, or no page paints.
    """
    with ExitStack() as stack:
        session = stack.enter_context(looped_session(RATE_HZ))
        console = ConsoleProcess(session.folder)
        stack.callback(console.close)
        browser = Browser(console.url, session.folder / "profile")
        stack.callback(browser.close)
        wait_for_paint(console, session)
        time.sleep(warm_s)
        samples: list[dict[str, float]] = []
        begun_s = time.monotonic()
        for number in range(round(60 * minutes / every_s) + 1):
            time.sleep(max(0.0, begun_s + number * every_s - time.monotonic()))
            session.check()
            samples.append(_server(console.process.pid) | browser.held())
            sampled()
        painted = console.latency()["published_to_drawn_ms"]
    grown = {name: trend([one[name] for one in samples]) for name in samples[0]}
    return {
        "minutes": minutes,
        "rate_hz": RATE_HZ,
        "samples": len(samples),
        "limit_percent": LIMIT_PERCENT,
        "painted_ms": painted,
        "held": {name: to_builtins(one) | {"judged": name not in NOT_JUDGED} for name, one in grown.items()},
        "passed": all(
            one.flat(LIMIT_PERCENT, ROOM.get(name, 0)) for name, one in grown.items() if name not in NOT_JUDGED
        ),
    }


def _server(process_id: int) -> dict[str, float]:
    return {
        "server_mb": resident_mb(process_id),
        "server_threads": entries(process_id, "task"),
        "server_descriptors": entries(process_id, "fd"),
    }
