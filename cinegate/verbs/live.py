"""`cinegate live`: a live source through real processes, armed by an operator, until somebody ends the session."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from cinegate.outputs import output_folder
from cinegate.settings import load_config
from cinegate.verbs.app import CommandError, app, console
from cinegate.verbs.options import ConfigOption, JsonOption, MemoryOption, TrackerOption
from cinegate.verbs.process_options import (
    ArrivalTimeOption,
    OptionsOption,
    SimulatedSourceOption,
    SwitchOption,
    WaitOption,
)
from cinegate.verbs.run import (
    ConsoleOption,
    LogOption,
    OperatorOption,
    console_arguments,
    print_summary,
    tell,
    watch_session,
)
from cinegate.verbs.screen import Screen, breath_hold_guide
from cinegate.verbs.speaking import LogFormatOption, VerboseOption


@app.command()
def live(
    source: Annotated[str, typer.Argument(help="Name of a source; see `cinegate drivers`.")],
    option: OptionsOption = None,
    target: Annotated[
        Path | None,
        typer.Option("--target", help="Targets that `cinegate targets` made, or the log of a session to go on with."),
    ] = None,
    config: ConfigOption = None,
    tracker: TrackerOption = None,
    memory: MemoryOption = None,
    arrival_time: ArrivalTimeOption = False,
    wait_s: WaitOption = None,
    switch: SwitchOption = "simulated",
    switch_option: Annotated[
        list[str] | None, typer.Option("--switch-option", help="Setting of the beam switch, key=value; as -o.")
    ] = None,
    allow_simulated_source: SimulatedSourceOption = False,
    arm_by_itself: Annotated[
        bool, typer.Option("--arm-by-itself", help="Arm without an operator; for the phantom only.")
    ] = False,
    log: LogOption = None,
    with_console: ConsoleOption = False,
    operator: OperatorOption = "",
    verbose: VerboseOption = False,
    log_format: LogFormatOption = "text",
    as_json: JsonOption = False,
) -> None:
    """Run a live session: source, engine, beam interface and recorder, each its own process, ended together.

    Confirm the contour and arm with `cinegate control`, which finds the session by itself. Ctrl-C or `cinegate control
    stop` ends it.
    """
    from cinegate.live import LiveSession, SessionPlan
    from cinegate.targets import named_targets, with_memory

    settings = load_config(config, tracker)
    if target is None and not settings.sites:
        raise CommandError(
            "a live session needs --target FILE, which `cinegate targets` makes, or [[sites]] with theirs"
        )
    if settings.sites and (target or memory):
        raise CommandError("--target and --memory are for a session without sites; a site names its target file")
    _check_source(source, option, arm_by_itself=arm_by_itself)
    plan = SessionPlan(
        name=source,
        config=settings,
        targets=[] if target is None else with_memory(named_targets(target), memory),
        log_folder=log or output_folder("sessions"),
        source=[
            source,
            *_repeated("-o", option),
            *(["--arrival-time"] if arrival_time else []),
            *([] if wait_s is None else ["--wait-s", f"{wait_s:g}"]),
        ],
        beam=[
            *("--switch", switch),
            *_repeated("-o", switch_option),
            *(["--allow-simulated-source"] if allow_simulated_source else []),
        ],
        simulated_beam=switch == "simulated",
        arm_by_itself=arm_by_itself,
        console=console_arguments(with_console, operator),
        speaking=[*(["-v"] if verbose else []), "--log-format", log_format],
        tell=tell,
    )
    session = LiveSession(plan)
    console.print(
        f"session {session.session_id}: Ctrl-C or `cinegate control stop --operator NAME` ends it", soft_wrap=True
    )
    with suppress(KeyboardInterrupt):
        shown = console.is_terminal and not as_json
        watch_session(session, Screen(source, None, guide=breath_hold_guide(settings)), show=shown)
    print_summary(session.log, as_json)


def _check_source(name: str, option: list[str] | None, *, arm_by_itself: bool) -> None:
    """Refuse before anything is started what the source's process would refuse. Raises `CommandError`."""
    from cinegate.verbs.driver_options import driver_settings
    from drivers.registry import load_source, source_names

    if name == "replay" or name not in source_names():
        known = ", ".join(other for other in source_names() if other != "replay")
        raise CommandError(f"{name} is no live source; sources are {known}; `cinegate run` replays recordings")
    if arm_by_itself and name != "phantom":
        raise CommandError(f"--arm-by-itself is for the phantom; {name} is a live source, and an operator must arm")
    driver_settings(load_source(name), name, option)


def _repeated(flag: str, values: list[str] | None) -> list[str]:
    return [word for value in values or [] for word in (flag, value)]
