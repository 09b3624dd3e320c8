"""`cinegate source|engine|beam|line|record|outlet`: each process alone, on configured endpoints."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cinegate.settings import load_config
from cinegate.verbs.app import CommandError, app
from cinegate.verbs.driver_options import driver_settings
from cinegate.verbs.options import (
    BoxOption,
    ConfigOption,
    MaskOption,
    MemoryOption,
    OthersOption,
    PlanesOption,
    PositionIsOption,
    RateOption,
    SkipOption,
    SpacingOption,
    TrackerOption,
    load_scan_targets,
    load_targets,
)
from cinegate.verbs.process_options import (
    ArrivalTimeOption,
    DeliveryOption,
    OptionsOption,
    SessionOption,
    SimulatedSourceOption,
    SpeedOption,
    SwitchOption,
    WaitOption,
)
from cinegate.verbs.speaking import LogFormatOption, VerboseOption, speaking
from gating.settings.config import Config
from gating.settings.safeguards import in_words
from gating.wire.security import secure_process

if TYPE_CHECKING:
    from drivers.ports import BeamSwitch, CineSource
    from drivers.recordings.scan import Scan
    from gating.targets.spec import TargetSpec


@app.command()
def source(
    name: Annotated[str, typer.Argument(help="Recording to replay, or name of a source; see `cinegate drivers`.")],
    option: OptionsOption = None,
    session: SessionOption = "session",
    speed: SpeedOption = "1",
    loop: Annotated[bool, typer.Option("--loop", help="Replay: start again at the end, without limit.")] = False,
    subscribers: Annotated[int, typer.Option("--subscribers", min=0, help="Subscribers to await before frame 0.")] = 1,
    pixel_spacing_mm: SpacingOption = None,
    frames_per_s: RateOption = None,
    skip_frames: SkipOption = None,
    position_is: PositionIsOption = "",
    plane: PlanesOption = "",
    others: OthersOption = None,
    arrival_time: ArrivalTimeOption = False,
    wait_s: WaitOption = None,
    config: ConfigOption = None,
    verbose: VerboseOption = False,
    log_format: LogFormatOption = "text",
) -> None:
    """Publish cine frames: the source process."""
    from drivers.ports import AnsweringSource
    from drivers.publisher import run_source
    from drivers.registry import source_names

    settings = load_config(config)
    secure_process(settings, "source")
    if name in source_names() and name != "replay":
        asked = [*(["arrival_time=true"] if arrival_time else []), *([f"plane={plane}"] if plane else [])]
        asked += [] if wait_s is None else [f"first_frame_timeout_s={wait_s:g}"]
        given: dict[str, object] = {
            "--with": others,
            "--speed": speed != "1",
            "--loop": loop,
            "--pixel-spacing-mm": pixel_spacing_mm,
        }
        given |= {"--frames-per-s": frames_per_s, "--skip-frames": skip_frames, "--position-is": position_is}
        _refuse(given, f"is for recordings; {name} is set by -o, see `cinegate drivers {name}`")
        cine = _driver_source(name, [*(option or []), *asked])
        if isinstance(cine, AnsweringSource):
            cine.hear_engine(settings.endpoints.telemetry)
    elif name not in source_names() and not Path(name).exists() and not Path(name).suffix:
        known = ", ".join(other for other in source_names() if other != "replay")
        raise CommandError(f"{name} is neither a recording nor a source; sources are {known}")
    else:
        from drivers.recordings.scan import open_scan

        _refuse(
            {"--arrival-time": arrival_time, "--wait-s": wait_s is not None, "-o": option},
            f"is for sources; {name} is a recording",
        )
        scan = open_scan(
            name,
            pixel_spacing_mm,
            plane=plane,
            others=others or (),
            frames_per_s=frames_per_s,
            skip_frames=skip_frames,
            position_is=position_is,
        )
        cine = _replay(scan, speed, loop)
    with speaking("source", session, verbose=verbose, log_format=log_format):
        run_source(
            cine,
            endpoint=settings.endpoints.frames,
            gate_endpoint=settings.endpoints.gate,
            session_id=session,
            subscribers=subscribers,
            clocks=settings.clocks,
            host=settings.host,
        )


def _refuse(options: Mapping[str, object], why: str) -> None:
    """Raise `CommandError` for the first of these options that was given."""
    for option, value in options.items():
        if value:
            raise CommandError(f"{option} {why}")


def _replay(scan: Scan, speed: str, loop: bool) -> CineSource:
    from cinegate.replays import parse_speed
    from drivers.sources.replay import ReplaySource

    pacing, factor = parse_speed(speed)
    return ReplaySource(scan, pacing, factor or 1.0, loop)


def _driver_source(name: str, options: list[str] | None) -> CineSource:
    from drivers.registry import load_source

    driver = load_source(name)
    return driver(driver_settings(driver, name, options))


@app.command()
def engine(
    session: SessionOption = "session",
    target: Annotated[
        Path | None,
        typer.Option("--target", help="Targets that `cinegate targets` made, or the log of a session to go on with."),
    ] = None,
    target_box: BoxOption = None,
    target_mask: MaskOption = None,
    reference: Annotated[
        Path | None,
        typer.Option("--reference", help="Recording with its own target, or one that the box or mask must fit."),
    ] = None,
    plane: PlanesOption = "",
    others: OthersOption = None,
    config: ConfigOption = None,
    tracker: TrackerOption = None,
    memory: MemoryOption = None,
    arm_by_itself: Annotated[
        bool, typer.Option("--arm-by-itself", help="Arm without an operator; for recordings and phantoms only.")
    ] = False,
    site: Annotated[
        str, typer.Option("--site", help="Site to begin with, of those in the configuration; else its first one.")
    ] = "",
    end_with_stream: Annotated[bool, typer.Option("--end-with-stream", help="Exit when the stream ends.")] = False,
    verbose: VerboseOption = False,
    log_format: LogFormatOption = "text",
) -> None:
    """Track and decide: the engine process."""
    from cinegate.targets import named_targets, site_targets, with_memory
    from gating.service.service import EngineService
    from gating.wire.sockets import stop_on_signals

    settings = load_config(config, tracker)
    secure_process(settings, "engine")
    sites: dict[str, list[TargetSpec]] = {}
    if settings.sites:
        given = {"--target": target, "--target-box": target_box, "--target-mask": target_mask, "--memory": memory}
        _refuse({**given, "--reference": reference}, "is for a session without sites; a site names its target file")
        sites = site_targets(settings.sites)
        site = site or next(iter(sites))
    if site and site not in sites:
        raise CommandError(f"--site {site} is not in the configuration; its sites are {', '.join(sites) or 'none'}")
    if sites:
        targets = sites[site]
    elif target is not None:
        targets = with_memory(named_targets(target), memory)
    else:
        targets = with_memory(_targets_in(reference, plane, others or [], target_box, target_mask), memory)
    stop = stop_on_signals()
    with speaking("engine", session, verbose=verbose, log_format=log_format):
        _name_overrides("engine", settings)
        by_itself = {"arm_by_itself": arm_by_itself, "end_with_stream": end_with_stream}
        EngineService(settings, targets, session, sites=sites, site=site, **by_itself).run(stop)


def _name_overrides(role: str, settings: Config) -> None:
    for sentence in in_words(settings, settings.overrides):
        logging.getLogger(f"cinegate.{role}").warning("safeguard off: %s", sentence, extra={"code": sentence})


def _targets_in(
    reference: Path | None, plane: str, others: list[Path], box: str | None, mask: Path | None
) -> list[TargetSpec]:
    if reference is None:
        return load_targets(None, box, mask)
    from drivers.recordings.scan import open_scan

    return load_scan_targets(open_scan(reference, plane=plane, others=others), box, mask, None)


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
        _name_overrides("beam", settings)
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
