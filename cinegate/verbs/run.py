"""`cinegate run`: a recording through real processes to gate signals, a session log and a summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

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
    RecordingArgument,
    SpacingOption,
    TrackerOption,
    load_scan_targets,
)
from cinegate.verbs.processes import SpeedOption
from cinegate.verbs.progress import announce_compilation
from gating.messages import (
    ARRIVAL_TIME,
    ARRIVAL_TIME_MEANS,
    BeamStatus,
    Event,
    GateCommand,
    GateState,
    Message,
    SessionHeader,
    TargetEstimate,
    TargetReference,
)
from gating.settings.config import Config
from gating.settings.rules import BreathHoldRule
from gating.targets.rules import BreathHold, TargetObservation

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
    path, interrupted = run_session(
        recording,
        config=load_config(config, tracker),
        box=target_box,
        mask=target_mask,
        target=target,
        speed=speed,
        log=log,
        pixel_spacing_mm=pixel_spacing_mm,
        plane=plane,
        others=others or (),
        memory=memory,
        with_console=console_arguments(with_console, operator),
        show=not as_json,
    )
    print_summary(path, as_json)
    if interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)


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
    plane: str = "",
    others: Sequence[Path] = (),
    memory: Path | None = None,
    with_console: Sequence[str] | None = None,
    show: bool = True,
) -> tuple[Path, bool]:
    """Run one session to the end of its recording, or until Ctrl-C; return its log, and whether it was interrupted.

    Raises
    ------
    PipelineError
        If a process ends before its time.
    """
    from cinegate.live import LiveSession, SessionPlan
    from cinegate.replays import replay_arguments
    from cinegate.targets import with_memory
    from drivers.recordings.scan import open_scan

    scan = open_scan(recording, pixel_spacing_mm, plane=plane, others=others)
    plan = SessionPlan(
        name=scan.name,
        config=config,
        targets=with_memory(load_scan_targets(scan, box, mask, target), memory),
        log_folder=log or output_folder("sessions"),
        source=replay_arguments(recording, speed=speed, spacing_mm=pixel_spacing_mm, plane=plane, others=others),
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
        console.print("interrupted: the summary is of what was recorded")
        return session.log, True
    return session.log, False


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


def breath_hold_guide(config: Config) -> BreathHold | None:
    """Return what follows the patient's breath-hold, where the settings have a rule for it."""
    rule = next((rule for rule in config.gating.rules if isinstance(rule, BreathHoldRule)), None)
    return None if rule is None else BreathHold(rule)


@dataclass
class Screen:
    """The live table: what the engine and the beam interface said last."""

    name: str
    frames: int | None
    """Of the recording; None for a live source."""
    estimate: TargetEstimate | None = None
    command: GateCommand | None = None
    beam: BeamStatus | None = None
    event: str = ""
    arrival_time: bool = False
    overrides: Sequence[str] = ()
    """Settings that disarm a safeguard, each with its reason."""
    decided: int = 0
    beam_on: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    guide: BreathHold | None = None
    """Follows the breath-hold beside the engine, for the patient's guidance."""
    reference: TargetReference | None = None

    def hear(self, message: Message) -> None:
        """Take one message of the session."""
        match message:
            case TargetEstimate():
                self.estimate = message
                self.decided += 1
                self.beam_on += message.gate is GateState.ON
                self.reasons[message.reason] += 1
                self._follow_hold(message)
            case SessionHeader():
                self.overrides = message.overrides
            case TargetReference():
                self.reference = self.reference or message
            case GateCommand():
                self.command = message
            case BeamStatus():
                self.beam = message
            case Event():
                self.event = message.text
                self.arrival_time = self.arrival_time or message.code == ARRIVAL_TIME
            case _:
                pass

    def _follow_hold(self, seen: TargetEstimate) -> None:
        if self.guide is None or self.reference is None or seen.target != self.reference.target:
            return
        lr, ap, si = np.subtract(seen.position_mm, self.reference.centre_mm).tolist()
        away_mm = (lr, ap, si) if seen.status == "tracked" else (np.nan, np.nan, np.nan)
        self.guide.update(TargetObservation(seen.acquired_ns, np.empty((0, 2), np.float32), away_mm))

    def table(self) -> Table:
        """Return what is shown."""
        table = Table(title=f"cinegate · {self.name} · research software, not a medical device", min_width=76)
        table.add_column("", style="dim", width=14)
        table.add_column("", min_width=58)
        for label, text in self.rows():
            table.add_row(label, text)
        return table

    def _progress(self) -> str:
        return f"{self.decided}" if self.frames is None else f"{self.decided} of {self.frames}"

    def rows(self) -> list[tuple[str, Any]]:
        """Return (label, text) of every line that has something to say."""
        command, beam, estimate = self.command, self.beam, self.estimate
        engine = "starting" if command is None else f"{command.engine_state} · source is a {command.source_kind}"
        rows: list[tuple[str, Any]] = [("engine", engine), ("frame", self._progress())]
        if self.arrival_time:
            rows.append(("stamps", Text(ARRIVAL_TIME_MEANS, style="red")))
        rows += [("safeguard off", Text(sentence, style="red")) for sentence in self.overrides]
        if command is not None:
            colour = "green" if command.state is GateState.ON else "yellow"
            state = (f"{command.state.upper():5}", colour)
            rows.append(("gate", Text.assemble(state, f" {command.reason} {command.detail}")))
        if beam is not None:
            rows.append(("beam confirms", f"{beam.confirmed.upper()} ({beam.beam_kind} {beam.beam})"))
        if estimate is not None:
            lr, ap, si = estimate.position_mm
            rows.append(("target", f"SI {si:7.1f}  AP {ap:7.1f}  LR {lr:7.1f} mm · {estimate.status}"))
            rows.append(("confidence", f"{estimate.confidence:.2f} · {100 * estimate.target_out_fraction:.1f} % out"))
        if self.guide is not None and estimate is not None:
            hold = self.guide.state(estimate.acquired_ns)
            said = f"held for {hold.held_s:.0f} s, {hold.left_s:.0f} s left" if hold.held_s > 0 else "breathing"
            rows.append(("breath-hold", said))
        if self.decided:
            rows.append(("beam on", f"{100 * self.beam_on / self.decided:.0f} % of frames"))
        if self.event:
            rows.append(("last event", self.event))
        return rows
