"""The Review page's part of the server: sessions of some folders, their summaries, films and reports.

Logs are read in processes of their own, one for the list and one for what is opened, so that neither waits for the
other and a bad file harms nobody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.routing import Route

from cinegate.console import review_work
from cinegate.console.answers import answered
from cinegate.console.worker import Worker

MAX_NAME: Final = 1000
LIMIT_S: Final = 300.0
"""Of a long session, every frame must be read."""
SANDBOX: Final = {
    "content-security-policy": "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'",
    "cross-origin-opener-policy": "unsafe-none",  # a browser refuses to open a sandboxed page with another
}
"""Of a report: its scripts run, but as a page of nobody, which can neither ask the console nor the network."""

Work = Callable[[str, Sequence[Path]], bytes]
"""What is made of a log, by its name."""


class Review:
    """Answers the Review page.

    Parameters
    ----------
    folders
        Session logs in these, and in the folders in them, may be seen; no others.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(dict.fromkeys(folder.resolve() for folder in folders))
        self._lister, self._reader = Worker(), Worker()

    def routes(self) -> list[Route]:
        """Return what the page asks for."""
        return [
            Route("/review/sessions", answered(self._sessions, "application/json")),
            Route("/review/summary", answered(self._of(self._lister, review_work.summary), "application/json")),
            Route("/review/film", answered(self._of(self._reader, review_work.film), "application/json")),
            Route("/review/report", answered(self._of(self._reader, review_work.report), "text/html", **SANDBOX)),
        ]

    def close(self) -> None:
        """End the processes."""
        self._lister.close()
        self._reader.close()

    async def _sessions(self, _: Request) -> bytes:
        return await run_in_threadpool(review_work.sessions, self._folders)

    def _of(
        self, worker: Worker, work: Callable[[str, Sequence[Path]], bytes]
    ) -> Callable[[Request], Awaitable[bytes]]:
        async def answer(request: Request) -> bytes:
            name = request.query_params.get("name", "")[:MAX_NAME]
            return await run_in_threadpool(worker.run, work, name, self._folders, limit_s=LIMIT_S)

        return answer
