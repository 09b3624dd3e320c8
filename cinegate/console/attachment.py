"""Which session the pages show, and the listener that hears it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Final

from cinegate.console.listener import Arrivals, Listener
from cinegate.console.operators import Operator
from cinegate.console.pages import Pages
from cinegate.console.view import CONTOUR_WAIT_NS, SessionView
from gating.service.running import RunningSession, find_session, running_sessions
from gating.settings.config import EndpointSettings
from gating.wire.sockets import secure_process

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

    def _hear(self, view: SessionView, arrivals: Arrivals) -> None:
        """Take what was heard. New pictures and changes of the gate are shown at once, the rest with the next tick."""
        shown = _worth_showing(view)
        for message, now_ns, at in arrivals:
            view.hear(message, now_ns, at)
        if view.waits_for_contours:
            asyncio.get_running_loop().call_later(CONTOUR_WAIT_S, self._give_up_contours, view)
        if shown != _worth_showing(view):
            self._pages.wake()

    def _give_up_contours(self, view: SessionView) -> None:
        before = view.picture_number
        view.complete_picture(time.monotonic_ns())
        if view.picture_number != before:
            self._pages.wake()


def _worth_showing(view: SessionView) -> object:
    command, beam = view.command, view.beam
    return view.picture_number, command and (command.state, command.reason), beam and beam.confirmed
