"""The serial line: the contract on a stand-in for the line calls, and the heartbeat over a real pseudo-terminal.

Not shown here: that a real port's RTS or DTR falls when its process dies.
"""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.beam.serial_line import SerialLine, SerialLineSettings, loop_back_test
from drivers.beam.simulated import line_level
from drivers.errors import BeamFault, Unavailable
from gating.messages import GateState
from tests.contract.beam_switch import BeamSwitchContract, Bench
from tests.patience import SlowClock, wait_until
from tests.stand_ins import StandInPort

pytestmark = pytest.mark.deadlines

ON, HOLD = GateState.ON, GateState.HOLD
TIMES = 10
"""Leases are longer here by this factor, so that a pause of the test machine does not end one."""


class TestSerialLineOnAStandIn(BeamSwitchContract):
    @pytest.fixture(params=["rts", "dtr"])
    def bench(self, request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
        line, read_back = request.param, {"rts": "cts", "dtr": "dsr"}[request.param]
        settings = SerialLineSettings(port=str(tmp_path / "port"), line=line, read_back=read_back)
        level = tmp_path / f"port.{line}"
        level.touch()
        elsewhere = (
            "import time; from drivers.beam.serial_line import SerialLine, SerialLineSettings;"
            "from gating.messages import GateState; from tests.stand_ins import StandInPort;"
            f"settings = SerialLineSettings(port={settings.port!r}, line={line!r}, read_back={read_back!r});"
            "switch = SerialLine(settings, make_port=StandInPort); switch.open(); switch.set_beam(GateState.ON);"
            "print('on', flush=True); time.sleep(30)"
        )
        made: list[StandInPort] = []

        def make_port(asked: SerialLineSettings) -> StandInPort:
            made.append(StandInPort(asked))
            return made[-1]

        def seen() -> GateState:
            return ON if any(getattr(port, line) for port in made) else line_level(level)

        return Bench(SerialLine(settings, make_port=make_port), seen, lambda: None, elsewhere)


class TestSerialLine:
    def opened(self, tmp_path: Path) -> tuple[SerialLine, StandInPort]:
        switch = SerialLine(SerialLineSettings(port=str(tmp_path / "port")), make_port=StandInPort)
        switch.open()
        return switch, StandInPort.made[-1]

    def test_a_port_that_fails_is_a_fault(self, tmp_path: Path) -> None:
        switch, port = self.opened(tmp_path)
        port.broken = True
        with pytest.raises(BeamFault, match="does not take on"):
            switch.set_beam(ON)
        with pytest.raises(BeamFault, match="cannot be read"):
            switch.read_back()
        switch.close()

    def test_a_line_that_does_not_follow_reads_back_hold(self, tmp_path: Path) -> None:
        switch, port = self.opened(tmp_path)
        port.stuck = True
        switch.set_beam(ON)
        assert switch.read_back() is HOLD
        switch.close()

    def test_a_missing_port_is_unavailable(self) -> None:
        pytest.importorskip("serial", reason="pyserial is not installed")
        with pytest.raises(Unavailable, match="/dev/nothing-there cannot be used"):
            SerialLine(SerialLineSettings(port="/dev/nothing-there")).open()

    def test_the_loop_back_test_times_both_pairs(self, tmp_path: Path) -> None:
        results = loop_back_test(SerialLineSettings(port=str(tmp_path / "port")), changes=3, make_port=StandInPort)
        assert [(result.line, result.read_back, result.followed) for result in results] == [
            ("rts", "cts", True),
            ("dtr", "dsr", True),
        ]

    def test_a_pseudo_terminal_without_modem_lines_is_reported(self, tmp_path: Path) -> None:
        pytest.importorskip("serial", reason="pyserial is not installed")
        master, slave = pty.openpty()
        switch = SerialLine(SerialLineSettings(port=os.ttyname(slave)))
        try:
            with pytest.raises(Unavailable, match=r"cannot be used: .*Inappropriate ioctl"):
                switch.open()
        finally:
            switch.close()
            os.close(master)
            os.close(slave)


class BeamBox:
    """The far end of a heartbeat line: on while the last `+` is younger than the lease; echoes every byte."""

    LEASE_S = 0.1 * TIMES

    def __init__(self) -> None:
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave, termios.TCSANOW)
        os.set_blocking(self._master, False)
        self.port, self.echoes = os.ttyname(self._slave), True
        self._last_on_s, self._stop = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def state(self) -> GateState:
        return ON if time.monotonic() - self._last_on_s < self.LEASE_S else HOLD

    def _run(self) -> None:
        while not self._stop.wait(0.002):
            try:
                heard = os.read(self._master, 4096)
            except (BlockingIOError, OSError):
                continue
            self._last_on_s = time.monotonic() if heard[-1:] == b"+" else 0.0
            if self.echoes:
                os.write(self._master, heard[-1:])

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self._master)
        os.close(self._slave)


class TestHeartbeatOverAPseudoTerminal:
    @pytest.fixture
    def box(self) -> Iterator[BeamBox]:
        pytest.importorskip("serial", reason="pyserial is not installed")
        made = BeamBox()
        yield made
        made.close()

    @pytest.fixture
    def switch(self, box: BeamBox) -> Iterator[SerialLine]:
        made = SerialLine(SerialLineSettings(port=box.port, mode="heartbeat"), clock=SlowClock(TIMES))
        made.open()
        yield made
        made.close()

    def test_renewals_keep_the_box_on_and_its_echo_confirms(self, switch: SerialLine, box: BeamBox) -> None:
        switch.set_beam(ON)
        assert wait_until(lambda: switch.read_back() is ON)
        until = time.monotonic() + 1.5 * box.LEASE_S
        while time.monotonic() < until:
            assert switch.read_back() is ON
            time.sleep(0.01)
        assert box.state is ON

    def test_hold_reaches_the_box_at_once(self, switch: SerialLine, box: BeamBox) -> None:
        switch.set_beam(ON)
        assert wait_until(lambda: switch.read_back() is ON)
        switch.set_beam(HOLD)
        assert wait_until(lambda: box.state is HOLD, 0.9 * box.LEASE_S)
        assert wait_until(lambda: switch.read_back() is HOLD)

    def test_silence_holds_the_box(self, switch: SerialLine, box: BeamBox) -> None:
        switch.set_beam(ON)
        assert wait_until(lambda: switch.read_back() is ON)
        assert wait_until(lambda: box.state is HOLD)

    def test_a_box_that_does_not_echo_confirms_nothing(self, switch: SerialLine, box: BeamBox) -> None:
        box.echoes = False
        switch.set_beam(ON)
        assert wait_until(lambda: box.state is ON)
        assert switch.read_back() is HOLD

    def test_a_killed_process_holds_the_box(self, box: BeamBox) -> None:
        script = (
            "import sys, time; from drivers.beam.serial_line import SerialLine, SerialLineSettings;"
            "from gating.messages import GateState;"
            "switch = SerialLine(SerialLineSettings(port=sys.argv[1], mode='heartbeat'));"
            "switch.open(); switch.set_beam(GateState.ON)\n"
            "while True: switch.read_back(); time.sleep(0.01)"
        )
        process = subprocess.Popen([sys.executable, "-c", script, box.port])
        try:
            assert wait_until(lambda: box.state is ON, 60)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert wait_until(lambda: box.state is HOLD)
