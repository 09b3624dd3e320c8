"""The console as an ASGI application: static pages, one WebSocket a page, and nothing without the token."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import msgspec
import plotly
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from cinegate.console.access import Access, Guarded
from cinegate.console.listener import Arrivals, Listener
from cinegate.console.operators import Operator
from cinegate.console.pages import KINDS, Pages
from cinegate.console.patient import Texts
from cinegate.console.view import CONTOUR_WAIT_NS, SessionView
from gating.clocks.clock import MonotonicClock
from gating.settings.config import EndpointSettings

STATIC: Final = Path(__file__).parent / "static"
PLOTLY: Final = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
"""The plot library for pages that show what has been recorded; it ships inside the installed package."""


def make_app(
    endpoints: EndpointSettings, access: Access, *, session: str = "", operator: str = "", texts: Texts
) -> ASGIApp:
    """Return the application; it listens to the wire while it runs.

    Parameters
    ----------
    endpoints
        Where source, engine, beam interface and recorder publish, and where the engine takes requests.
    access
        Who may see it.
    session
        The session to show; empty: the one that is heard first.
    operator
        Who may ask for something in its pages; empty: read-only.
    texts
        What the patient can read.
    """
    pages = Pages(SessionView(session), Operator(operator, endpoints.control), MonotonicClock().name)

    @contextlib.asynccontextmanager
    async def listening(_: Starlette) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        listener = Listener(endpoints, lambda arrivals: _hand_over(loop, lambda: _hear(loop, pages, arrivals)))
        listener.open()
        ticking = asyncio.create_task(pages.tick())
        try:
            yield
        finally:
            ticking.cancel()
            await asyncio.to_thread(listener.close)

    async def latency(_: Request) -> Response:
        return Response(msgspec.json.encode(pages.latency()), media_type="application/json")

    async def patient_texts(_: Request) -> Response:
        return Response(msgspec.json.encode(texts), media_type="application/json")

    routes = [
        Route("/", _page("start")),
        *(Route(f"/{kind}", _page(kind)) for kind in KINDS),
        Route("/latency", latency),
        Route("/texts", patient_texts),
        Route("/plotly.js", lambda _: FileResponse(PLOTLY, media_type="text/javascript")),
        WebSocketRoute("/live/{kind}", pages.serve),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    return Guarded(Starlette(routes=routes, lifespan=listening), access)


def _page(name: str) -> Callable[[Request], FileResponse]:
    return lambda _: FileResponse(STATIC / f"{name}.html")


def _hand_over(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(work)


def _hear(loop: asyncio.AbstractEventLoop, pages: Pages, arrivals: Arrivals) -> None:
    """Take what the listener has heard, and show it: a whole picture at once, anything else with the next tick."""
    view = pages.view
    shown = view.picture_number, view.command and (view.command.state, view.command.reason)
    for message, now_ns, at in arrivals:
        view.hear(message, now_ns, at)
    if view.waits_for_contours:
        loop.call_later(CONTOUR_WAIT_NS / 1e9 + 0.001, _give_up_contours, pages)
    if shown != (view.picture_number, view.command and (view.command.state, view.command.reason)):
        pages.wake()


def _give_up_contours(pages: Pages) -> None:
    import time

    before = pages.view.picture_number
    pages.view.complete_picture(time.monotonic_ns())
    if pages.view.picture_number != before:
        pages.wake()
