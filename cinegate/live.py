"""A live session from Python: source, engine, beam interface and recorder, each its own process."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

from msgspec.structs import replace

from gating.messages import ControlReply, ControlRequest, Message
from gating.service.pipeline import PipelineError, Session, ask_engine
from gating.service.running import RunningSession, announce
from gating.settings.config import Config, EndpointSettings
from gating.targets.target_file import write_targets
from gating.wire.security import secure_process

if TYPE_CHECKING:
    from gating.targets.spec import TargetSpec

START_S: Final = 240.0
"""For so long an engine that does not answer may be starting: it may have kernels to compile first."""
_ASK_AGAIN_S: Final = 0.5
_READ_EVERY_S: Final = 0.1
Action = Literal["confirm", "arm", "disarm", "acknowledge", "accept_shift", "site", "status", "stop"]


class RequestRefused(PipelineError):
    """The engine refused what an operator asked for; its sentence says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPlan:
    """What a session starts: the arguments of each process beside those that all share.

    A configuration that sets endpoints keeps them; otherwise the processes meet in a folder of their own.
    """

    name: str
    """Of the source or the recording, for people."""
    config: Config
    targets: Sequence[TargetSpec]
    log_folder: Path
    source: Sequence[str]
    beam: Sequence[str] = ()
    simulated_beam: bool = True
    arm_by_itself: bool = False
    console: Sequence[str] | None = None
    """Arguments of a console that looks on; None starts none."""
    speaking: Sequence[str] = ()
    """Arguments of every process on what it prints."""
    tell: Callable[[str], None] | None = None
    """Called with each line that a process prints."""


class LiveSession:
    """Four processes that end together; made by `cinegate.run`, started by `with`.

    Iterating yields what engine and beam interface say, as `GateCommand`, `TargetEstimate`, `BeamStatus`, `Event` and
    other messages, until the stream has ended. Leaving the `with` block, by an exception too, ends every process: the
    beam is held, and the log is complete.

    Attributes
    ----------
    session_id : str
    log : Path
        The session log, for `read_session` and `report`.
    """

    def __init__(self, plan: SessionPlan) -> None:
        self._plan = plan
        self.session_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
        self.log = plan.log_folder.resolve() / f"{self.session_id}.mcap"
        self._pipeline: Session | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Start the processes."""
        plan = self._plan
        config = replace(plan.config, recording=replace(plan.config.recording, required=True))
        plan.log_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with ExitStack() as opened:
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="cinegate-")))
            own = config.endpoints == EndpointSettings()
            session = Session(config, self.session_id, folder, "ipc" if own else "configured")
            opened.callback(self._pass_on, session)
            opened.callback(session.stop)
            targets = [] if config.sites else ["--target", str(folder / "targets.json")]
            if targets:
                write_targets(folder / "targets.json", list(plan.targets))
            secure_process(session.config, "operator")
            record = ["--delivery-record", str(self.log.with_suffix(".delivery.csv"))] if plan.simulated_beam else []
            armed = ["--arm-by-itself"] if plan.arm_by_itself else []
            session.start("beam", *plan.beam, *record, *plan.speaking)
            session.start("record", str(self.log), *plan.speaking)
            session.start("engine", *targets, *armed, "--end-with-stream", *plan.speaking)
            session.start("source", *plan.source, *plan.speaking)
            opened.callback(self._announce(session).unlink, missing_ok=True)
            if plan.console is not None:
                session.start_console(*plan.console, "--sessions", str(self.log.parent))
            self._pipeline, self._open = session, opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """End every process, the beam interface last but the recorder. Twice is harmless."""
        self._pipeline = None
        self._open.close()

    def __iter__(self) -> Iterator[Message]:
        """Yield what engine and beam interface say, until the stream has ended.

        Raises
        ------
        PipelineError
            If a process fails; one sentence.
        """
        session = self._running()
        read_s = 0.0
        for message in session.messages(until="engine"):
            if time.monotonic() - read_s > _READ_EVERY_S:
                read_s = time.monotonic()
                self._pass_on(session)
            yield message
        if session.processes["engine"].returncode != 0:
            session.check()

    def wait(self) -> None:
        """Let the session run to the end of its stream. Raises `PipelineError`."""
        for _ in self:
            pass

    def confirm(self, operator: str, *, timeout_s: float = 60.0) -> ControlReply:
        """Confirm that the contour is where it should be, which a live source needs before it can be armed.

        Look at the contour on the newest image first. A restart of the engine and a latch each need it anew.
        Parameters and errors are those of `arm`.
        """
        return self._ask("confirm", operator, timeout_s=timeout_s)

    def arm(self, operator: str, *, timeout_s: float = 60.0) -> ControlReply:
        """Let the engine permit beam; it refuses before it has warmed up and seen enough good frames.

        With a live source it also refuses before `confirm`.

        Parameters
        ----------
        operator
            Who asks; goes into the log.
        timeout_s
            For so long the request is repeated, twice a second, while the engine refuses.

        Raises
        ------
        RequestRefused
            With the engine's sentence.
        PipelineError
            If no engine answers.
        """
        return self._ask("arm", operator, timeout_s=timeout_s)

    def disarm(self, operator: str) -> ControlReply:
        """Hold the beam until it is armed again. Raises `RequestRefused`, `PipelineError`."""
        return self._ask("disarm", operator)

    def acknowledge(self, operator: str, why: str) -> ControlReply:
        """Clear a latched fault, with a reason for the log; arming is another request. Raises as `disarm`."""
        return self._ask("acknowledge", operator, why)

    def site(self, name: str, operator: str) -> ControlReply:
        """Go on with another site of the configuration. Its engine must be confirmed and armed. Raises as `disarm`."""
        return self._ask("site", operator, site=name)

    def status(self, operator: str) -> ControlReply:
        """Return the engine's state. Raises as `disarm`."""
        return self._ask("status", operator)

    def _announce(self, session: Session) -> Path:
        """Write the file by which operators and consoles find the session."""
        security = session.config.security
        keys = str(Path(security.keys).expanduser().resolve()) if security.keys else ""
        running = RunningSession(
            session_id=self.session_id,
            source=self._plan.name,
            started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            log=str(self.log),
            supervisor=os.getpid(),
            processes={role: process.pid for role, process in session.processes.items()},
            config=replace(session.config, security=replace(security, keys=keys)),
        )
        return announce(running)

    def _pass_on(self, session: Session) -> None:
        if self._plan.tell is not None:
            for line in session.new_lines():
                self._plan.tell(line)

    def _ask(
        self, action: Action, operator: str, why: str = "", timeout_s: float = 0.0, site: str = ""
    ) -> ControlReply:
        """Ask until the engine, which may still be starting, answers; and while it refuses, for as long as allowed."""
        request = ControlRequest(session_id=self.session_id, action=action, operator=operator, why=why, site=site)
        began_s = time.monotonic()
        while True:
            session = self._running()
            try:
                reply = ask_engine(session.config.endpoints.control, request)
            except PipelineError:
                session.check()
                if time.monotonic() - began_s > START_S:
                    raise
                continue
            if reply.accepted:
                return reply
            if time.monotonic() + _ASK_AGAIN_S - began_s > timeout_s:
                raise RequestRefused(reply.text)
            time.sleep(_ASK_AGAIN_S)

    def _running(self) -> Session:
        if self._pipeline is None:
            raise PipelineError(f"session {self.session_id} is not running; start it with: with cinegate.run(...)")
        return self._pipeline
