"""`cinegate run`: a recording through real processes to gate signals, a session log and a summary."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.live import Live

from cinegate.outputs import output_folder
from cinegate.settings import load_config
from cinegate.verbs.app import CommandError, app, console, findings, next_steps, print_json
from cinegate.verbs.options import (
    BoxOption,
    ConfigOption,
    JsonOption,
    MaskOption,
    MemoryOption,
    OthersOption,
    PlanesOption,
    PositionIsOption,
    RateOption,
    RecordingArgument,
    SkipOption,
    SpacingOption,
    TrackerOption,
    load_scan_targets,
)
from cinegate.verbs.process_options import SpeedOption
from cinegate.verbs.progress import announce_compilation
from cinegate.verbs.screen import Screen, breath_hold_guide
from gating.settings.config import Config

if TYPE_CHECKING:
    from cinegate.live import LiveSession

LogOption = Annotated[
    Path | None,
    typer.Option("--log", help="Folder for the session log and its report.", show_default="~/cinegate/sessions"),
]
EXIT_INTERRUPTED: Final = 130
"""What a shell reports of a program that Ctrl-C has ended."""
ConsoleOption = Annotated[bool, typer.Option("--console", help="Open the console of the session in a browser.")]
OperatorOption = Annotated[
    str, typer.Option("--operator", help="Who acts in the console; without a name it can only look on.")
]


@app.command()
def run(
    recording: RecordingArgument,
    target_box: BoxOption = None,
    target_mask: MaskOption = None,
    target: Annotated[
        Path | None, typer.Option("--target", help="Targets (JSON), each with its plane: name, plane, contour_px.")
    ] = None,
    config: ConfigOption = None,
    tracker: TrackerOption = None,
    speed: SpeedOption = "1",
    log: LogOption = None,
    pixel_spacing_mm: SpacingOption = None,
    frames_per_s: RateOption = None,
    skip_frames: SkipOption = None,
    position_is: PositionIsOption = "",
    plane: PlanesOption = "",
    others: OthersOption = None,
    memory: MemoryOption = None,
    with_console: ConsoleOption = False,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Replay a recording through source, engine, beam interface and recorder, each its own process.

    Its summary and its report follow, also where Ctrl-C ends it early (exit code 130).
    """
    run_and_report(
        recording,
        as_json,
        config=load_config(config, tracker),
        box=target_box,
        mask=target_mask,
        target=target,
        speed=speed,
        log=log,
        pixel_spacing_mm=pixel_spacing_mm,
        frames_per_s=frames_per_s,
        skip_frames=skip_frames,
        position_is=position_is,
        plane=plane,
        others=others or (),
        memory=memory,
        with_console=console_arguments(with_console, operator),
    )


class Interrupted(KeyboardInterrupt):
    """Ctrl-C ended a session early; `log` is of what was recorded."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self.log = log


def run_and_report(recording: Path, as_json: bool, **how: Any) -> None:
    """Run a session as `run_session` does, then print what it came to, also if Ctrl-C ended it."""
    try:
        log, exit_code = run_session(recording, show=not as_json, **how), 0
    except Interrupted as ended:
        console.print("interrupted: the summary is of what was recorded")
        log, exit_code = ended.log, EXIT_INTERRUPTED
    print_summary(log, as_json)
    if exit_code:
        raise typer.Exit(exit_code)


def run_session(
    recording: Path,
    *,
    config: Config,
    box: str | None = None,
    mask: Path | None = None,
    target: Path | None = None,
    speed: str = "1",
    log: Path | None,
    pixel_spacing_mm: float | None = None,
    frames_per_s: float | None = None,
    skip_frames: int | None = None,
    position_is: str = "",
    plane: str = "",
    others: Sequence[Path] = (),
    memory: Path | None = None,
    with_console: Sequence[str] | None = None,
    show: bool = True,
) -> Path:
    """Run one session to the end of its recording and return its log.

    Raises
    ------
    PipelineError
        If a process ends before its time.
    Interrupted
        By Ctrl-C, with the log of what was recorded.
    """
    from cinegate.live import LiveSession, SessionPlan
    from cinegate.replays import replay_arguments
    from cinegate.targets import with_memory
    from drivers.recordings.scan import open_scan

    given: dict[str, Any] = {"plane": plane, "others": others, "frames_per_s": frames_per_s, "skip_frames": skip_frames}
    given["position_is"] = position_is
    scan = open_scan(recording, pixel_spacing_mm, **given)
    plan = SessionPlan(
        name=scan.name,
        config=config,
        targets=with_memory(load_scan_targets(scan, box, mask, target), memory),
        log_folder=log or output_folder("sessions"),
        source=replay_arguments(recording, speed=speed, spacing_mm=pixel_spacing_mm, **given),
        arm_by_itself=True,
        console=with_console,
        tell=None if with_console is None else tell,
    )
    session = LiveSession(plan)
    announce_compilation()
    try:
        watch_session(session, Screen(scan.name, len(scan), guide=breath_hold_guide(config)), show=show)
    except KeyboardInterrupt:
        if not session.log.exists():
            raise CommandError("interrupted before anything was recorded", EXIT_INTERRUPTED) from None
        raise Interrupted(session.log) from None
    return session.log


def watch_session(session: LiveSession, screen: Screen, *, show: bool) -> None:
    """Run a session to its end, beside a live table if it is to be shown. Raises `PipelineError`."""
    table = Live(screen.table(), console=console, refresh_per_second=4, transient=True, screen=False)
    with session, table if show else nullcontext():
        for message in session:
            screen.hear(message)
            table.update(screen.table())


def console_arguments(wanted: bool, operator: str) -> list[str] | None:
    """Return the arguments of the session's console; None for no console. Raises `CommandError`."""
    if operator and not wanted:
        raise CommandError("--operator is for the console; give --console as well")
    return (["--operator", operator] if operator else []) if wanted else None


def tell(line: str) -> None:
    """Show a line that a process of the session has printed."""
    console.print(line, highlight=False, soft_wrap=True)


def print_summary(path: Path, as_json: bool) -> None:
    """Print what a session came to, and write its report beside its log."""
    from cinegate.sessions import report
    from gating.report.summary import summarise_session, summary_dict, summary_table

    summary, html = summarise_session(path), report(path)
    if as_json:
        print_json({**summary_dict(summary), "log": str(path), "report": str(html)})
        return
    findings.print(summary_table(summary))
    findings.print(f"session log: {path}\nreport: {html}", highlight=False)
    next_steps(f"cinegate verify {path}", f"cinegate whatif {path}")
