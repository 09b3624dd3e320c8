"""A shadow session while it runs: a source's process, our engine in this one, and what the other system says."""

from __future__ import annotations

import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import zmq

from cinegate.shadow.engine import ShadowEngine
from cinegate.shadow.sides import ShadowError, Side, read_vendor
from gating.geometry.plane import ImagePlane
from gating.messages import GateCommand, GateState
from gating.service.pipeline import Session
from gating.settings.config import Config
from gating.targets.spec import TargetSpec
from gating.wire.codec import WireError, decode
from gating.wire.security import secure_process
from gating.wire.sockets import receive, subscribe

TELL_EVERY_S: Final = 5.0
WIRE: Final = ("ipc://", "tcp://")


class Vendor(Protocol):
    """The other system, while it works."""

    def take_waiting(self) -> None:
        """Take what has come; returns at once."""
        ...

    def side(self, plane: ImagePlane | None) -> Side:
        """Return what it has said so far. Raises `ShadowError` if that is too little."""
        ...


class VendorFile:
    """A file or folder that the other system writes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def take_waiting(self) -> None:
        """Nothing: the file keeps it."""

    def side(self, plane: ImagePlane | None) -> Side:
        """Return what the file says now."""
        return read_vendor(self._path, plane)


class VendorWire:
    """Gate commands that another engine publishes on our wire; their times are those of their arrival."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = subscribe(self._context, endpoint, topics=(b"gate",))
        self._said: list[tuple[float, bool]] = []

    def take_waiting(self) -> None:
        """Take the commands that wait."""
        while (parts := receive(self._socket)) is not None:
            try:
                command = decode(parts)
            except WireError:
                continue
            if isinstance(command, GateCommand):
                self._said.append((time.time(), command.state is GateState.HOLD))

    def side(self, plane: ImagePlane | None) -> Side:
        """Return the states so far."""
        if len(self._said) < 2:
            raise ShadowError(f"{self._endpoint}: {len(self._said)} commands came; 2 or more are needed")
        t_s = np.maximum.accumulate([at_s for at_s, _ in self._said])
        newest = np.append(np.diff(t_s) > 0, True)  # of those at one time
        hold = np.array([hold for _, hold in self._said])[newest]
        return Side(self._endpoint, t_s[newest], hold, np.full((len(hold), 3), np.nan))

    def close(self) -> None:
        """End the subscription."""
        self._context.destroy(linger=0)


def vendor_of(where: str) -> Vendor:
    """Return the other system, by its file, folder or endpoint. Raises `ShadowError` if there is no such file."""
    if where.startswith(WIRE):
        return VendorWire(where)
    if not Path(where).exists():
        raise ShadowError(f"{where}: there is no such file; it is made before the shadow session begins")
    return VendorFile(Path(where))


def run_shadow(
    config: Config,
    targets: Sequence[TargetSpec],
    source: Sequence[str],
    folder: Path,
    vendor: Vendor,
    *,
    stop: Callable[[], bool],
    tell: Callable[[Side], None] = lambda _: None,
) -> Path:
    """Run a source and our engine in shadow until the stream ends, and return the log.

    The source's process publishes in a private folder of its own; no gate endpoint is bound, there or elsewhere, and
    no beam interface is started.

    Parameters
    ----------
    config, targets
        Of our engine.
    source
        Arguments of the source's process.
    folder
        Where the log goes.
    vendor
        The other system.
    stop
        Ends the session when it returns True.
    tell
        Called every few seconds, on a thread of its own, with what we have decided so far.

    Raises
    ------
    PipelineError
        If the source fails; one sentence.
    OSError
        If the log cannot be written.
    """
    session_id = f"shadow-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = folder.resolve() / f"{session_id}.mcap"
    with ExitStack() as opened:
        meeting = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="cinegate-")))
        session = Session(config, session_id, meeting, "ipc")
        opened.callback(session.stop)
        secure_process(session.config, "engine")
        engine = ShadowEngine(session.config, targets, session_id, log)
        session.start("source", *source, "--subscribers", "1")
        telling = _Telling(engine, tell)
        opened.callback(telling.wait)

        def turn() -> None:
            vendor.take_waiting()
            session.check("source")
            telling.tell_if_due()

        engine.run(stop, turn)
    return log


class _Telling:
    """Tells how a session goes beside it, so that no frame waits for that."""

    def __init__(self, engine: ShadowEngine, tell: Callable[[Side], None]) -> None:
        self._engine, self._tell = engine, tell
        self._thread: threading.Thread | None = None
        self._told_s = time.monotonic()

    def tell_if_due(self) -> None:
        if time.monotonic() - self._told_s < TELL_EVERY_S or (self._thread is not None and self._thread.is_alive()):
            return
        self._told_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="telling", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        with suppress(ShadowError):  # too few frames yet
            self._tell(self._engine.side())
