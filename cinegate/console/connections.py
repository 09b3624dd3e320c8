"""Connections that have asked for nothing yet: few, and not for long, so that strangers keep no page out."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_SILENT: Final = 64
FIRST_REQUEST_S: Final = 5.0


class PromptProtocol(H11Protocol):
    """A connection whose first request must come within `FIRST_REQUEST_S`.

    Of more than `MAX_SILENT` that wait, the oldest is closed: a page asks at once, whoever fills places does not.
    """

    _silent: ClassVar[dict[PromptProtocol, asyncio.TimerHandle]] = {}
    """Those of this process that wait, oldest first, and what closes each."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._silent[self] = self.loop.call_later(FIRST_REQUEST_S, transport.abort)
        if len(self._silent) > MAX_SILENT:
            oldest = next(iter(self._silent))
            oldest._wait_no_more()
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._wait_no_more()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, *event: Any) -> None:
        """Hand over to the WebSocket's protocol, which answers at once too."""
        self._wait_no_more()
        super().handle_websocket_upgrade(*event)

    def handle_events(self) -> None:
        """Take what has come; a complete request ends the wait."""
        super().handle_events()
        if self.cycle is not None:
            self._wait_no_more()

    def _wait_no_more(self) -> None:
        if (closing := self._silent.pop(self, None)) is not None:
            closing.cancel()
