"""`cinegate positions` and `cinegate follow`: a session's position stream, and a simulated machine that follows it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cinegate.settings import load_config
from cinegate.verbs.app import CommandError, app
from cinegate.verbs.options import ConfigOption
from cinegate.verbs.process_options import SessionOption
from cinegate.verbs.speaking import LogFormatOption, VerboseOption, speaking
from gating.wire.security import secure_process

if TYPE_CHECKING:
    from drivers.machines.process import Machine


@app.command()
def positions(
    session: SessionOption = "session",
    config: ConfigOption = None,
    verbose: VerboseOption = False,
    log_format: LogFormatOption = "text",
) -> None:
    """Publish where each target is and will be, for machines that follow it: a process beside a session."""
    from gating.positions.publisher import PositionPublisher
    from gating.wire.sockets import stop_on_signals

    settings = load_config(config)
    secure_process(settings, "positions")
    stop = stop_on_signals()
    with speaking("positions", session, verbose=verbose, log_format=log_format):
        PositionPublisher(settings, session).run(stop)


@app.command()
def follow(
    record: Annotated[Path, typer.Argument(help="File (.csv) for a row every 10 ms; it must not exist.")],
    machine: Annotated[
        Literal["mlc", "couch"], typer.Option("--machine", help="Multileaf collimator, or couch.")
    ] = "mlc",
    structure: Annotated[str, typer.Option("--structure", help="Structure to follow.")] = "target",
    across: Annotated[
        Literal["ap", "lr"], typer.Option("--across", help="Collimator: axis across its leaves, which travel along SI.")
    ] = "ap",
    aperture_mm: Annotated[
        float, typer.Option("--aperture-mm", min=5, max=100, help="Collimator: diameter of the plan's round aperture.")
    ] = 40.0,
    session: SessionOption = "session",
    config: ConfigOption = None,
    verbose: VerboseOption = False,
    log_format: LogFormatOption = "text",
) -> None:
    """Follow a target with a simulated collimator or couch, and record what it followed and when it held."""
    from drivers.machines.process import FollowingMachine
    from gating.wire.sockets import stop_on_signals

    os.umask(0o077)
    if record.exists():
        raise CommandError(f"{record} exists; name a new file")
    settings = load_config(config)
    secure_process(settings, "machine")
    stop = stop_on_signals()
    with speaking("follow", session, verbose=verbose, log_format=log_format):
        driven = _machine(machine, across, aperture_mm)
        FollowingMachine(settings, session, structure, driven, record, allow_simulated=True).run(stop)


def _machine(name: str, across: str, aperture_mm: float) -> Machine:
    from drivers.machines.collimator import Collimator, circle
    from drivers.machines.couch import Couch
    from drivers.machines.lease import AXES, SI
    from drivers.machines.process import CollimatorMachine, CouchMachine

    if name == "couch":
        return CouchMachine(Couch(), (AXES[across], SI))
    return CollimatorMachine(Collimator(circle(aperture_mm)), AXES[across])
