"""Which session an operator means: the one that runs on this host, one of several by name, or as configured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cinegate.settings import load_config
from gating.settings.config import Config
from gating.wire.security import secure_process

if TYPE_CHECKING:
    from gating.messages import ControlReply

SessionIdOption = Annotated[
    str, typer.Option("--session", help="Session id; without one, the session that runs on this host.")
]


class Attached(NamedTuple):
    """The engine of one session, as an operator reaches it."""

    config: Config
    session_id: str
    found: str
    """What was found on this host, to end an error with; empty where a configuration was given."""

    def ask(self, action: str, operator: str, why: str = "", site: str = "") -> ControlReply:
        """Ask once. Raises `PipelineError` if no engine answers."""
        from gating.messages import ControlRequest
        from gating.service.pipeline import PipelineError, ask_engine

        request = ControlRequest(
            session_id=self.session_id,
            action=action,  # type: ignore[arg-type]  # one of ACTIONS
            operator=operator,
            why=why,
            site=site,
        )
        try:
            return ask_engine(self.config.endpoints.control, request)
        except PipelineError as error:
            raise PipelineError(f"{error}; {self.found}" if self.found else str(error)) from None


def attach(session: str, config: Path | None) -> Attached:
    """Return the session that an operator means, with this process's keys in use. Raises `CinegateError`."""
    from gating.service.running import find_session

    running = find_session(session) if config is None else None
    settings = load_config(config) if running is None else running.config
    secure_process(settings, "operator")
    if running is not None:
        return Attached(settings, running.session_id, f"session {running.session_id} runs, and may still be starting")
    return Attached(settings, session or "session", "" if config else "no session runs on this host")
