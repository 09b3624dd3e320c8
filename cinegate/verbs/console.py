"""`cinegate console`: the cine, the gate and the patient's guidance in a browser, and an operator's hands."""

from __future__ import annotations

import threading
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from cinegate.outputs import output_place
from cinegate.settings import load_config
from cinegate.verbs.app import CommandError, app, console, print_json
from cinegate.verbs.options import ConfigOption, JsonOption
from gating.settings.config import Config


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
    recordings: Annotated[
        list[Path] | None,
        typer.Option(
            "--recordings",
            help="Folder whose recordings the Set up page opens, or one recording; may be repeated. By default the "
            "bundled recordings, and ./sessions.",
        ),
    ] = None,
    setup_folder: Annotated[Path, typer.Option("--setup-folder", help="Folder for what the Set up page saves.")] = Path(
        "setup"
    ),
    sessions: Annotated[
        list[Path] | None,
        typer.Option(
            "--sessions",
            help="Folder whose session logs the Review page shows; may be repeated. By default the folder in which "
            "sessions are kept, and ./sessions.",
        ),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address only.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a session in a browser, as a listener that no process waits for; with --operator, hold, arm and end it."""
    try:
        from cinegate.console.patient import load_texts
        from cinegate.console.review import Review
        from cinegate.console.serve import Address, serve
        from cinegate.console.setup import SetUp
    except ModuleNotFoundError as error:
        from drivers.extras import missing

        raise CommandError(missing("the console", str(error.name), "console")) from None
    if session and not attach:
        raise CommandError(f"session is {session!r}; it is for --attach")
    for name, places in (("recordings", recordings), ("sessions", sessions)):
        if gone := [place for place in places or [] if not place.exists()]:
            raise CommandError(f"{name} is {gone[0]}; there is no such file or folder")
    if len(operator) > 64 or not operator.isprintable():
        raise CommandError("operator has more than 64 characters, or some that cannot be printed")
    settings, session = _attached(session, config) if attach or config is not None else (None, "")

    def announce(address: str) -> None:
        if attach:
            address = address.replace("/?", "/treat?")
        if as_json:
            print_json({"url": address})
        else:
            console.print(f"console: {address}", soft_wrap=True)
        if not (no_browser or as_json):
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()  # some wait for the browser

    serve(
        Address(host, port, certificate, private_key),
        load_texts(texts),
        SetUp(recordings or _default_recordings(), setup_folder, operator),
        Review(sessions or [output_place("sessions"), Path("sessions")]),
        endpoints=None if settings is None else settings.endpoints,
        session=session,
        operator=operator,
        announce=announce,
    )


def _default_recordings() -> list[Path]:
    import replay_data

    return [replay_data.FOLDER, Path("sessions")]


def _attached(session: str, config: Path | None) -> tuple[Config, str]:
    """Return the settings and the name of the session to show: of one that runs on this host, or as configured."""
    from gating.service.running import find_session
    from gating.wire.security import secure_process

    running = find_session(session) if config is None else None
    if config is None and running is None:
        named = f"no session {session}" if session else "no session"
        raise CommandError(f"{named} runs on this host; start one with `cinegate live`, or give its --config")
    settings = load_config(config) if running is None else running.config
    secure_process(settings, "console")
    return settings, session if running is None else running.session_id
