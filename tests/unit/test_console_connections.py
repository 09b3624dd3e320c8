"""How long the console waits for the first request of a connection."""

from __future__ import annotations

import asyncio

import pytest
import uvicorn
from uvicorn.server import ServerState

from cinegate.console import connections
from tests.console_bench import finished


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def heard(said: bytes, for_s: float) -> bytes | None:
    """What a connection that says this hears within a time, until it is closed; None if it stays open."""
    config, state = uvicorn.Config(app, lifespan="off", log_level="error"), ServerState()
    config.load()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: connections.PromptProtocol(config, state, {}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        writer.write(said)
        return await asyncio.wait_for(reader.read(), for_s)
    except TimeoutError:
        return None
    finally:
        writer.close()
        server.close()


REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost:"], ids=["nothing", "half a request"])
def test_a_connection_that_does_not_ask_in_time_is_closed(monkeypatch, said):
    monkeypatch.setattr(connections, "FIRST_REQUEST_S", 0.05)
    assert finished(heard(said, 10.0)) == b""


def test_a_connection_that_has_asked_is_kept(monkeypatch):
    monkeypatch.setattr(connections, "FIRST_REQUEST_S", 0.05)
    assert finished(heard(REQUEST, 0.3)) is None
