"""The switches of real lines: the contract with a stand-in for the line calls, and what can be shown without hardware.

Not shown here: that a real port's RTS or DTR falls when its process dies, and what a GPIO controller does then.
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
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drivers.beam.fanout import Fanout, FanoutSettings
from drivers.beam.gpio import GpioSettings, GpioSwitch
from drivers.beam.serial_line import SerialLine, SerialLineSettings, loop_back_test
from drivers.beam.simulated import SimulatedLinac, line_level
from drivers.beam.zeromq_switch import ZeromqSwitch, ZeromqSwitchSettings
from drivers.errors import BeamFault, Unavailable
from gating.config import LinacSettings
from gating.messages import GateState
from tests.contract.test_beam_switches import BeamSwitchContract, Bench
from tests.stand_ins import StandInLines, StandInPort

ON, HOLD = GateState.ON, GateState.HOLD
FAST = LinacSettings(beam_on_delay_ms=0, beam_off_delay_ms=0, jitter_ms=0)


def wait_until(good: Callable[[], bool], seconds: float = 3.0) -> bool:
    until = time.monotonic() + seconds
    while not good():
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True


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
        switch = SerialLine(settings, make_port=StandInPort)

        def seen() -> GateState:
            own = switch._port is not None and getattr(switch._port, line)
            return ON if own else line_level(level)

        return Bench(switch, seen, lambda: None, elsewhere)


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

    def test_a_pseudo_terminal_has_no_modem_lines_and_that_is_said(self, tmp_path: Path) -> None:
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
    """The far end of a heartbeat line: on while a `+` came within 100 ms; echoes every byte."""

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
        return ON if time.monotonic() - self._last_on_s < 0.1 else HOLD

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
        self._thread.join(2)
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
        made = SerialLine(SerialLineSettings(port=box.port, mode="heartbeat"))
        made.open()
        yield made
        made.close()

    def test_renewals_keep_the_box_on_and_its_echo_confirms(self, switch: SerialLine, box: BeamBox) -> None:
        switch.set_beam(ON)
        assert wait_until(lambda: switch.read_back() is ON)
        until = time.monotonic() + 0.4
        while time.monotonic() < until:
            assert switch.read_back() is ON
            time.sleep(0.01)
        assert box.state is ON

    def test_hold_reaches_the_box_at_once(self, switch: SerialLine, box: BeamBox) -> None:
        switch.set_beam(ON)
        assert wait_until(lambda: switch.read_back() is ON)
        switch.set_beam(HOLD)
        assert wait_until(lambda: box.state is HOLD, 0.09)
        assert wait_until(lambda: switch.read_back() is HOLD)

    def test_silence_holds_the_box(self, switch: SerialLine, box: BeamBox) -> None:
        switch.set_beam(ON)
        assert wait_until(lambda: switch.read_back() is ON)
        assert wait_until(lambda: box.state is HOLD, 0.3)

    def test_a_box_that_does_not_echo_confirms_nothing(self, switch: SerialLine, box: BeamBox) -> None:
        box.echoes = False
        switch.set_beam(ON)
        time.sleep(0.05)
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
            assert wait_until(lambda: box.state is ON, 20)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert wait_until(lambda: box.state is HOLD, 0.2)


class TestGpioOnAStandIn(BeamSwitchContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        chip = tmp_path / "chip"
        chip.touch()
        settings = GpioSettings(chip=str(chip), line=3, read_back_line=4, mode="level")
        elsewhere = (
            "import time; from drivers.beam.gpio import GpioSettings, GpioSwitch;"
            "from gating.messages import GateState; from tests.stand_ins import StandInLines;"
            f"settings = GpioSettings(chip={str(chip)!r}, line=3, read_back_line=4, mode='level');"
            "switch = GpioSwitch(settings, request=StandInLines); switch.open(); switch.set_beam(GateState.ON);"
            "print('on', flush=True); time.sleep(30)"
        )
        switch = GpioSwitch(settings, request=StandInLines)

        def seen() -> GateState:
            own = switch._lines is not None and switch._lines.read()
            return ON if own else line_level(chip)

        return Bench(switch, seen, lambda: None, elsewhere)


class TestGpio:
    def opened(self, tmp_path: Path, mode: str = "pulse") -> tuple[GpioSwitch, StandInLines]:
        settings = GpioSettings(chip=str(tmp_path / "chip"), line=3, read_back_line=4, mode=mode)  # type: ignore[arg-type]
        lines: list[StandInLines] = []
        switch = GpioSwitch(settings, request=lambda asked: lines.append(StandInLines(asked)) or lines[-1])  # type: ignore[func-returns-value]
        switch.open()
        return switch, lines[0]

    def test_a_pulsed_line_toggles_at_every_renewal_and_stops_low(self, tmp_path: Path) -> None:
        switch, lines = self.opened(tmp_path)
        switch.set_beam(ON)
        for _ in range(4):
            switch.read_back()
        switch.set_beam(HOLD)
        for _ in range(4):
            switch.read_back()
        assert lines.driven == [False, True, False, True, False, True, False]
        switch.close()

    def test_a_line_that_fails_is_a_fault(self, tmp_path: Path) -> None:
        switch, lines = self.opened(tmp_path, "level")
        lines.broken = True
        with pytest.raises(BeamFault, match="gpio line 3 does not take a level"):
            switch.set_beam(ON)
        switch.close()

    def test_one_line_for_both_is_refused(self) -> None:
        with pytest.raises(Unavailable, match="another line than the output"):
            GpioSwitch(GpioSettings(chip="/dev/gpiochip0", line=3, read_back_line=3)).open()

    def test_a_missing_chip_is_unavailable(self) -> None:
        pytest.importorskip("gpiod", reason="gpiod is not installed")
        with pytest.raises(Unavailable, match="/dev/no-gpiochip cannot be had"):
            GpioSwitch(GpioSettings(chip="/dev/no-gpiochip", line=3, read_back_line=4)).open()

    def test_a_line_of_the_kernels_simulator_follows(self, simulated_chip: tuple[Path, Path]) -> None:
        device, lines = simulated_chip
        switch = GpioSwitch(GpioSettings(chip=str(device), line=0, read_back_line=1, mode="level"))
        switch.open()
        for state, level, pull in ((ON, "1", "pull-up"), (HOLD, "0", "pull-down")):
            switch.set_beam(state)
            assert (lines / "sim_gpio0" / "value").read_text().strip() == level
            (lines / "sim_gpio1" / "pull").write_text(pull)
            assert switch.read_back() is state
        switch.close()


@pytest.fixture
def simulated_chip() -> Iterator[tuple[Path, Path]]:
    """A chip of two lines of the kernel's gpio-sim: its device, and the folder where its lines are seen and pulled."""
    root = Path("/sys/kernel/config/gpio-sim")
    if not root.is_dir():
        pytest.skip("this kernel has no gpio-sim: the GPIO line is shown with a stand-in for its calls alone")
    chip = root / f"cinegate-{os.getpid()}"
    bank = chip / "bank0"
    bank.mkdir(parents=True)
    try:
        (bank / "num_lines").write_text("2")
        (chip / "live").write_text("1")
        name = (bank / "chip_name").read_text().strip()
        yield Path("/dev", name), Path("/sys/devices/platform", (chip / "dev_name").read_text().strip(), name)
    finally:
        (chip / "live").write_text("0")
        bank.rmdir()
        chip.rmdir()


