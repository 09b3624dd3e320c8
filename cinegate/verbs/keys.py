"""`cinegate keys`: key pairs of the processes, and who may connect to whom."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cinegate.verbs.app import app, findings, print_json
from cinegate.verbs.options import JsonOption
from cinegate.verbs.terminal import PlainConsole

keys_app = typer.Typer(help="Keys of the processes, and who may connect to whom.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")

FolderOption = Annotated[Path, typer.Option("--folder", help="Folder of the keys; `security.keys` names it.")]
NameArgument = Annotated[str, typer.Argument(help="source, engine, beam, recorder, operator, or a name of your own.")]


@keys_app.command()
def new(name: NameArgument, folder: FolderOption = Path("keys")) -> None:
    """Make a key pair (secret 0600), admitted to the channels usual for its name; for the recorder, one to sign with.

    A recorder that has a signing key signs every seal of its logs; `cinegate verify --key` checks them.
    """
    from gating.wire.keys import new_key

    findings.print(f"secret: {new_key(folder, name)}; give {name}.pub to the other hosts")
    if name == "recorder":
        sign(folder)


@keys_app.command()
def sign(folder: FolderOption = Path("keys")) -> None:
    """Make a key with which the recorder signs session logs, in a folder whose recorder has none yet."""
    from gating.session.signing import PUBLIC_NAME, new_signing_key

    findings.print(f"secret: {new_signing_key(folder)} signs session logs; give {PUBLIC_NAME} to who verifies them")


@keys_app.command(name="list")
def list_keys(folder: FolderOption = Path("keys"), as_json: JsonOption = False) -> None:
    """Show the keys of a folder, and which channels admit them."""
    from gating.session.signing import PUBLIC_NAME
    from gating.wire.keys import SERVERS, allowed

    admitted = allowed(folder)
    names = sorted(path.stem for path in folder.glob("*.pub") if path.name != PUBLIC_NAME)
    rows = {
        name: {
            "binds": [channel for channel, role in SERVERS.items() if role == name],
            "may_connect_to": [channel for channel, who in admitted.items() if name in who],
        }
        for name in names
    }
    secret = {name: (folder / f"{name}.key").exists() for name in names}
    if as_json:
        print_json({"keys": {name: {"secret_here": secret[name], **row} for name, row in rows.items()}})
        return
    table = Table("name", "secret here", "binds", "may connect to")
    for name, row in rows.items():
        binds, connects = (", ".join(channels) for channels in row.values())
        table.add_row(name, "yes" if secret[name] else "", binds, connects)
    PlainConsole().print(table)


@keys_app.command()
def allow(
    name: NameArgument,
    channel: Annotated[str, typer.Argument(help="frames, gate, telemetry, control, beam or recorder.")],
    folder: FolderOption = Path("keys"),
) -> None:
    """Admit a key to a channel. Running processes admit it after a restart."""
    from gating.wire.keys import allow as allow_name

    allow_name(folder, name, channel)
    findings.print(f"{name} may connect to {channel}")
