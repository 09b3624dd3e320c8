"""What an operator asks of the engine, through its control channel and under the console's own key."""

from __future__ import annotations

import asyncio
from typing import Final, Literal

import msgspec
from msgspec import Struct

from cinegate.console.protocol import Action, Ask
from gating.messages import ControlRequest
from gating.service.pipeline import PipelineError, ask_engine

READ_ONLY: Final = "this console only shows; start it with --operator NAME to ask for anything"
_REQUESTS: Final[dict[Action, Literal["confirm", "arm", "disarm", "acknowledge", "mark", "stop"]]] = {
    "confirm": "confirm",
    "arm": "arm",
    "hold": "disarm",
    "acknowledge": "acknowledge",
    "mark": "mark",
    "end": "stop",
}


class Answer(Struct, frozen=True):
    """What came of a request: one sentence."""

    accepted: bool
    text: str


class Operator:
    """Sends requests to the engine in the name of an operator; without a name, it refuses all of them.

    Parameters
    ----------
    name
        The operator of this console; empty: read-only.
    endpoint
        The engine's control channel.
    """

    def __init__(self, name: str, endpoint: str) -> None:
        self.name = name
        self._endpoint = endpoint
        self._hold: asyncio.Task[Answer] | None = None
        self._turn = asyncio.Lock()

    async def ask(self, session_id: str, asked: Ask) -> Answer:
        """Ask the engine, and return its answer.

        A hold goes at once, whatever else is being asked; further ones join it. Everything else takes its turn.
        """
        if not self.name:
            return Answer(accepted=False, text=READ_ONLY)
        if not session_id:
            return Answer(accepted=False, text=f"{asked.action}: no session has been heard yet")
        if asked.action == "hold":
            if self._hold is None or self._hold.done():
                self._hold = asyncio.create_task(self._send(session_id, asked))
            return await asyncio.shield(self._hold)
        async with self._turn:
            return await self._send(session_id, asked)

    async def _send(self, session_id: str, asked: Ask) -> Answer:
        name = (asked.action == "acknowledge" and asked.name.strip()) or self.name
        request = ControlRequest(
            session_id=session_id, action=_REQUESTS[asked.action], operator=name, why=asked.why.strip()
        )
        try:
            msgspec.convert(msgspec.to_builtins(request), ControlRequest)
            reply = await asyncio.to_thread(ask_engine, self._endpoint, request)
        except (PipelineError, msgspec.ValidationError) as error:
            return Answer(accepted=False, text=f"{asked.action}: {error}")
        return Answer(accepted=reply.accepted, text=reply.text)
