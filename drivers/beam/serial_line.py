"""RTS or DTR of a serial port as the gate line, read back on CTS or DSR; or a heartbeat of bytes to a beam box.

The kernel lowers RTS and DTR when the last process closes the port (HUPCL, set here), so the death of the process
holds the beam. Opening a port may raise both lines for an instant before they can be lowered: wire them to a box that
needs longer than that.
"""

from __future__ import annotations

import contextlib
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Protocol

from msgspec import Meta, Struct

from drivers.errors import BeamFault, Unavailable
from drivers.extras import missing
from gating.clocks.clock import Clock, MonotonicClock
from gating.messages import GateState

ON_BYTE: Final = b"+"
HOLD_BYTE: Final = b"-"

Output = Literal["rts", "dtr"]
Input = Literal["cts", "dsr"]


class SerialPort(Protocol):
    """The part of pyserial's `Serial` that this driver uses."""

    port: str | None
    rts: bool
    dtr: bool
    is_open: bool

    @property
    def cts(self) -> bool:
        """Level of the input that RTS is usually wired to."""
        ...

    @property
    def dsr(self) -> bool:
        """Level of the input that DTR is usually wired to."""
        ...

    @property
    def in_waiting(self) -> int:
        """Number of bytes that can be read without waiting."""
        ...

    def open(self) -> None:
        """Open the port."""
        ...

    def close(self) -> None:
        """Close the port."""
        ...

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes without waiting."""
        ...

    def write(self, data: bytes) -> int | None:
        """Write without waiting."""
        ...


class SerialLineSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The port and its lines."""

    port: Annotated[str, Meta(min_length=1, max_length=256, description="Device, for example /dev/ttyUSB0.")]
    mode: Annotated[
        Literal["line", "heartbeat"],
        Meta(description="A modem line as the level, or a byte at each renewal, which the box echoes."),
    ] = "line"
    line: Annotated[Output, Meta(description="Output that permits the beam while raised.")] = "rts"
    read_back: Annotated[Input, Meta(description="Input that confirms the line.")] = "cts"
    baud: Annotated[int, Meta(ge=1200, le=1_000_000, description="Heartbeat: bits per second.")] = 115_200
    echo_ms: Annotated[float, Meta(ge=20, le=500, description="Heartbeat: an older echo confirms only hold.")] = 100.0
    settle_ms: Annotated[float, Meta(gt=0, le=500, description="Time after which the read-back must agree.")] = 30.0


def pyserial_port(settings: SerialLineSettings) -> SerialPort:
    """Return a closed pyserial port that opens with its lines low. Raises `Unavailable` if pyserial is missing."""
    try:
        import serial
    except ModuleNotFoundError:
        raise Unavailable(missing("serial_line", "pyserial", "serial")) from None
    port: SerialPort = serial.Serial(baudrate=settings.baud, timeout=0, write_timeout=0, exclusive=True)
    port.port, port.rts, port.dtr = settings.port, False, False
    return port


