"""`cinegate record`: the process that writes the session log."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cinegate.settings import load_config
from cinegate.verbs.app import app
from cinegate.verbs.options import (
    ConfigOption,
)
from cinegate.verbs.process_options import (
    SessionOption,
)
from cinegate.verbs.speaking import LogFormatOption, VerboseOption, speaking
from gating.wire.security import secure_process

if TYPE_CHECKING:
    pass


@app.command()
def record(
    path: Annotated[Path, typer.Argument(help="Session log to write (.mcap); it must not exist.")],
    session: SessionOption = "session",
    config: ConfigOption = None,
    verbose: VerboseOption = False,
    log_format: LogFormatOption = "text",
) -> None:
    """Write every wire message to a session log: the recorder process."""
    from gating.service.recorder import run_recorder

    os.umask(0o077)
    settings = load_config(config)
    secure_process(settings, "recorder")
    with speaking("record", session, verbose=verbose, log_format=log_format):
        run_recorder(settings, session, path)
