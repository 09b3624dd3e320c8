"""Options of the verbs that are processes, which the verbs that start these processes share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from cinegate.verbs.app import CommandError

SessionOption = Annotated[str, typer.Option("--session", help="Session id, the same for every process of a session.")]
OptionsOption = Annotated[
    list[str] | None, typer.Option("--option", "-o", help="Setting of the driver, key=value; may be repeated.")
]
SwitchOption = Annotated[str, typer.Option("--switch", help="Beam switch by name; see `cinegate drivers`.")]
DeliveryOption = Annotated[
    Path | None, typer.Option("--delivery-record", help="File in which the simulated linac records its delivery.")
]
ArrivalTimeOption = Annotated[
    bool, typer.Option("--arrival-time", help="Live: use arrival times as stamps. The images' age is then unknown.")
]
SimulatedSourceOption = Annotated[
    bool, typer.Option("--allow-simulated-source", help="Let replays and phantoms drive a hardware switch.")
]
WaitOption = Annotated[
    float | None,
    typer.Option(
        "--wait-s",
        min=0,
        max=3600,
        metavar="S",
        help="Live: how long to await the peer's first frames; 0: for ever.",
    ),
]
SpeedOption = Annotated[
    str, typer.Option("--speed", help="Replay: a factor (1 is real time), `stepped`, or `unpaced`.", metavar="S")
]


def refuse_given(options: Mapping[str, object], why: str) -> None:
    """Raise `CommandError` for the first of these options that was given."""
    for option, value in options.items():
        if value:
            raise CommandError(f"{option} {why}")
