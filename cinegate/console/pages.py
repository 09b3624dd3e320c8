"""The open pages: each is sent the newest state while it paints the one before, and no more, so nothing queues up."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from starlette.websockets import WebSocket, WebSocketDisconnect

from cinegate.console.operators import Answer, Operator
from cinegate.console.painting import Painting, Sent, Shown
from cinegate.console.patient import patient_update
from cinegate.console.picture import Picture
from cinegate.console.protocol import Ask, Attach, BadMessage, Drawn, GuidePatient, Inbound, pack, parse
from cinegate.console.updates import Cursor, state, treat_update
from cinegate.console.view import SessionView
from gating.errors import CinegateError

Kind = Literal["start", "treat", "patient"]
KINDS: Final[tuple[Kind, ...]] = ("start", "treat", "patient")
MAX_PAGES: Final = 16
MAX_IN_FLIGHT: Final = 2
"""Messages that a page has not painted: one that it paints, and one on its way."""
TICK_S: Final = 0.05
QUIET_S: Final = 0.15
"""A page that was told nothing for so long is told how old everything is, so that it knows a silent console from a
quiet session. Sooner, that would only be in the way of the next picture.
"""
MAX_ASKED_PER_S: Final = 10
"""Of one page; a page that asks for more is closed. A hold is carried out before it is counted."""
TRY_AGAIN: Final = 1013
REFUSED: Final = 1008


@dataclass(eq=False)
class Page:
    """One open page."""

    kind: Kind
    socket: WebSocket
    cursor: Cursor = field(default_factory=Cursor)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    number: int = 0
    in_flight: dict[int, Sent] = field(default_factory=dict)
    """Messages that the page has not painted yet, by number."""
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_IN_FLIGHT))
    painted: Shown = ("", "")
    """What its newest painted message showed: a request is for that, and for nothing else."""
    told_s: float = 0.0
    """When the newest message was sent."""
    answers: list[Answer] = field(default_factory=list)
    asked_s: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_ASKED_PER_S))

    def floods(self, now_s: float) -> bool:
        """Count a request; return whether there were too many within a second."""
        too_many = len(self.asked_s) == MAX_ASKED_PER_S and now_s - self.asked_s[0] < 1.0
        self.asked_s.append(now_s)
        return too_many


class Pages:
    """Feeds every open page.

    Parameters
    ----------
    clock
        Name of this host's monotonic clock.
    operator
        Who may ask for something, once a session is shown; empty: nobody.
    """

    def __init__(self, clock: str, operator: str) -> None:
        self.view, self.operator, self.clock = SessionView(), Operator(operator, ""), clock
        self.on_attach: Callable[[str], None] = lambda _: None
        """Called with the session that the start page asks for."""
        self.guide = GuidePatient("target", numbers=False)
        self._painting = Painting()
        self._pages: set[Page] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(self, view: SessionView, operator: Operator) -> None:
        """Show another session from now on."""
        self.view, self.operator = view, operator
        for page in self._pages:
            page.cursor = Cursor()
        self.wake()

    def wake(self) -> None:
        """Let every page be told what is new."""
        for page in self._pages:
            page.wake.set()

    async def tick(self) -> None:
        """Wake the pages that have been told nothing for a while, for ever."""
        while True:
            await asyncio.sleep(TICK_S)
            self.view.complete_picture(time.monotonic_ns())
            for page in self._pages:
                if time.monotonic() - page.told_s >= QUIET_S:
                    page.wake.set()

    async def serve(self, socket: WebSocket) -> None:
        """Serve one page until it leaves."""
        asked = socket.path_params["kind"]
        kind = next((one for one in KINDS if one == asked), None)
        await socket.accept()
        if kind is None:
            await socket.close(REFUSED, f"there is no page {asked[:40]!r}")
            return
        if len(self._pages) >= MAX_PAGES:
            await socket.close(TRY_AGAIN, f"{MAX_PAGES} pages are open, which is the limit; close one")
            return
        page = Page(kind, socket)
        self._pages.add(page)
        works = [asyncio.create_task(work(page)) for work in (self._feed, self._listen)]
        try:
            ended, _ = await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
            for work in ended:
                work.result()  # an error of ours closes the page, which then shows that nothing comes
        except BadMessage as error:
            await socket.close(REFUSED, str(error)[:120])
        except WebSocketDisconnect:
            pass
        finally:
            self._pages.discard(page)
            for work in works:
                work.cancel()

    async def _listen(self, page: Page) -> None:
        while True:
            heard = await page.socket.receive()
            if heard["type"] == "websocket.disconnect":
                return
            text = heard.get("text")
            if text is None:
                raise BadMessage("a binary message came; only text is allowed")
            self._take(page, parse(text))

    def _take(self, page: Page, message: Inbound) -> None:
        if isinstance(message, Drawn):
            sent = page.in_flight.pop(message.number, None)
            if sent is None:
                raise BadMessage(f"message {message.number} was not sent, or has been acknowledged")
            page.painted = sent.shown
            self._painting.add(sent, message.spent_ms, time.monotonic_ns())
            page.room.release()
            return
        if isinstance(message, Attach):
            if page.kind != "start":
                raise BadMessage(f"the {page.kind} page may not choose a session")
            self._attach(page, message)
            return
        if page.kind != "treat":
            raise BadMessage(f"the {page.kind} page may ask for nothing")
        task = asyncio.create_task(self._carry_out(page, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if page.floods(time.monotonic()):
            raise BadMessage(f"more than {MAX_ASKED_PER_S} requests came within a second")

    def _attach(self, page: Page, message: Attach) -> None:
        try:
            self.on_attach(message.session)
        except (CinegateError, OSError) as error:
            page.answers.append(Answer(accepted=False, text=str(error)))
        else:
            page.answers.append(Answer(accepted=True, text=f"session {message.session} is shown"))
        page.wake.set()

    async def _carry_out(self, page: Page, message: Ask | GuidePatient) -> None:
        other = ""
        if isinstance(message, GuidePatient):
            said = message.message and message.message != self.guide.message
            if self.operator.name:
                self.guide = message
                self.wake()
            if self.operator.name and not said:
                return
            message = Ask("mark", why=f"message to the patient: {message.message}")
        elif message.action != "hold":
            other = self._other_than_painted(page, message)
        session = self.view.session_id
        answer = Answer(accepted=False, text=other) if other else await self.operator.ask(session, message)
        page.answers.append(answer)  # of the list as it is by now: it is replaced
        page.wake.set()

    def _other_than_painted(self, page: Page, asked: Ask) -> str:
        """Return why a request is not for what is shown now, in words; empty if its page shows that."""
        if page.painted == self.view.shown:
            return ""
        (session, _), (now, _) = page.painted, self.view.shown
        if session != now:
            return f"{asked.action}: session {now} has taken the place of {session or 'none'}; look at it first"
        return f"{asked.action}: another engine decides in session {now} since this page was drawn; look at it first"

    async def _feed(self, page: Page) -> None:
        while True:
            await page.wake.wait()
            await page.room.acquire()
            page.wake.clear()
            page.number += 1
            header, picture = self._next(page)
            page.told_s, sent_ns = time.monotonic(), time.monotonic_ns()
            own_clock = picture is not None and picture.frame.header.publish_clock == self.clock
            page.in_flight[page.number] = Sent(sent_ns, picture if own_clock else None, self.view.shown)
            pixels = b"" if picture is None else picture.pixels()
            try:
                await page.socket.send_bytes(pack(header | {"number": page.number}, pixels))
            except (WebSocketDisconnect, RuntimeError):  # the page left meanwhile
                return

    def _next(self, page: Page) -> tuple[dict[str, Any], Picture | None]:
        """Return the header of the next message, and its picture."""
        now_ns = time.monotonic_ns()
        if page.kind == "patient":
            return patient_update(self.view, self.guide, now_ns), None
        answers, page.answers = page.answers, []
        if page.kind == "start":
            return state(self.view, now_ns) | {"operator": self.operator.name, "answers": answers}, None
        update, picture = treat_update(self.view, page.cursor, now_ns, self.clock)
        return update | {"operator": self.operator.name, "answers": answers, "guide": self.guide}, picture

    def latency(self) -> dict[str, Any]:
        """Return published to drawn, ms, of the pictures that pages have painted in the newest 30 s, and its stages."""
        return self._painting.latency(time.monotonic_ns()) | {"pages": len(self._pages)}
