"""Which session the pages show, and the listener that hears it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import Final

import msgspec
from starlette.concurrency import run_in_threadpool

from cinegate.console.bands import Bands, measure
from cinegate.console.listener import Arrivals, Listener
from cinegate.console.operators import Operator
from cinegate.console.pages import Pages
from cinegate.console.view import CONTOUR_WAIT_NS, SessionView
from cinegate.console.worker import Worker, WorkError
from gating.service.running import RunningSession, find_session, running_sessions
from gating.settings.config import EndpointSettings
from gating.wire.security import secure_process

BANDS_LIMIT_S: Final = 120.0
"""The first time on a computer they may have to be compiled."""
CONTOUR_WAIT_S: Final = CONTOUR_WAIT_NS / 1e9 + 0.001


class Attachment:
    """Listens to one session at a time, for all pages.

    Parameters
    ----------
    pages
        The pages to feed.
    operator
        Who may ask for something; empty: nobody.
    """

    def __init__(self, pages: Pages, operator: str) -> None:
        self._pages, self._operator = pages, operator
        self._listener: Listener | None = None
        self._worker = Worker()
        self._measuring: asyncio.Task[None] | None = None

    def attach(self, endpoints: EndpointSettings, session_id: str = "") -> None:
        """Show what is published at these endpoints: one session, or the one that is heard first.

        Raises
        ------
        zmq.ZMQError, PermissionError, KeyProblem
            If an endpoint cannot be used.
        """
        self.close()
        loop, view = asyncio.get_running_loop(), SessionView(session_id)
        self._pages.follow(view, Operator(self._operator, endpoints.control))

        def deliver(arrivals: Arrivals) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._hear, view, arrivals)

        self._listener = Listener(endpoints, deliver)
        self._listener.open()

    def attach_running(self, session_id: str) -> None:
        """Show a session that runs on this host. Raises `PipelineError` if it does not, and as `attach`."""
        running = find_session(session_id)
        if running is not None:
            secure_process(running.config, "console")
            self.attach(running.config.endpoints, running.session_id)

    @staticmethod
    def running() -> list[RunningSession]:
        """Return the sessions that run on this host. Raises `PipelineError`."""
        return running_sessions()

    def close(self) -> None:
        """Stop listening; twice is harmless."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._worker.close()

    def _hear(self, view: SessionView, arrivals: Arrivals) -> None:
        """Take what was heard. New pictures and changes of the gate are shown at once, the rest with the next tick."""
        shown = _worth_showing(view)
        for message, now_ns, at in arrivals:
            view.hear(message, now_ns, at)
        if view.waits_for_contours:
            asyncio.get_running_loop().call_later(CONTOUR_WAIT_S, self._give_up_contours, view)
        if shown != _worth_showing(view):
            self._pages.wake()
        if view.wants_bands and (self._measuring is None or self._measuring.done()):
            self._measuring = asyncio.create_task(self._measure_bands(view))

    async def _measure_bands(self, view: SessionView) -> None:
        """Measure the bands of a setting, and again if it has changed meanwhile; where that fails, none are shown."""
        while view.wants_bands and view.config is not None:
            version, asked = view.setting_version, (dict(view.references), view.planes, view.config.gating)
            try:
                run = partial(self._worker.run, limit_s=BANDS_LIMIT_S)
                measured = await run_in_threadpool(run, measure, *asked)
                bands = msgspec.json.decode(measured, type=Bands)
            except WorkError:
                bands = {}
            if view.setting_version == version:
                view.take_bands(bands)

    def _give_up_contours(self, view: SessionView) -> None:
        before = view.picture_number
        view.complete_picture(time.monotonic_ns())
        if view.picture_number != before:
            self._pages.wake()


def _worth_showing(view: SessionView) -> object:
    command, beam = view.command, view.beam
    return view.picture_number, command and (command.state, command.reason), beam and beam.confirmed
