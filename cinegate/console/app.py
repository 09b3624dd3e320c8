"""The console as an ASGI application: static pages, one WebSocket a page, and nothing without the token."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from importlib.resources import files
from pathlib import Path
from typing import Final

import msgspec
import plotly
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from cinegate.console.access import Access, Guarded
from cinegate.console.attachment import Attachment
from cinegate.console.pages import KINDS, Pages
from cinegate.console.patient import Texts
from cinegate.console.review import Review
from cinegate.console.setup import SetUp
from gating.clocks.clock import MonotonicClock
from gating.errors import CinegateError
from gating.settings.config import EndpointSettings

STATIC: Final = Path(__file__).parent / "static"
PLOTLY: Final = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
"""The plot library for pages that show what has been recorded; it ships inside the installed package."""

PLAYER: Final = [Path(str(files("gating.pages") / name)) for name in ("player.js", "player.css")]
"""The player of reports, which the Review page shares."""


def make_app(
    access: Access,
    texts: Texts,
    setup: SetUp,
    review: Review,
    *,
    endpoints: EndpointSettings | None,
    session: str = "",
    operator: str = "",
) -> ASGIApp:
    """Return the application; it listens to the wire while it runs.

    Parameters
    ----------
    access
        Who may see it.
    texts
        What the patient can read.
    setup, review
        Answer the Set up page and the Review page.
    endpoints
        Where the session to show publishes; None: it is chosen on the start page.
    session
        The session to show; empty: the one that is heard first.
    operator
        Who may ask for something in its pages; empty: read-only.
    """
    pages = Pages(MonotonicClock().name, operator)
    attachment = Attachment(pages, operator)
    pages.on_attach = attachment.attach_running

    @contextlib.asynccontextmanager
    async def listening(_: Starlette) -> AsyncIterator[None]:
        if endpoints is not None:
            attachment.attach(endpoints, session)
        ticking = asyncio.create_task(pages.tick())
        try:
            yield
        finally:
            ticking.cancel()
            attachment.close()

    def sessions(_: Request) -> Response:
        try:
            running = attachment.running()
        except (CinegateError, OSError) as error:
            return PlainTextResponse(f"{error}\n", 503)
        return _json([{"id": one.session_id, "source": one.source, "at": one.started_at} for one in running])

    async def latency(_: Request) -> Response:
        return _json(pages.latency())

    routes = [
        Route("/", _page("start")),
        *(Route(f"/{kind}", _page(kind)) for kind in KINDS),
        Route("/setup", _page("setup")),
        *setup.routes(),
        Route("/review", _page("review")),
        *review.routes(),
        Route("/sessions", sessions),
        Route("/latency", latency),
        Route("/texts", lambda _: _json(texts)),
        *(Route(f"/{player.name}", _file(player)) for player in PLAYER),
        Route("/plotly.js", _file(PLOTLY)),
        WebSocketRoute("/live/{kind}", pages.serve),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    return Guarded(Starlette(routes=routes, lifespan=listening), access)


def _page(name: str) -> Callable[[Request], FileResponse]:
    return _file(STATIC / f"{name}.html")


def _file(path: Path) -> Callable[[Request], FileResponse]:
    return lambda _: FileResponse(path)


def _json(content: object) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")
