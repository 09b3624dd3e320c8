"""Engine and beam interface on two hosts, as the kernel sees it: two network namespaces, one cable, and keys."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace

from cinegate.verbs.options import load_targets
from drivers.beam.simulated import read_delivery_record
from drivers.recordings import open_recording
from gating.service.pipeline import local_endpoints
from gating.settings.config import Config, LinacSettings, SecuritySettings, to_toml
from gating.targets.target_file import write_targets
from gating.wire.keys import ROLES, new_key
from tests.faults.pipeline import LEASE_MS, STILL_BOX, TOLERANCE_MS, write_still_recording

pytestmark = pytest.mark.alone

ENGINE_ADDRESS, BEAM_ADDRESS = "10.213.77.1", "10.213.77.2"
STEADY_S = 1.0
START_S, RETURN_S = 120.0, 40.0


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=20)


@pytest.fixture(scope="module")
def cable() -> Iterator[tuple[str, str]]:
    """The names of two namespaces, joined by a virtual cable whose ends are called `cable`."""
    engine, beam = f"cgE{os.getpid()}", f"cgB{os.getpid()}"
    with ExitStack() as stack:
        if os.geteuid() != 0 or shutil.which("ip") is None:
            pytest.skip("network namespaces need root and iproute2")
        try:
            for namespace in (engine, beam):
                run("ip", "netns", "add", namespace)
                stack.callback(run, "ip", "netns", "delete", namespace)
            run("ip", "-n", engine, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", beam)
            for namespace, address in ((engine, ENGINE_ADDRESS), (beam, BEAM_ADDRESS)):
                run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", "cable")
                run("ip", "-n", namespace, "link", "set", "cable", "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces are not permitted: {error.stderr.decode().strip()}")
        yield engine, beam


class TwoHosts:
    """Source and engine on one side, the beam interface on the other; the linac follows its line without delay."""

    def __init__(self, folder: Path, engine: str, beam: str) -> None:
        self.record = folder / "delivery.csv"
        self._folder, self._namespaces = folder, {"engine": engine, "source": engine, "beam": beam}
        self._processes: list[subprocess.Popen[bytes]] = []
        for role in ROLES:
            new_key(folder / "keys", role)
        config = Config(
            endpoints=replace(
                local_endpoints(folder), gate=f"tcp://{ENGINE_ADDRESS}:5571", beam=f"tcp://{BEAM_ADDRESS}:5572"
            ),
            linac=LinacSettings(beam_on_delay_ms=0, beam_off_delay_ms=0, jitter_ms=0),
            security=SecuritySettings(keys=str(folder / "keys")),
        )
        (folder / "config.toml").write_text(to_toml(config))
        recording = write_still_recording(folder / "still.npz")
        write_targets(folder / "targets.json", load_targets(open_recording(recording), STILL_BOX, None))
        self._start("beam", "--delivery-record", str(self.record))
        self._start("engine", "--target", str(folder / "targets.json"), "--arm-by-itself")
        self._start("source", str(recording), "--loop")

    def wait_for_steady_beam(self, seconds: float) -> None:
        """Wait until the beam has been on for a while."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            changes = read_delivery_record(self.record) if self.record.exists() else []
            if changes and changes[-1].beam_on and time.monotonic_ns() - changes[-1].t_ns > STEADY_S * 1e9:
                return
            time.sleep(0.02)
        outputs = {path.name: path.read_text()[-400:] for path in self._folder.glob("*.out")}
        raise AssertionError(f"no steady beam within {seconds:g} s: {outputs}")

    def off_ns(self) -> int:
        """Wait for the beam to be off; return when it went off."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            last = read_delivery_record(self.record)[-1]
            if not last.beam_on:
                return last.t_ns
            time.sleep(0.01)
        raise AssertionError("the beam is still on after 10 s")

    def stop(self) -> None:
        """End everything."""
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, role: str, *arguments: str) -> None:
        command = ["ip", "netns", "exec", self._namespaces[role], sys.executable, "-m", "cinegate", role, *arguments]
        common = ["--session", "two-hosts", "--config", str(self._folder / "config.toml")]
        with (self._folder / f"{role}.out").open("wb") as output:
            self._processes.append(
                subprocess.Popen([*command, *common], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
            )


@pytest.fixture(scope="module")
def hosts(cable: tuple[str, str]) -> Iterator[TwoHosts]:
    with tempfile.TemporaryDirectory(prefix="cgn-") as folder:
        hosts = TwoHosts(Path(folder), *cable)
        try:
            yield hosts
        finally:
            hosts.stop()


@pytest.mark.parametrize(
    ("cut", "mend"),
    [
        (("ip", "link", "set", "cable", "down"), ("ip", "link", "set", "cable", "up")),
        (
            ("tc", "qdisc", "add", "dev", "cable", "root", "netem", "loss", "100%"),
            ("tc", "qdisc", "delete", "dev", "cable", "root"),
        ),
        (
            ("tc", "qdisc", "add", "dev", "cable", "root", "netem", "delay", "400ms"),
            ("tc", "qdisc", "delete", "dev", "cable", "root"),
        ),
    ],
    ids=["link down", "every packet lost", "every packet 400 ms late"],
)
def test_beam_is_off_within_a_lease_of_a_cut_and_returns_by_itself(
    hosts: TwoHosts, cable: tuple[str, str], cut: tuple[str, ...], mend: tuple[str, ...]
) -> None:
    hosts.wait_for_steady_beam(START_S)
    in_namespace = ("ip", "netns", "exec", cable[0])
    began_ns = time.monotonic_ns()
    try:
        run(*in_namespace, *cut)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"{cut[0]} is not permitted here: {error.stderr.decode().strip()}")
    cut_ns = time.monotonic_ns()
    try:
        off_ns = hosts.off_ns()
        time.sleep(0.5)
        held = not read_delivery_record(hosts.record)[-1].beam_on
    finally:
        run(*in_namespace, *mend)
    took_ms = (cut_ns - began_ns) / 1e6
    print(f"{' '.join(cut[:4])}: beam off {(off_ns - cut_ns) / 1e6:.1f} ms after the cut, which took {took_ms:.1f} ms")
    assert began_ns < off_ns <= cut_ns + (LEASE_MS + TOLERANCE_MS) * 1e6
    assert held
    hosts.wait_for_steady_beam(RETURN_S)
