"""`cinegate control`: what an operator asks of a running engine."""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cinegate.verbs.app import CommandError, app, findings, print_json
from cinegate.verbs.attaching import SessionIdOption, attach
from cinegate.verbs.options import ConfigOption, JsonOption

if TYPE_CHECKING:
    from rich.table import Table

    from gating.messages import ControlReply, EngineStatus

ACTIONS: Final = ("confirm", "arm", "disarm", "acknowledge", "accept_shift", "mark", "site", "status", "stop")
WATCH_EVERY_S: Final = 0.5


@app.command()
def control(
    action: Annotated[str, typer.Argument(help=f"{', '.join(ACTIONS[:-1])} or {ACTIONS[-1]}.")],
    site: Annotated[str, typer.Argument(help="For `site`: the name of the site to go on with.")] = "",
    *,
    operator: Annotated[
        str, typer.Option("--operator", help="Who makes the request; goes into the log. Not needed for the status.")
    ] = "",
    why: Annotated[str, typer.Option("--why", help="Reason of an acknowledgement, or text of a mark.")] = "",
    session: SessionIdOption = "",
    watch: Annotated[
        bool, typer.Option("--watch", help="Show the status until Ctrl-C, or until the session ends.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Ask a running engine to arm, disarm, acknowledge a latched fault, log a couch shift or a mark, or stop.

    `confirm` says that an operator sees the contour where it should be; a live source is not armed without it.
    `status` tells frame, gate, reason, peers and faults. `stop` ends the session as a whole. `site NAME` ends the
    beam and goes on with another site of the configuration, whose engine must be confirmed and armed anew.
    """
    if action not in ACTIONS:
        raise CommandError(f"action is {action!r}; {', '.join(ACTIONS[:-1])} or {ACTIONS[-1]} is needed")
    if (action == "site") != bool(site):
        raise CommandError("`cinegate control site NAME` names a site, and no other action does")
    if watch and action != "status":
        raise CommandError(f"--watch is for the status, not for {action}")
    if not operator and action != "status":
        raise CommandError(f"{action} needs --operator NAME, which goes into the log")
    attached = attach(session, config)

    def ask() -> ControlReply:
        return attached.ask(action, operator or getpass.getuser(), why, site)

    if watch:
        _watch(ask, as_json=as_json)
        return
    reply = ask()
    if as_json:
        print_json(_plain(reply))
    else:
        findings.print(reply.text, highlight=False)
        if reply.status is not None:
            findings.print(status_table(reply.status))
    if not reply.accepted:
        raise CommandError(f"the engine refused ({reply.engine_state})", 3)


def _watch(ask: Callable[[], ControlReply], *, as_json: bool) -> None:
    """Show the status again and again, until the engine does not answer any more."""
    from rich.live import Live

    first = ask()
    if as_json:
        while True:
            print_json(_plain(first))
            time.sleep(WATCH_EVERY_S)
            first = ask()
    with Live(_shown(first), console=findings, auto_refresh=False) as shown:
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
    table.add_row("frame", frame if status.source_kind is None else f"{frame} of a {status.source_kind}")
    table.add_row("gate", f"{status.gate.upper()}: {status.reason} {status.detail}".rstrip())
    table.add_row("beam", f"commanded {status.commanded or '-'}, confirmed {status.confirmed or '-'}")
    for peer in status.peers:
        table.add_row(peer.peer, ", ".join(filter(None, (since(peer.heard_ms_ago), peer.state))))
    table.add_row("counts", ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in status.counters.items()))
    for label, fault in zip(["faults", *[""] * len(status.faults)], status.faults or ["none"], strict=False):
        table.add_row(label, fault)
    return table
