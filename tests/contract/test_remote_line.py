"""A beam line in another process, on this or another host: the contract, and what is special about the way there."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from drivers.beam.remote_line import RemoteLine
from drivers.beam.simulated import SimulatedLinac, line_level
from drivers.beam.zeromq_switch import BEGIN, MAGIC, MESSAGE, RENEW, ZeromqSwitch, ZeromqSwitchSettings
from drivers.errors import BeamFault, Unavailable
from gating.clocks.clock import ManualClock
from gating.messages import GateState
from gating.settings.config import LinacSettings
from tests.contract.beam_switch import BeamSwitchContract, Bench
from tests.patience import shortest_s, wait_until

pytestmark = pytest.mark.deadlines

ON, HOLD = GateState.ON, GateState.HOLD
LEASE_S = 0.1

REMOTE = """
import sys
from pathlib import Path
from drivers.beam.simulated import SimulatedLinac
from drivers.beam.remote_line import RemoteLine
from gating.settings.config import LinacSettings
from gating.wire.sockets import stop_on_signals
from tests.patience import SlowClock
linac = SimulatedLinac(
    LinacSettings(beam_on_delay_ms=0, beam_off_delay_ms=0, jitter_ms=0), record_path=Path(sys.argv[2])
)
RemoteLine(linac, sys.argv[1], clock=SlowClock(int(sys.argv[3]))).run(stop_on_signals())
"""

MASTER = """
import sys, time
from drivers.beam.zeromq_switch import ZeromqSwitch, ZeromqSwitchSettings
from drivers.errors import BeamFault
from gating.messages import GateState
switch = ZeromqSwitch(ZeromqSwitchSettings(endpoint=sys.argv[1], silence_ms=1000))
switch.open()
told = False
while True:
    try:
        if switch.read_back() is GateState.HOLD:
            switch.set_beam(GateState.ON)
        elif not told:
            told = True
            print("on", flush=True)
    except BeamFault:
        pass
    time.sleep(0.01)
"""


def confirmed(switch: ZeromqSwitch) -> GateState | None:
    """What the line says to an order that is sent now; None while it does not answer."""
    try:
        switch.read_back()
        wait_until(lambda: switch.newest_answer() is not None, 0.2)
        return switch.newest_answer()
    except BeamFault:
        return None


def turn_on(switch: ZeromqSwitch) -> None:
    """Begin again until the line is on: a pause of the machine may end a lease that has just begun."""

    def on() -> bool:
        switch.set_beam(ON)
        return confirmed(switch) is ON

    assert wait_until(on), "the remote line does not come on"


class RawMaster:
    """Gives orders byte by byte, and knows the newest token."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket, self._token, self.number = socket, 0, 0

    def order(self, wanted: int, number: int) -> GateState:
        """Give an order; return what the line confirms."""
        self._socket.send(MESSAGE.pack(MAGIC, wanted, self._token, number))
        assert self._socket.poll(60_000)
        _, on, self._token, answered = MESSAGE.unpack(self._socket.recv())
        assert answered == number
        return ON if on else HOLD

    def begin(self) -> GateState:
        self.number += 1
        return self.order(BEGIN, self.number)


@pytest.fixture
def master(endpoint: str, remote: subprocess.Popen[bytes]) -> Iterator[RawMaster]:
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.connect(endpoint)
        yield RawMaster(socket)


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "delivery.csv"
    path.touch()
    return path


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/line"


