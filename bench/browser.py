"""A headless chromium with one page, and what that page holds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any, Final

from websockets.sync.client import connect

from bench.soak import resident_mb
from gating.service.pipeline import PipelineError

FLAGS: Final = ("--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--remote-debugging-port=0")
START_S: Final = 60.0
MIB: Final = 2**20
LARGEST_ANSWER: Final = 64 * MIB


class Browser:
    """A headless chromium with one page, in a process group of its own."""

    def __init__(self, url: str, profile: Path) -> None:
        program = shutil.which("chromium")
        if program is None:
            raise PipelineError("chromium is not installed; the pages of the console are painted by it")
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        self._profile = profile
        self._process = subprocess.Popen(
            [program, *FLAGS, *sandbox, f"--user-data-dir={profile}", url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def signal(self, number: int) -> None:
        """Signal the browser and all of its processes."""
        os.killpg(self._process.pid, number)

    def close(self) -> None:
        """End it."""
        self.signal(signal.SIGKILL)
        self._process.wait()

    def held(self) -> dict[str, float]:
        """Return what the page holds after a collection of garbage, and its processes' resident memory, MB.

        Raises
        ------
        PipelineError
            If the browser does not answer.
        """
        port, browser_path = self._debugging()
        [page] = [one for one in _listed(port) if one["type"] == "page"]
        _, heap, counts = _ask(
            page["webSocketDebuggerUrl"], "HeapProfiler.collectGarbage", "Runtime.getHeapUsage", "Memory.getDOMCounters"
        )
        [about] = _ask(f"ws://127.0.0.1:{port}{browser_path}", "SystemInfo.getProcessInfo")
        resident = dict.fromkeys(("renderer", "browser"), 0.0)
        for one in about["processInfo"]:
            resident["renderer" if one["type"] == "renderer" else "browser"] += resident_mb(one["id"])
        return {
            "page_heap_mb": heap["usedSize"] / MIB,
            "page_nodes": counts["nodes"],
            "page_listeners": counts["jsEventListeners"],
            "page_mb": resident["renderer"],
            "browser_mb": resident["browser"],
        }

    def _debugging(self) -> tuple[int, str]:
        """Return the port of the protocol, and the path of the browser itself."""
        file, until_s = self._profile / "DevToolsActivePort", time.monotonic() + START_S
        while time.monotonic() < until_s:
            lines = file.read_text(encoding="ascii").splitlines() if file.exists() else []
            if len(lines) == 2:
                return int(lines[0]), lines[1]
            time.sleep(0.05)
        raise PipelineError(f"chromium has opened no port for developers within {START_S:g} s")


def _listed(port: int) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=START_S) as answer:
        return list(json.load(answer))


def _ask(url: str, *methods: str) -> list[dict[str, Any]]:
    """Return the answers to requests of the Chrome DevTools Protocol, which ends with them.

    Source: https://chromedevtools.github.io/devtools-protocol/
    """
    with connect(url, max_size=LARGEST_ANSWER, compression=None) as socket:
        answers = []
        for number, method in enumerate(methods):
            socket.send(json.dumps({"id": number, "method": method}))
            while (said := json.loads(socket.recv(START_S))).get("id") != number:
                continue
            if "result" not in said:
                raise PipelineError(f"chromium refuses {method}: {said.get('error')}")
            answers.append(said["result"])
        return answers