class SerialLine:
    """A `BeamSwitch` on a serial port.

    Parameters
    ----------
    settings
        See `SerialLineSettings`.
    clock
        Clock that dates the echoes.
    make_port
        Returns the port; a test passes a stand-in.
    """

    Settings = SerialLineSettings
    kind: Literal["simulated", "hardware"] = "hardware"

    def __init__(
        self,
        settings: SerialLineSettings,
        *,
        clock: Clock | None = None,
        make_port: Callable[[SerialLineSettings], SerialPort] = pyserial_port,
    ) -> None:
        self._settings, self._clock, self._make_port = settings, clock or MonotonicClock(), make_port
        self._port: SerialPort | None = None
        self._state = GateState.HOLD
        self._echo: tuple[bytes, int] = (HOLD_BYTE, 0)

    @property
    def settle_ms(self) -> float:
        """Time after which the read-back must agree with the line, ms."""
        return self._settings.settle_ms

    def open(self) -> None:
        """Take the port and hold. Raises `Unavailable`."""
        if self._port is not None:
            return
        port = self._make_port(self._settings)
        try:
            port.open()
            _hang_up_on_close(port)
            if self._settings.mode == "line":
                port.rts = port.dtr = False
        except (OSError, ValueError) as error:
            with contextlib.suppress(OSError):
                port.close()
            raise Unavailable(f"serial port {self._settings.port} cannot be used: {error}") from None
        self._port, self._state = port, GateState.HOLD

    def set_beam(self, state: GateState) -> None:
        """Raise or lower the line, or send the byte. Raises `BeamFault`."""
        self._drive(GateState.ON if state is GateState.ON else GateState.HOLD)
        if state not in (GateState.ON, GateState.HOLD):
            raise BeamFault(f"beam state {state!r} is neither hold nor on; the line is held")

    def read_back(self) -> GateState:
        """Return the state of CTS, DSR or the echo; in heartbeat mode also renew. Raises `BeamFault`."""
        port = self._require_open()
        try:
            if self._settings.mode == "heartbeat":
                self._exchange_byte(port)
                fresh = self._clock.now_ns() - self._echo[1] <= self._settings.echo_ms * 1e6
                confirmed = fresh and self._echo[0] == ON_BYTE
            else:
                confirmed = bool(getattr(port, self._settings.read_back))
        except OSError as error:
            raise BeamFault(f"serial port {self._settings.port} cannot be read: {error}") from None
        return GateState.ON if confirmed else GateState.HOLD

    def close(self) -> None:
        """Hold, then release the port."""
        if self._port is None:
            return
        with contextlib.suppress(BeamFault):
            self._drive(GateState.HOLD)
        with contextlib.suppress(OSError):
            self._port.close()
        self._port = None

    def _drive(self, state: GateState) -> None:
        port, self._state = self._require_open(), state
        try:
            if self._settings.mode == "heartbeat":
                self._exchange_byte(port)
            else:
                setattr(port, self._settings.line, state is GateState.ON)
        except OSError as error:
            raise BeamFault(f"serial port {self._settings.port} does not take {state}: {error}") from None

    def _exchange_byte(self, port: SerialPort) -> None:
        if port.in_waiting:
            received = port.read(4096)
            if received:
                self._echo = (received[-1:], self._clock.now_ns())
        if port.write(ON_BYTE if self._state is GateState.ON else HOLD_BYTE) != 1:
            raise OSError("the port takes no byte: is the box there?")

    def _require_open(self) -> SerialPort:
        if self._port is None:
            raise BeamFault(f"serial port {self._settings.port} is not open")
        return self._port


@dataclass(frozen=True, slots=True)
class LoopBack:
    """Result of the loop-back test of one pair of lines."""

    line: str
    read_back: str
    followed: bool
    slowest_ms: float


def loop_back_test(
    settings: SerialLineSettings,
    *,
    changes: int = 20,
    make_port: Callable[[SerialLineSettings], SerialPort] = pyserial_port,
) -> list[LoopBack]:
    """Raise and lower both lines of a real port, with RTS wired to CTS and DTR to DSR, and time the read-back.

    Never run this with a linac at the other end. Raises `Unavailable`, `BeamFault`.
    """
    results = []
    pairs: tuple[tuple[Output, Input], ...] = (("rts", "cts"), ("dtr", "dsr"))
    for line, read_back in pairs:
        switch = SerialLine(
            SerialLineSettings(port=settings.port, line=line, read_back=read_back),
            make_port=make_port,
        )
        switch.open()
        try:
            took_ms = [_time_change(switch, state) for state in (GateState.ON, GateState.HOLD) * changes]
        finally:
            switch.close()
        results.append(LoopBack(line, read_back, max(took_ms) < settings.settle_ms, max(took_ms)))
    return results


def _time_change(switch: SerialLine, state: GateState, patience_ms: float = 200.0) -> float:
    begin = time.perf_counter()
    switch.set_beam(state)
    while (took_ms := (time.perf_counter() - begin) * 1e3) < patience_ms and switch.read_back() is not state:
        time.sleep(0.0005)
    return took_ms


def _hang_up_on_close(port: SerialPort) -> None:
    """Ask the kernel to lower the lines when the port is closed, even by the death of the process."""
    fileno = getattr(port, "fileno", None)
    if fileno is None:
        return
    try:
        attributes = termios.tcgetattr(fileno())
        attributes[2] |= termios.HUPCL
        termios.tcsetattr(fileno(), termios.TCSANOW, attributes)
    except termios.error as error:
        raise OSError(f"hang-up on close cannot be set: {error}") from None