@pytest.fixture
def remote(request: pytest.FixtureRequest, endpoint: str, record: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The line's process; its clock is slower by the factor that a test asks for."""
    times = str(getattr(request, "param", 1))
    process = subprocess.Popen([sys.executable, "-c", REMOTE, endpoint, str(record), times])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def switch(request: pytest.FixtureRequest, endpoint: str, remote: subprocess.Popen[bytes]) -> Iterator[ZeromqSwitch]:
    made = ZeromqSwitch(ZeromqSwitchSettings(endpoint=endpoint))
    made.open()
    assert wait_until(lambda: confirmed(made) is not None, 60), "the remote line does not answer"
    yield made
    made.close()


@pytest.mark.parametrize("remote", [4], indirect=True)
class TestZeromqSwitch(BeamSwitchContract):
    """The remote line's lease of 100 ms is four times as long here, so that a pause of the machine does not end it."""

    @pytest.fixture
    def bench(self, remote: subprocess.Popen[bytes], record: Path, endpoint: str) -> Iterator[Bench]:  # type: ignore[override]
        assert wait_until(Path(endpoint.removeprefix("ipc://")).exists, 60)
        switch = ZeromqSwitch(ZeromqSwitchSettings(endpoint=endpoint))

        def line() -> GateState:
            with contextlib.suppress(BeamFault):  # closed
                assert wait_until(lambda: switch.newest_answer() is not None)
            return line_level(record)

        def come_to_rest() -> None:
            assert wait_until(lambda: line_level(record) is HOLD)

        elsewhere = f"import sys; sys.argv[1:] = [{endpoint!r}]\n{MASTER}"
        yield Bench(switch, line, lambda: None, elsewhere, come_to_rest)
        switch.close()


class TestTheWayThere:
    def test_close_holds(self, switch: ZeromqSwitch, record: Path) -> None:
        turn_on(switch)
        switch.close()
        assert wait_until(lambda: line_level(record) is HOLD)
        with pytest.raises(BeamFault, match="not open"):
            switch.set_beam(ON)

    def test_without_renewal_the_line_falls_and_only_a_new_begin_raises_it(
        self, switch: ZeromqSwitch, record: Path
    ) -> None:
        turn_on(switch)
        assert wait_until(lambda: line_level(record) is HOLD)
        for _ in range(10):
            assert wait_until(lambda: confirmed(switch) is not None)
            assert (switch.newest_answer(), line_level(record)) == (HOLD, HOLD)
        turn_on(switch)

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
    def test_a_dead_or_frozen_master_means_hold_within_the_lease(
        self, endpoint: str, remote: subprocess.Popen[bytes], record: Path, how: signal.Signals
    ) -> None:
        def falls_s() -> float:
            master = subprocess.Popen([sys.executable, "-c", MASTER, endpoint], stdout=subprocess.DEVNULL)
            try:
                assert wait_until(lambda: line_level(record) is ON, 60)
                master.send_signal(how)
                return shortest_s(lambda: wait_until(lambda: line_level(record) is HOLD), 2 * LEASE_S, tries=1)
            finally:
                master.kill()
                master.wait()

        assert any(falls_s() < 2 * LEASE_S for _ in range(5))

    def test_a_dead_remote_line_holds_and_is_a_fault(
        self, switch: ZeromqSwitch, remote: subprocess.Popen[bytes], record: Path
    ) -> None:
        turn_on(switch)
        remote.kill()
        remote.wait()
        assert line_level(record) is HOLD
        time.sleep(0.25)
        with pytest.raises(BeamFault, match=r"silent for \d+ ms; the limit is 200 ms"):
            switch.read_back()

    def test_an_answer_that_is_read_late_is_as_old_as_its_order(
        self, endpoint: str, remote: subprocess.Popen[bytes]
    ) -> None:
        clock = ManualClock()
        switch = ZeromqSwitch(ZeromqSwitchSettings(endpoint=endpoint), clock=clock)
        switch.open()
        assert wait_until(lambda: confirmed(switch) is not None, 60)
        turn_on(switch)
        switch.read_back()
        clock.advance_ms(250)
        assert wait_until(lambda: switch.newest_answer() is not None)
        remote.send_signal(signal.SIGSTOP)
        assert wait_until(lambda: stopped(remote.pid))
        with pytest.raises(BeamFault, match="silent for 250 ms; the limit is 200 ms"):
            switch.read_back()
        switch.close()

    def test_orders_queued_while_the_remote_line_was_frozen_are_ignored(
        self, switch: ZeromqSwitch, remote: subprocess.Popen[bytes], record: Path
    ) -> None:
        remote.send_signal(signal.SIGSTOP)
        assert wait_until(lambda: stopped(remote.pid))
        switch.set_beam(ON)
        time.sleep(0.3)
        remote.send_signal(signal.SIGCONT)
        assert wait_until(lambda: confirmed(switch) is not None)
        assert (switch.newest_answer(), line_level(record)) == (HOLD, HOLD)

    def test_an_order_without_the_newest_token_is_ignored(self, master: RawMaster, record: Path) -> None:
        assert master.begin() is HOLD
        assert wait_until(lambda: master.begin() is ON)
        assert wait_until(lambda: line_level(record) is HOLD)

    def test_a_damaged_number_holds_and_the_next_orders_are_obeyed(self, master: RawMaster, record: Path) -> None:
        assert wait_until(lambda: master.begin() is ON)
        assert master.order(RENEW, master.number | 1 << 50) is HOLD
        assert line_level(record) is HOLD
        assert wait_until(lambda: master.begin() is ON)

    def test_an_answer_to_an_order_never_given_is_ignored(self, endpoint: str) -> None:
        with zmq.Context() as context, context.socket(zmq.ROUTER) as line:
            line.bind(endpoint)
            switch = ZeromqSwitch(ZeromqSwitchSettings(endpoint=endpoint, silence_ms=1000))
            opening = threading.Thread(target=switch.open)
            opening.start()
            peer, _ = line.recv_multipart()
            for number, token, on in ((1, 77, 0), (1 << 50, 78, 1)):
                line.send_multipart([peer, MESSAGE.pack(MAGIC, on, token, number)])
            opening.join()
            tokens = [0]

            def order() -> int:
                assert switch.read_back() is HOLD
                *_, token, _ = MESSAGE.unpack(line.recv_multipart()[1])
                tokens.append(token)
                return token

            assert wait_until(lambda: order() == 77)
            switch.set_beam(ON)
            *_, token, _ = MESSAGE.unpack(line.recv_multipart()[1])
            assert token == 77
            assert set(tokens) == {0, 77}
            switch.close()

    @pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1"])
    def test_without_keys_the_line_obeys_nobody_over_tcp(self, address: str) -> None:
        line = RemoteLine(SimulatedLinac(LinacSettings()), f"tcp://{address}:0")
        with pytest.raises(Unavailable, match=r"would obey anybody at tcp://[^ ]+; set security\.keys"):
            line.run(lambda: True)

    def test_the_command_drives_a_line_for_the_beam_interface(self, endpoint: str, record: Path) -> None:
        command = [sys.executable, "-m", "cinegate", "line", "--listen", endpoint, "--delivery-record", str(record)]
        process = subprocess.Popen(command)
        switch = ZeromqSwitch(ZeromqSwitchSettings(endpoint=endpoint))

        def raised() -> bool:
            turn_on(switch)
            return line_level(record) is ON

        try:
            switch.open()
            assert wait_until(lambda: confirmed(switch) is HOLD, 60)
            assert wait_until(raised)
            process.terminate()
            assert process.wait(10) == 0
            assert line_level(record) is HOLD
        finally:
            switch.close()
            process.kill()
            process.wait()

    def test_a_second_master_is_refused_and_the_line_held(
        self, switch: ZeromqSwitch, endpoint: str, record: Path
    ) -> None:
        turn_on(switch)
        other = ZeromqSwitch(ZeromqSwitchSettings(endpoint=endpoint))
        other.open()
        other.set_beam(ON)
        assert wait_until(lambda: confirmed(switch) is HOLD)
        assert line_level(record) is HOLD
        other.close()


def stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "T"
