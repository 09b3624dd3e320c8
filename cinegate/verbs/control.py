"""`cinegate control`: what an operator asks of a running engine."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from cinegate.settings import load_config
from cinegate.verbs.app import CommandError, app, console
from cinegate.verbs.options import ConfigOption
from gating.wire.sockets import secure_process

ACTIONS: Final = ("confirm", "arm", "disarm", "acknowledge", "accept_shift", "site", "status", "stop")


@app.command()
def control(
    action: Annotated[
        str, typer.Argument(help="confirm, arm, disarm, acknowledge, accept_shift, site, status or stop.")
    ],
    site: Annotated[str, typer.Argument(help="For `site`: the name of the site to go on with.")] = "",
    *,
    operator: Annotated[str, typer.Option("--operator", help="Who makes the request; goes into the log.")],
    why: Annotated[str, typer.Option("--why", help="Reason, required for an acknowledgement.")] = "",
    session: Annotated[
        str, typer.Option("--session", help="Session id; without one, the session that runs on this host.")
    ] = "",
    config: ConfigOption = None,
) -> None:
    """Ask a running engine to arm, disarm, acknowledge a latched fault, log an accepted couch shift, or stop.

    `confirm` says that an operator sees the contour where it should be; a live source is not armed without it. `stop`
    ends the session as a whole. `site NAME` ends the beam and goes on with another site of the configuration, whose
    engine must be confirmed and armed anew.
    """
    from gating.messages import ControlRequest
    from gating.service.pipeline import PipelineError, ask_engine
    from gating.service.running import find_session

    if action not in ACTIONS:
        raise CommandError(f"action is {action!r}; {', '.join(ACTIONS[:-1])} or {ACTIONS[-1]} is needed")
    if (action == "site") != bool(site):
        raise CommandError("`cinegate control site NAME` names a site, and no other action does")
    running = find_session(session) if config is None else None
    settings = load_config(config) if running is None else running.config
    session_id = session or (running.session_id if running else "session")
    request = ControlRequest(session_id=session_id, action=action, operator=operator, why=why, site=site)  # type: ignore[arg-type]
    secure_process(settings, "operator")
    try:
        reply = ask_engine(settings.endpoints.control, request)
    except PipelineError as error:
        found = f"session {session_id} runs, and may still be starting" if running else "no session runs on this host"
        raise PipelineError(f"{error}; {found}") from None
    console.print(reply.text)
    if not reply.accepted:
        raise CommandError(f"the engine refused ({reply.engine_state})", 3)