class TestFanoutOfTwoSimulated(BeamSwitchContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        records = [tmp_path / "a.csv", tmp_path / "b.csv"]
        for record in records:
            record.touch()
        linacs = [SimulatedLinac(FAST, record_path=record) for record in records]
        elsewhere = (
            "import time; from pathlib import Path; from drivers.beam.simulated import SimulatedLinac;"
            "from drivers.beam.fanout import Fanout; from gating.messages import GateState;"
            f"records = {[str(record) for record in records]!r};"
            "switch = Fanout(switches=[SimulatedLinac(record_path=Path(record)) for record in records]);"
            "switch.open(); switch.set_beam(GateState.ON); print('on', flush=True); time.sleep(30)"
        )

        def seen() -> GateState:
            levels = {
                ON if linac.line is ON else line_level(record) for linac, record in zip(linacs, records, strict=True)
            }
            assert len(levels) == 1
            return levels.pop()

        return Bench(Fanout(switches=linacs), seen, lambda: time.sleep(0.02), elsewhere)


class Stubborn:
    """A switch that does not do what it is told."""

    kind = "hardware"
    settle_ms = 70.0

    def __init__(self, *, raises: GateState | None = None, stuck: GateState | None = None) -> None:
        self.state, self._raises, self._stuck = HOLD, raises, stuck

    def open(self) -> None: ...

    def set_beam(self, state: GateState) -> None:
        if state is self._raises:
            raise BeamFault("no")
        self.state = state

    def read_back(self) -> GateState:
        return self._stuck or self.state

    def close(self) -> None:
        self.state = HOLD


class TestFanout:
    def test_one_that_refuses_holds_all(self) -> None:
        good, bad = Stubborn(), Stubborn(raises=ON)
        switch = Fanout(switches=[good, bad])
        switch.open()
        with pytest.raises(BeamFault, match="no"):
            switch.set_beam(ON)
        assert (good.state, switch.read_back()) == (HOLD, HOLD)

    def test_one_that_cannot_be_held_does_not_keep_the_others_on(self) -> None:
        good, bad = Stubborn(), Stubborn(raises=HOLD)
        switch = Fanout(switches=[bad, good])
        switch.open()
        switch.set_beam(ON)
        with pytest.raises(BeamFault, match="1 of 2 switches cannot be held"):
            switch.set_beam(HOLD)
        assert good.state is HOLD

    @pytest.mark.parametrize(("asked", "stuck"), [(ON, HOLD), (HOLD, ON)])
    def test_one_that_contradicts_is_seen(self, asked: GateState, stuck: GateState) -> None:
        switch = Fanout(switches=[Stubborn(), Stubborn(stuck=stuck)])
        switch.open()
        switch.set_beam(asked)
        assert switch.read_back() is stuck

    def test_one_of_hardware_makes_it_hardware_and_the_slowest_settles_it(self) -> None:
        switch = Fanout(switches=[SimulatedLinac(FAST), Stubborn()])
        assert (switch.kind, switch.settle_ms) == ("hardware", 70.0)

    def test_members_come_from_settings(self) -> None:
        members = '[{"switch": "serial_line", "port": "/dev/ttyS9", "line": "dtr"}, {"switch": "simulated"}]'
        assert Fanout(FanoutSettings(members=members)).kind == "hardware"

    @pytest.mark.parametrize(
        ("members", "said"),
        [
            ("[]", "0 switches"),
            ("nonsense", "no JSON list"),
            ('[{"switch": "unheard-of"}]', "'unheard-of' is unknown"),
            ('[{"switch": "serial_line", "port": "x", "line": "cts"}]', "member 0 of fanout"),
        ],
    )
    def test_bad_members_are_named(self, members: str, said: str) -> None:
        with pytest.raises(Unavailable, match=said):
            Fanout(FanoutSettings(members=members))


REMOTE = """
import sys
from pathlib import Path
from drivers.beam.simulated import SimulatedLinac
from drivers.beam.zeromq_switch import RemoteLine
from gating.config import LinacSettings
from gating.sockets import stop_on_signals
linac = SimulatedLinac(
    LinacSettings(beam_on_delay_ms=0, beam_off_delay_ms=0, jitter_ms=0), record_path=Path(sys.argv[2])
)
RemoteLine(linac, sys.argv[1]).run(stop_on_signals())
"""

MASTER = """
import sys, time
from drivers.beam.zeromq_switch import ZeromqSwitch, ZeromqSwitchSettings
from drivers.errors import BeamFault
from gating.messages import GateState
switch = ZeromqSwitch(ZeromqSwitchSettings(endpoint=sys.argv[1], silence_ms=1000))
switch.open()
while True:
    try:
        if switch.read_back() is GateState.HOLD:
            switch.set_beam(GateState.ON)
    except BeamFault:
        pass
    time.sleep(0.01)
"""


class TestZeromqSwitch:
    @pytest.fixture
    def record(self, tmp_path: Path) -> Path:
        path = tmp_path / "delivery.csv"
        path.touch()
        return path

    @pytest.fixture
    def endpoint(self, tmp_path: Path) -> str:
        return f"ipc://{tmp_path}/line"

    @pytest.fixture
    def remote(self, endpoint: str, record: Path) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen([sys.executable, "-c", REMOTE, endpoint, str(record)])
        yield process
        process.kill()
        process.wait()

    @pytest.fixture
    def switch(self, endpoint: str, remote: subprocess.Popen[bytes]) -> Iterator[ZeromqSwitch]:
        made = ZeromqSwitch(ZeromqSwitchSettings(endpoint=endpoint))
        made.open()
        assert wait_until(lambda: answers(made), 20), "the remote line does not answer"
        yield made
        made.close()

    def test_is_held_until_told_and_follows(self, switch: ZeromqSwitch, record: Path) -> None:
        assert line_level(record) is HOLD
        for state in (ON, HOLD, ON):
            switch.set_beam(state)
            assert wait_until(lambda wanted=state: switch.read_back() is wanted)  # type: ignore[misc]
            assert line_level(record) is state

    def test_close_holds(self, switch: ZeromqSwitch, record: Path) -> None:
        switch.set_beam(ON)
        assert wait_until(lambda: switch.read_back() is ON)
        switch.close()
        assert wait_until(lambda: line_level(record) is HOLD, 0.3)
        with pytest.raises(BeamFault, match="not open"):
            switch.set_beam(ON)

    def test_without_renewal_the_line_falls_and_only_a_new_begin_raises_it(
        self, switch: ZeromqSwitch, record: Path
    ) -> None:
        switch.set_beam(ON)
        assert wait_until(lambda: switch.read_back() is ON)
        assert wait_until(lambda: line_level(record) is HOLD, 0.3)
        for _ in range(10):
            switch.read_back()
            time.sleep(0.01)
        assert switch.read_back() is HOLD

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
    def test_a_dead_or_frozen_master_means_hold_within_the_lease(
        self, endpoint: str, remote: subprocess.Popen[bytes], record: Path, how: signal.Signals
    ) -> None:
        master = subprocess.Popen([sys.executable, "-c", MASTER, endpoint])
        try:
            assert wait_until(lambda: line_level(record) is ON, 20)
            time.sleep(0.1)
            master.send_signal(how)
            assert wait_until(lambda: line_level(record) is HOLD, 0.2)
        finally:
            master.kill()
            master.wait()

    def test_a_dead_remote_line_holds_and_is_a_fault(
        self, switch: ZeromqSwitch, remote: subprocess.Popen[bytes], record: Path
    ) -> None:
        switch.set_beam(ON)
        assert wait_until(lambda: switch.read_back() is ON)
        remote.kill()
        remote.wait()
        assert line_level(record) is HOLD
        time.sleep(0.25)
        with pytest.raises(BeamFault, match=r"silent for \d+ ms; the limit is 200 ms"):
            switch.read_back()

    def test_orders_that_queued_while_the_remote_line_stood_still_are_not_believed(
        self, switch: ZeromqSwitch, remote: subprocess.Popen[bytes], record: Path
    ) -> None:
        remote.send_signal(signal.SIGSTOP)
        switch.set_beam(ON)
        time.sleep(0.3)
        remote.send_signal(signal.SIGCONT)
        time.sleep(0.2)
        assert line_level(record) is HOLD

    def test_a_second_master_is_refused_and_the_line_held(
        self, switch: ZeromqSwitch, endpoint: str, record: Path
    ) -> None:
        switch.set_beam(ON)
        assert wait_until(lambda: switch.read_back() is ON)
        other = ZeromqSwitch(ZeromqSwitchSettings(endpoint=endpoint))
        other.open()
        other.set_beam(ON)
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            switch.read_back()
            time.sleep(0.01)
        assert line_level(record) is HOLD
        other.close()

    def test_every_call_returns_in_time(self, switch: ZeromqSwitch) -> None:
        begin = time.perf_counter()
        switch.set_beam(ON)
        switch.read_back()
        assert time.perf_counter() - begin < 0.05


def answers(switch: ZeromqSwitch) -> bool:
    try:
        switch.read_back()
    except BeamFault:
        return False
    return switch._answered_ns > 0 and switch._socket is not None and _fresh(switch)


def _fresh(switch: ZeromqSwitch) -> bool:
    before = switch._answered_ns
    time.sleep(0.02)
    try:
        switch.read_back()
    except BeamFault:
        return False
    return switch._answered_ns > before
