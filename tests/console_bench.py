"""A console process and its client, and sockets from which a test publishes a session to it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, TypeVar

import zmq
from msgspec.structs import replace
from websockets.sync.client import ClientConnection, connect

from cinegate.settings import load_config
from gating.service.pipeline import local_endpoints
from gating.settings.config import Config, to_toml
from tests.patience import PATIENCE_S

T = TypeVar("T")


def finished(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns; in a thread of its own, since an open browser keeps a loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


class Console:
    """A running `cinegate console`, seen by a client that has opened its address."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        if not (folder / "config.toml").exists():
            (folder / "config.toml").write_text(to_toml(replace(Config(), endpoints=local_endpoints(folder))))
        self.config = load_config(folder / "config.toml")
        command = [sys.executable, "-m", "cinegate", "console", "--attach", "--json", *arguments]
        self.process = subprocess.Popen(
            [*command, "--config", str(folder / "config.toml")], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.url: str = json.loads(self.process.stdout.readline())["url"]
        self.origin = self.url.split("/treat")[0]
        self.token = self.url.partition("token=")[2]
        _, self.cookie = self.get(self.url.removeprefix(self.origin), follow=False)

    def get(self, path: str, follow: bool = True, **headers: str) -> tuple[int, str]:
        """Return status and text of a page; of a redirect that is not followed, its cookie."""
        known = {"Cookie": self.cookie} if follow and hasattr(self, "cookie") else {}
        opener = urllib.request.build_opener(_Stay)
        try:
            with opener.open(urllib.request.Request(self.origin + path, headers=known | headers)) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                set_cookie = SimpleCookie(error.headers.get("set-cookie", ""))
                text = "; ".join(f"{one.key}={one.value}" for one in set_cookie.values()) or error.read().decode()
                return error.code, text

    def page(self, kind: str = "treat", **headers: str) -> ClientConnection:
        """Return the WebSocket of a page."""
        asked = {"Origin": self.origin, "Cookie": self.cookie} | headers
        return connect(f"{self.origin.replace('http', 'ws')}/live/{kind}", additional_headers=asked, compression=None)

    def close(self) -> None:
        """End the process."""
        self.process.terminate()
        code = self.process.wait(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        assert code == 0


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


@contextmanager
def publishers(console: Console) -> Iterator[dict[str, zmq.Socket[bytes]]]:
    """Sockets in the place of source, engine, beam interface and recorder."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    endpoints = console.config.endpoints
    kinds = {"frames": zmq.XPUB, "gate": zmq.PUB, "telemetry": zmq.PUB, "beam": zmq.PUB, "control": zmq.ROUTER}
    sockets = {name: context.socket(kind) for name, kind in kinds.items()}
    try:
        for name, socket in sockets.items():
            socket.bind(getattr(endpoints, name))
        yield sockets
    finally:
        context.destroy(linger=0)


def updates(page: ClientConnection, seconds: float = PATIENCE_S) -> Iterator[dict[str, Any]]:
    """Yield the headers that a page is sent, each acknowledged; the pixels are the item `pixels`."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        data = page.recv(seconds)
        assert isinstance(data, bytes)
        size = int.from_bytes(data[:4], "little")
        header: dict[str, Any] = json.loads(data[4 : 4 + size])
        page.send(json.dumps({"type": "drawn", "number": header["number"]}))
        yield header | {"pixels": data[4 + size :]}
