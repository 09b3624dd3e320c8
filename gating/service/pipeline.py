"""Starts, watches and ends the processes of one session. What each of them prints goes to a file."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, Literal

import zmq
from msgspec.structs import replace

from gating.errors import CinegateError
from gating.messages import ControlReply, ControlRequest, Message
from gating.settings.config import Config, EndpointSettings, to_toml
from gating.wire.codec import WireError, decode, encode
from gating.wire.security import secure_process
from gating.wire.sockets import dial, receive, subscribe

STOP_GRACE_S: Final = 5.0
ANSWER_MS: Final = 2000
ENDING_TURN: Final = {"source": 0, "engine": 1, "beam": 2, "record": 3, "console": 4}
"""The order in which the processes are ended. Those that are not listed end with the source."""
ONLOOKERS: Final = frozenset({"console"})
"""Processes whose end changes nothing: they only look on, and ask the engine as any operator does."""


class PipelineError(CinegateError, RuntimeError):
    """A session cannot go on. The text is one sentence."""


def ask_engine(endpoint: str, request: ControlRequest) -> ControlReply:
    """Send one control request and return the reply. Raises `PipelineError` if no engine answers."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        with _signals_wait():
            socket = dial(context, endpoint)
        socket.send_multipart(encode(request))
        if not socket.poll(ANSWER_MS):
            raise PipelineError(f"no engine answered at {endpoint} within {ANSWER_MS / 1000:g} s")
        reply = decode(socket.recv_multipart())
    finally:
        context.destroy(linger=0)
    if not isinstance(reply, ControlReply):
        raise PipelineError(f"the engine at {endpoint} answered with a {type(reply).__name__}")
    return reply


def local_endpoints(folder: Path) -> EndpointSettings:
    """Return ipc endpoints in a folder, whose path must be shorter than about 80 characters."""
    return EndpointSettings(
        **{name: f"ipc://{folder / name}" for name in EndpointSettings.__struct_fields__},
    )


def loopback_endpoints() -> EndpointSettings:
    """Return tcp endpoints on free ports of this host."""
    names = EndpointSettings.__struct_fields__
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in names]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        ports = [one.getsockname()[1] for one in sockets]
    return EndpointSettings(**{name: f"tcp://127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)})


@dataclass
class Session:
    """The processes of one session, with a folder for their sockets, their settings and what they print.

    `transport` chooses their endpoints: in the folder, on free ports of this host, or as the configuration has them.
    """

    config: Config
    session_id: str
    folder: Path
    transport: Literal["ipc", "tcp", "configured"] = "ipc"
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _outputs: list[IO[bytes]] = field(default_factory=list)
    _read_bytes: dict[str, int] = field(default_factory=dict)
    """How much of what each process printed has been read by `new_lines`."""
    _alive: list[int] = field(default_factory=list)
    """Pipes that close with this process, however it ends."""

    def __post_init__(self) -> None:
        if self.transport != "configured":
            endpoints = local_endpoints(self.folder) if self.transport == "ipc" else loopback_endpoints()
            self.config = replace(self.config, endpoints=endpoints)
        (self.folder / "config.toml").write_text(to_toml(self.config))

    def start(self, role: str, *arguments: str) -> None:
        """Start `cinegate ROLE ...` for this session."""
        self._start(role, *arguments, "--session", self.session_id, "--config", str(self.folder / "config.toml"))

    def start_console(self, *arguments: str) -> None:
        """Start `cinegate console` on this session, once it has been announced (`gating.service.running`)."""
        self._start("console", "--attach", self.session_id, *arguments)

    def _start(self, role: str, *arguments: str) -> None:
        output = (self.folder / f"{role}.out").open("wb")
        self._outputs.append(output)
        with _signals_wait():
            theirs, ours = os.pipe()
            self._alive.append(ours)
            try:
                self.processes[role] = subprocess.Popen(
                    [sys.executable, "-m", "cinegate", role, *arguments],
                    stdin=theirs,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    process_group=0,  # a terminal's Ctrl-C is for the starter alone, who ends all in their turn
                )
                _end_when_closed(theirs, self.processes[role].pid)
            finally:
                os.close(theirs)

    def messages(self, *, until: str) -> Iterator[Message]:
        """Yield the messages of engine and beam interface until the process `until` has ended.

        Raises
        ------
        PipelineError
            If another process ends first.
        """
        secure_process(self.config, "operator")
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            endpoints = self.config.endpoints
            with _signals_wait():  # or else a socket that is not yet known would be waited for at the end
                socket = subscribe(context, endpoints.telemetry, endpoints.gate, endpoints.beam)
            while self.processes[until].poll() is None:
                if socket.poll(50):
                    while (parts := receive(socket)) is not None:
                        yield from _readable(parts)
                self.check(until)
        finally:
            context.destroy(linger=0)

    def stop(self) -> None:
        """End every process in its turn: SIGTERM, and SIGKILL after a grace. A second Ctrl-C waits for that."""
        with _signals_wait():
            for role in sorted(self.processes, key=lambda role: ENDING_TURN.get(role, 0)):
                _end(self.processes[role])
            for output in self._outputs:
                output.close()
            while self._alive:
                os.close(self._alive.pop())

    def output(self, role: str) -> str:
        """Return what a process printed."""
        return (self.folder / f"{role}.out").read_text(errors="replace").strip()

    def new_lines(self) -> Iterator[str]:
        """Yield each line that a process has finished since the last call."""
        for role in self.processes:
            with (self.folder / f"{role}.out").open("rb") as printed:
                printed.seek(self._read_bytes.get(role, 0))
                for line in printed:
                    if not line.endswith(b"\n"):
                        break
                    self._read_bytes[role] = self._read_bytes.get(role, 0) + len(line)
                    yield line.decode(errors="replace").rstrip()

    def check(self, until: str = "") -> None:
        """Raise `PipelineError` if a process other than `until` and the onlookers has ended before its time."""
        for role, process in self.processes.items():
            code = process.poll()
            if role == until or role in ONLOOKERS or code is None or (role == "source" and code == 0):
                continue
            if code == 0 and until and _ends_too(self.processes[until]):
                continue
            printed = self.output(role).splitlines()
            raise PipelineError(f"{role} ended with code {code}: {printed[-1] if printed else 'it printed nothing'}")


def _ends_too(process: subprocess.Popen[bytes]) -> bool:
    """Whether a process ends with one that ended well, as all do at the end of a session."""
    try:
        return process.wait(STOP_GRACE_S) == 0
    except subprocess.TimeoutExpired:
        return False


def _end_when_closed(pipe: int, process_id: int) -> None:
    """Let the kernel send SIGTERM to a process once nobody holds the other end of its pipe: its starter was killed."""
    fcntl.fcntl(pipe, fcntl.F_SETOWN, process_id)
    fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGTERM)
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + STOP_GRACE_S
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    if process.poll() is None:
        process.kill()
        process.wait()


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Handle signals to end afterwards: processes and sockets must be known, to be ended, whenever they come."""
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    on_main_thread = threading.current_thread() is threading.main_thread()
    caught = {number: handler for number, handler in handlers.items() if on_main_thread and callable(handler)}
    for number in caught:
        signal.signal(number, lambda signalled, _frame: came.append(signalled))
    try:
        yield
    finally:
        for number, handler in caught.items():
            signal.signal(number, handler)
    for received in came:
        signal.raise_signal(received)


def _readable(parts: list[bytes]) -> Iterator[Message]:
    try:
        message = decode(parts)
    except WireError:
        return
    if isinstance(message, Message):
        yield message
