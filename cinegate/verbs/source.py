"""`cinegate source`: the process that publishes frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cinegate.settings import load_config
from cinegate.verbs.app import CommandError, app
from cinegate.verbs.driver_options import driver_settings
from cinegate.verbs.options import (
    ConfigOption,
    OthersOption,
    PlanesOption,
    PositionIsOption,
    RateOption,
    SkipOption,
    SpacingOption,
)
from cinegate.verbs.process_options import (
    ArrivalTimeOption,
    OptionsOption,
    SessionOption,
    SpeedOption,
    WaitOption,
    refuse_given,
)
from cinegate.verbs.speaking import LogFormatOption, VerboseOption, speaking
from gating.wire.security import secure_process

if TYPE_CHECKING:
    from drivers.ports import CineSource
    from drivers.recordings.scan import Scan


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
        refuse_given(given, f"is for recordings; {name} is set by -o, see `cinegate drivers {name}`")
        cine = _driver_source(name, [*(option or []), *asked])
        if isinstance(cine, AnsweringSource):
            cine.hear_engine(settings.endpoints.telemetry)
    elif name not in source_names() and not Path(name).exists() and not Path(name).suffix:
        known = ", ".join(other for other in source_names() if other != "replay")
        raise CommandError(f"{name} is neither a recording nor a source; sources are {known}")
    else:
        from drivers.recordings.scan import open_scan

        refuse_given(
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


def _replay(scan: Scan, speed: str, loop: bool) -> CineSource:
    from cinegate.replays import parse_speed
    from drivers.sources.replay import ReplaySource

    pacing, factor = parse_speed(speed)
    return ReplaySource(scan, pacing, factor or 1.0, loop)


def _driver_source(name: str, options: list[str] | None) -> CineSource:
    from drivers.registry import load_source

    driver = load_source(name)
    return driver(driver_settings(driver, name, options))
