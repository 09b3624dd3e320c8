"""What an operator asks for in a page is for what that page shows, whatever the console shows by then."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from cinegate.console.operators import Answer
from cinegate.console.pages import Pages
from cinegate.console.view import SessionView
from tests.console_bench import finished
from tests.position_bench import session_header

ARM = '{"type":"ask","action":"arm"}'


class Socket:
    """The server's end of a page's WebSocket."""

    def __init__(self) -> None:
        self.path_params = {"kind": "treat"}
        self.said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.told: asyncio.Queue[bytes] = asyncio.Queue()

    async def accept(self) -> None: ...

    async def close(self, code: int, reason: str) -> None: ...

    async def receive(self) -> dict[str, Any]:
        return await self.said.get()

    async def send_bytes(self, data: bytes) -> None:
        await self.told.put(data)

    def say(self, text: str) -> None:
        self.said.put_nowait({"type": "websocket.receive", "text": text})

    async def paint(self, pages: Pages) -> list[dict[str, Any]]:
        """Take the next message, acknowledge it as painted, and return its answers."""
        pages.wake()
        data = await self.told.get()
        header = json.loads(data[4 : 4 + int.from_bytes(data[:4], "little")])
        self.say(json.dumps({"type": "drawn", "number": header["number"]}))
        await asyncio.sleep(0)
        return header["answers"]


class Asked:
    """An operator who keeps what was asked."""

    name = "dr_who"

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []

    async def ask(self, session_id: str, asked: Any) -> Answer:
        self.requests.append((session_id, asked.action))
        return Answer(accepted=True, text="done")


def view_of(session_id: str, engine_id: str) -> SessionView:
    view = SessionView(session_id)
    view.hear(replace(session_header(engine_id, "c"), session_id=session_id), 1, "10:00:00")
    return view


async def _answered(asked: str, after: tuple[str, str], *, painted: bool) -> tuple[list, list]:
    """What reaches the engine, and the page's answers, where another engine took the place of e1 of session s1."""
    pages, socket, operator = Pages("c", "dr_who"), Socket(), Asked()
    pages.follow(view_of("s1", "e1"), operator)
    serving = asyncio.create_task(pages.serve(socket))
    await asyncio.sleep(0.01)
    await socket.paint(pages)
    pages.follow(view_of(*after), operator)
    if painted:
        await socket.paint(pages)
        await socket.paint(pages)
    socket.say(asked)
    answers: list = []
    while not answers:
        answers = await asyncio.wait_for(socket.paint(pages), 5)
    serving.cancel()
    return operator.requests, answers


@pytest.mark.parametrize(
    ("after", "said"),
    [(("s2", "e2"), "session s2 has taken the place of s1"), (("s1", "e2"), "another engine decides in session s1")],
)
def test_what_the_page_has_not_painted_yet_is_not_armed(after, said):
    requests, answers = finished(_answered(ARM, after, painted=False))
    assert requests == []
    assert (answers[0]["accepted"], said in answers[0]["text"]) == (False, True)


def test_what_the_page_has_painted_is_armed():
    requests, answers = finished(_answered(ARM, ("s2", "e2"), painted=True))
    assert (requests, answers[0]["accepted"]) == ([("s2", "arm")], True)


def test_a_hold_is_for_whatever_is_shown_and_never_refused():
    requests, _ = finished(_answered('{"type":"ask","action":"hold"}', ("s2", "e2"), painted=False))
    assert requests == [("s2", "hold")]
