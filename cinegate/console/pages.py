"""The open pages: each is sent the newest state when it has painted the one before, so nothing queues up."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from starlette.websockets import WebSocket, WebSocketDisconnect

from cinegate.console.operators import Answer, Operator
from cinegate.console.patient import patient_update
from cinegate.console.protocol import Ask, Attach, BadMessage, Drawn, GuidePatient, Inbound, pack, parse
from cinegate.console.tally import LATENCY_NS
from cinegate.console.updates import Cursor, state, treat_update
from cinegate.console.view import SessionView
from gating.errors import CinegateError
from gating.latency.stages import summarise

Kind = Literal["start", "treat", "patient"]
KINDS: Final[tuple[Kind, ...]] = ("start", "treat", "patient")
MAX_PAGES: Final = 16
TICK_S: Final = 0.1
"""Every page is told something at least this often, so that it knows a silent console from a quiet session."""
MAX_ASKED_PER_S: Final = 10
"""Of one page; a page that asks for more is closed. A hold is carried out before it is counted."""
MAX_DRAWN: Final = 20_000
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
    in_flight: tuple[int, int] | None = None
    """Number of the message that the page has not painted yet, and when its picture was published; 0 without one."""
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
        self._drawn: deque[tuple[int, float]] = deque(maxlen=MAX_DRAWN)
        """When a picture was drawn, ns, and how long after its publication, ms; of pictures on this host's clock."""
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
        """Wake all pages regularly, for ever."""
        while True:
            await asyncio.sleep(TICK_S)
            self.view.complete_picture(time.monotonic_ns())
            self.wake()

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
            if page.in_flight is None or page.in_flight[0] != message.number:
                raise BadMessage(f"message {message.number} was not sent, or has been acknowledged")
            _, published_ns = page.in_flight
            if published_ns:
                now_ns = time.monotonic_ns()
                self._drawn.append((now_ns, (now_ns - published_ns) / 1e6))
            page.in_flight = None
            page.wake.set()
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
        if isinstance(message, GuidePatient):
            said = message.message and message.message != self.guide.message
            if self.operator.name:
                self.guide = message
                self.wake()
            if self.operator.name and not said:
                return
            message = Ask("mark", why=f"message to the patient: {message.message}")
        answer = await self.operator.ask(self.view.session_id, message)  # before the list is looked up: it is replaced
        page.answers.append(answer)
        page.wake.set()

    async def _feed(self, page: Page) -> None:
        while True:
            await page.wake.wait()
            page.wake.clear()
            if page.in_flight is not None:
                continue
            page.number += 1
            header, pixels, published_ns = self._next(page)
            page.in_flight = page.number, published_ns
            try:
                await page.socket.send_bytes(pack(header | {"number": page.number}, pixels))
            except (WebSocketDisconnect, RuntimeError):  # the page left meanwhile
                return

    def _next(self, page: Page) -> tuple[dict[str, Any], memoryview, int]:
        """Return header and pixels of the next message, and when its picture was published; 0 without one."""
        now_ns, nothing = time.monotonic_ns(), memoryview(b"")
        if page.kind == "patient":
            return patient_update(self.view, self.guide, now_ns), nothing, 0
        answers, page.answers = page.answers, []
        if page.kind == "start":
            return state(self.view, now_ns) | {"operator": self.operator.name, "answers": answers}, nothing, 0
        update, picture = treat_update(self.view, page.cursor, now_ns, self.clock)
        update |= {"operator": self.operator.name, "answers": answers, "guide": self.guide}
        if picture is None:
            return update, nothing, 0
        header = picture.frame.header
        return update, picture.pixels(), header.published_ns if header.publish_clock == self.clock else 0

    def latency(self) -> dict[str, Any]:
        """Return published to drawn, ms, of the pictures that pages have painted in the newest 30 s."""
        since_ns = time.monotonic_ns() - LATENCY_NS
        newest = [took_ms for drawn_ns, took_ms in self._drawn if drawn_ns > since_ns]
        return {"published_to_drawn_ms": summarise(newest), "pages": len(self._pages)}
