"""`cinegate console`: the cine, the gate and the patient's guidance in a browser, and an operator's hands."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from cinegate.settings import load_config
from cinegate.verbs.app import CommandError, app, console, print_json
from cinegate.verbs.options import ConfigOption, JsonOption


@app.command(name="console")
def console_verb(
    session: Annotated[
        str, typer.Argument(help="With --attach: the session to show; without it, the one that runs.", show_default="")
    ] = "",
    attach: Annotated[bool, typer.Option("--attach", help="Open the treatment page of a running session.")] = False,
    operator: Annotated[
        str,
        typer.Option("--operator", help="Who holds and arms here; without it the console only shows."),
    ] = "",
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; another than this host's own needs TLS and keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 0,
    certificate: Annotated[Path | None, typer.Option("--certificate", help="For TLS: certificate chain (PEM).")] = None,
    private_key: Annotated[Path | None, typer.Option("--private-key", help="For TLS: private key (PEM).")] = None,
    texts: Annotated[
        Path | None, typer.Option("--texts", help="What the patient reads (TOML), in place of the English texts.")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address only.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a session in a browser, as a listener that no process waits for; with --operator, hold, arm and end it."""
    try:
        from cinegate.console.patient import load_texts
        from cinegate.console.serve import Address, serve
    except ModuleNotFoundError as error:
        from drivers.extras import how_to_install

        raise CommandError(f"{error.name} is not installed; install it with: {how_to_install('console')}") from None
    from gating.wire.sockets import secure_process

    if session and not attach:
        raise CommandError(f"session is {session!r}; it is for --attach")
    if len(operator) > 64 or not operator.isprintable():
        raise CommandError("operator has more than 64 characters, or some that cannot be printed")
    settings = load_config(config)
    secure_process(settings, "console")

    def announce(address: str) -> None:
        if attach:
            address = address.replace("/?", "/treat?")
        if as_json:
            print_json({"url": address})
        else:
            console.print(f"console: {address}", soft_wrap=True)
        if not (no_browser or as_json):
            webbrowser.open(address)

    serve(
        settings,
        Address(host, port, certificate, private_key),
        session=session,
        operator=operator,
        texts=load_texts(texts),
        announce=announce,
    )
