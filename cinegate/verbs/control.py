"""`cinegate control`: what an operator asks of a running engine."""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cinegate.settings import load_config
from cinegate.verbs.app import CommandError, app, console, print_json
from cinegate.verbs.options import ConfigOption, JsonOption
from gating.wire.sockets import secure_process

if TYPE_CHECKING:
    from rich.table import Table

    from gating.messages import ControlReply, EngineStatus
    from gating.settings.config import Config

ACTIONS: Final = ("confirm", "arm", "disarm", "acknowledge", "accept_shift", "mark", "status", "stop")
WATCH_EVERY_S: Final = 0.5


@app.command()
def control(
    action: Annotated[str, typer.Argument(help=f"{', '.join(ACTIONS[:-1])} or {ACTIONS[-1]}.")],
    operator: Annotated[
        str, typer.Option("--operator", help="Who makes the request; goes into the log. Not needed for the status.")
    ] = "",
    why: Annotated[str, typer.Option("--why", help="Reason of an acknowledgement, or text of a mark.")] = "",
    session: Annotated[
        str, typer.Option("--session", help="Session id; without one, the session that runs on this host.")
    ] = "",
    watch: Annotated[
        bool, typer.Option("--watch", help="Show the status until Ctrl-C, or until the session ends.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Ask a running engine to arm, disarm, acknowledge a latched fault, log a couch shift or a mark, or stop.

    `confirm` says that an operator sees the contour where it should be; a live source is not armed without it.
    `status` tells frame, gate, reason, peers and faults. `stop` ends the session as a whole.
    """
    from gating.service.running import find_session

    if action not in ACTIONS:
        raise CommandError(f"action is {action!r}; {', '.join(ACTIONS[:-1])} or {ACTIONS[-1]} is needed")
    if watch and action != "status":
        raise CommandError(f"--watch is for the status, not for {action}")
    if not operator and action != "status":
        raise CommandError(f"{action} needs --operator NAME, which goes into the log")
    running = find_session(session) if config is None else None
    settings = load_config(config) if running is None else running.config
    session_id = session or (running.session_id if running else "session")
    found = f"session {session_id} runs, and may still be starting" if running else "no session runs on this host"
    secure_process(settings, "operator")

    def ask() -> ControlReply:
        return _ask(settings, session_id, action, operator or getpass.getuser(), why, found if config is None else "")

    if watch:
        _watch(ask, as_json=as_json)
        return
    reply = ask()
    if as_json:
        print_json(_plain(reply))
    else:
        console.print(reply.text, highlight=False)
        if reply.status is not None:
            console.print(status_table(reply.status))
    if not reply.accepted:
        raise CommandError(f"the engine refused ({reply.engine_state})", 3)


def _ask(config: Config, session_id: str, action: Any, operator: str, why: str, found: str) -> ControlReply:
    """Ask once. Raises `PipelineError`, which says as well whether a session was found."""
    from gating.messages import ControlRequest
    from gating.service.pipeline import PipelineError, ask_engine

    request = ControlRequest(session_id=session_id, action=action, operator=operator, why=why)
    try:
        return ask_engine(config.endpoints.control, request)
    except PipelineError as error:
        raise PipelineError(f"{error}; {found}" if found else str(error)) from None


def _watch(ask: Callable[[], ControlReply], *, as_json: bool) -> None:
    """Show the status again and again, until the engine does not answer any more."""
    from rich.live import Live

    first = ask()
    if as_json:
        while True:
            print_json(_plain(first))
            time.sleep(WATCH_EVERY_S)
            first = ask()
    with Live(_shown(first), console=console, auto_refresh=False) as shown:
        while True:
            time.sleep(WATCH_EVERY_S)
            shown.update(_shown(ask()), refresh=True)


def _shown(reply: ControlReply) -> Table | str:
    return reply.text if reply.status is None else status_table(reply.status)


def _plain(reply: ControlReply) -> dict[str, Any]:
    """Return a reply as plain builtins, the fields of its status beside the others."""
    from gating.messages import as_dict

    plain = as_dict(reply)
    status: Any = plain.pop("status")
    return {**plain, **(status or {})}


def status_table(status: EngineStatus) -> Table:
    """Return how a session stands, for people; a dash where nothing is known."""
    from rich.table import Table

    def since(heard_ms_ago: float | None) -> str:
        return "never heard" if heard_ms_ago is None else f"heard {heard_ms_ago:.0f} ms ago"

    table = Table(show_header=False, box=None)
    frame = "-" if status.frame_sequence < 0 else str(status.frame_sequence)
    table.add_row("frame", f"{frame} of a {status.source_kind}")
    table.add_row("gate", f"{status.gate.upper()}: {status.reason} {status.detail}".rstrip())
    table.add_row("beam", f"commanded {status.commanded or '-'}, confirmed {status.confirmed or '-'}")
    for peer in status.peers:
        table.add_row(peer.peer, ", ".join(filter(None, (since(peer.heard_ms_ago), peer.state))))
    table.add_row("counts", ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in status.counters.items()))
    for label, fault in zip(["faults", *[""] * len(status.faults)], status.faults or ["none"], strict=False):
        table.add_row(label, fault)
    return table
