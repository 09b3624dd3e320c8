"""Serves the console: a socket of this host alone, unless TLS and keys protect it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from cinegate.console.access import Access
from cinegate.console.app import make_app
from cinegate.console.connections import MAX_SILENT, PromptProtocol
from cinegate.console.patient import Texts
from cinegate.console.protocol import MAX_INBOUND_BYTES
from cinegate.console.review import Review
from cinegate.console.setup import SetUp
from gating.errors import CinegateError
from gating.settings.config import EndpointSettings
from gating.wire.loopback import is_loopback
from gating.wire.security import has_keys
from gating.wire.sockets import stop_on_signals

MAX_CONNECTIONS: Final = 64
"""Of those that have the token; requests without it are answered and closed."""


class ConsoleError(CinegateError, ValueError):
    """The console cannot be served. One sentence."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the console listens; certificate and key (PEM) for TLS."""

    host: str = "127.0.0.1"
    port: int = 0
    certificate: Path | None = None
    private_key: Path | None = None

    @property
    def secure(self) -> bool:
        """Whether pages come over TLS."""
        return self.certificate is not None and self.private_key is not None


def serve(
    address: Address,
    texts: Texts,
    setup: SetUp,
    review: Review,
    *,
    endpoints: EndpointSettings | None,
    session: str = "",
    operator: str = "",
    announce: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or SIGINT.

    Parameters
    ----------
    address
        Where to listen.
    texts, setup, review, endpoints, session, operator
        As for `make_app`.
    announce
        Called with the address to open, once the console listens.

    Raises
    ------
    ConsoleError
        If the address is not of this host alone and not protected, or cannot be listened on.
    """
    _check(address)
    listening = _listen(address)
    port = int(listening.getsockname()[1])
    local = ("127.0.0.1", "localhost", "::1") if is_loopback(address.host) else ()
    access = Access.new([address.host, *local], port, secure=address.secure)
    app = make_app(access, texts, setup, review, endpoints=endpoints, session=session, operator=operator)
    scheme, host = "https" if address.secure else "http", f"[{address.host}]" if ":" in address.host else address.host
    stop_on_signals()
    with listening:
        tell = partial(announce, f"{scheme}://{host}:{port}/?token={access.token}")
        _Server(_settings(app, address), tell, [setup.close, review.close]).run([listening])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], None], ending: list[Callable[[], None]]) -> None:
        super().__init__(config)
        self._started, self._ending = started, ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for end in self._ending:  # or else answers that take long would be waited for
            end()
        await super().shutdown(sockets)


def _settings(app: ASGIApp, address: Address) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_max_size=MAX_INBOUND_BYTES,
        ws_per_message_deflate=False,  # compressing a picture takes longer than sending it
        http=PromptProtocol,
        limit_concurrency=MAX_SILENT + MAX_CONNECTIONS,  # uvicorn counts both
        timeout_graceful_shutdown=1,
        log_level="error",
        access_log=False,
        server_header=False,
        ssl_certfile=address.certificate,
        ssl_keyfile=address.private_key,
    )


def _check(address: Address) -> None:
    if is_loopback(address.host):
        return
    if not address.secure:
        raise ConsoleError(
            f"host is {address.host}, which other hosts reach; --certificate and --private-key are needed for that"
        )
    if not has_keys():
        raise ConsoleError(f"host is {address.host}, which other hosts reach; set security.keys for that")


def _listen(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=MAX_CONNECTIONS)
    except OSError as error:
        raise ConsoleError(f"{address.host}:{address.port} cannot be listened on: {error.strerror or error}") from None
