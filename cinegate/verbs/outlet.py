"""`cinegate outlet`: cine, target and gate for the programs of others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cinegate.settings import load_config
from cinegate.verbs.app import app
from cinegate.verbs.options import (
    ConfigOption,
)
from cinegate.verbs.speaking import LogFormatOption, VerboseOption, speaking
from gating.wire.security import secure_process

if TYPE_CHECKING:
    pass


@app.command()
def outlet(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="OpenIGTLink port; 0 takes a free one.")
    ] = 18944,
    config: ConfigOption = None,
    verbose: VerboseOption = False,
    log_format: LogFormatOption = "text",
) -> None:
    """Show the cine, the target and the gate to 3D Slicer or PLUS over OpenIGTLink."""
    from drivers.outlets.openigtlink import Outlet
    from gating.wire.sockets import stop_on_signals

    settings = load_config(config)
    secure_process(settings, "operator")
    stop = stop_on_signals()
    with speaking("outlet", "", verbose=verbose, log_format=log_format):
        Outlet(settings.endpoints, host, port).run(stop)
