"""Who may see the console: a token per start, and only pages of its own address. Pure ASGI; no session is stored."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""Of every answer that has none of its own: nothing is fetched from elsewhere, framed or kept. Plot libraries set
styles in the page."""
POLICY_VIOLATION: Final = 1008
STALE = (
    "This address is not of the console that runs now: its token is missing or of an earlier start. "
    "Open the address that `cinegate console` printed."
)


@dataclass(frozen=True, slots=True)
class Access:
    """The token of this start, and the addresses under which the console is reached.

    Attributes
    ----------
    hosts
        Host headers that are answered, such as `127.0.0.1:8080`; any other may be a name that leads here by trickery.
    secure
        Whether pages come over TLS.
    """

    token: str
    hosts: frozenset[str]
    secure: bool = False

    @classmethod
    def new(cls, names: Sequence[str], port: int, *, secure: bool = False) -> Access:
        """Return an access with a new token."""
        hosts = frozenset(f"{f'[{name}]' if ':' in name else name}:{port}" for name in names)
        return cls(secrets.token_urlsafe(32), hosts, secure)

    def cookie(self, host: str) -> str:
        """Return the name of the cookie; browsers share cookies between ports, so it holds the port."""
        return f"cinegate-{host.rpartition(':')[2]}"

    def admits(self, token: str) -> bool:
        """Whether a token is that of this start."""
        return secrets.compare_digest(token.encode(), self.token.encode())

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Return the status and sentence with which a request is refused, or None."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in self.hosts:
            return 421, f"The console is not reached as {host[:80]!r}; open the address that it printed."
        scheme = "https" if self.secure else "http"
        if origin is None and scope["type"] == "websocket":
            return 403, "A WebSocket needs the Origin header of the console's own page."
        if origin is not None and origin != f"{scheme}://{host}":
            return 403, f"A page of {origin[:80]!r} may not use the console."
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(self.cookie(host))
        except CookieError:
            morsel = None
        return None if morsel is not None and self.admits(morsel.value) else (401, STALE)


class Guarded:
    """Passes on only what has the token; the token in an address becomes a cookie."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._access.refusal(scope)
        if scope["type"] == "websocket":
            if refusal is not None:
                await receive()
                await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": refusal[1][:120]})
                return
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name.decode().lower() for name, _ in message["headers"]}
                added = [(name, value) for name, value in HEADERS.items() if name not in own]
                message["headers"] += [(name.encode(), value.encode()) for name, value in added]
            await send(message)

        answer = self._entrance(scope, refusal) or self._app
        await answer(scope, receive, send_guarded)

    def _entrance(self, scope: Scope, refusal: tuple[int, str] | None) -> Response | None:
        """Return the answer to a request that brings a token or is refused; None for one that may pass."""
        if refusal is not None and refusal[0] != 401:
            return _refused(*refusal)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token")
        if given:
            if not self._access.admits(given[0]):
                return _refused(401, STALE)
            response = RedirectResponse(scope["path"], 303)
            host = Headers(scope=scope)["host"]
            response.set_cookie(
                self._access.cookie(host),
                self._access.token,
                httponly=True,
                samesite="strict",
                secure=self._access.secure,
            )
            return response
        return None if refusal is None else _refused(*refusal)


def _refused(status: int, sentence: str) -> Response:
    """Return an answer after which the connection is closed: whoever has no token holds no place."""
    return PlainTextResponse(sentence + "\n", status, {"connection": "close"})
