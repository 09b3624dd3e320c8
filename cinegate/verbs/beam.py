"""`cinegate beam|line`: the process that drives a beam line, here or for a beam interface on another host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cinegate.settings import load_config
from cinegate.verbs.app import app
from cinegate.verbs.driver_options import driver_settings
from cinegate.verbs.options import (
    ConfigOption,
)
from cinegate.verbs.process_options import (
    DeliveryOption,
    OptionsOption,
    SessionOption,
    SimulatedSourceOption,
    SwitchOption,
)
from cinegate.verbs.speaking import LogFormatOption, VerboseOption, name_overrides, speaking
from gating.settings.config import Config
from gating.wire.security import secure_process

if TYPE_CHECKING:
    from drivers.ports import BeamSwitch


@app.command()
def beam(
    session: SessionOption = "session",
    switch: SwitchOption = "simulated",
    option: OptionsOption = None,
    allow_simulated_source: SimulatedSourceOption = False,
    delivery_record: DeliveryOption = None,
    config: ConfigOption = None,
    verbose: VerboseOption = False,
    log_format: LogFormatOption = "text",
) -> None:
    """Drive the beam line under leases: the beam interface process."""
    from drivers.beam.interface import run_beam

    settings = load_config(config)
    secure_process(settings, "beam")
    driven = _beam_switch(switch, option, settings, delivery_record)
    with speaking("beam", session, verbose=verbose, log_format=log_format):
        name_overrides("beam", settings)
        run_beam(settings, session, driven, allow_simulated_source=allow_simulated_source)


@app.command()
def line(
    listen: Annotated[str, typer.Option("--listen", help="Endpoint to bind, for the beam interface's zeromq switch.")],
    switch: SwitchOption = "simulated",
    option: OptionsOption = None,
    delivery_record: DeliveryOption = None,
    config: ConfigOption = None,
    verbose: VerboseOption = False,
    log_format: LogFormatOption = "text",
) -> None:
    """Drive a beam line of this host for a beam interface on another host, which uses the switch zeromq."""
    from drivers.beam.remote_line import RemoteLine
    from gating.wire.sockets import stop_on_signals

    settings = load_config(config)
    secure_process(settings, "line")
    driven = _beam_switch(switch, option, settings, delivery_record)
    stop = stop_on_signals()
    with speaking("line", "", verbose=verbose, log_format=log_format):
        RemoteLine(driven, listen).run(stop)


def _beam_switch(name: str, option: list[str] | None, settings: Config, delivery_record: Path | None) -> BeamSwitch:
    from drivers.registry import load_beam

    driver = load_beam(name)
    made: BeamSwitch = (
        driver(settings.linac, record_path=delivery_record)
        if name == "simulated"
        else driver(driver_settings(driver, name, option))
    )
    return made
