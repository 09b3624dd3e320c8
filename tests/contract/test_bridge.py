"""Our own wire as a source: the documented bridges in three languages, run here, and bridges that misbehave."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from drivers.errors import Unavailable
from drivers.sources.zeromq import ZeromqSettings, ZeromqSource
from gating.clocks.clock import MonotonicClock
from gating.messages import SourceKind, StampMeaning
from tests.contract.bridge_peer import BAD, Bridge, read
from tests.factories import frame, stream
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
NEEDED = ("zmq.h", "msgpack.hpp", "xxhash.h")


def compiled(folder: Path) -> list[Path | str]:
    """The example in C++, compiled as the documentation says."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    missing = [name for name in NEEDED if not Path("/usr/include", name).exists()]
    if missing:
        pytest.skip(f"{', '.join(missing)} not found: apt install libzmq3-dev libmsgpack-cxx-dev libxxhash-dev")
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-DMSGPACK_NO_BOOST", ROOT / "docs" / "bridge.cpp"]
    subprocess.run([*command, "-lzmq", "-o", folder / "bridge"], check=True)
    return [folder / "bridge"]


def in_javascript(folder: Path) -> list[Path | str]:
    """The example in JavaScript, beside the packages that it imports."""
    packages = ROOT / ".venv" / "node_modules"
    if shutil.which("node") is None or not (packages / "zeromq").exists():
        pytest.skip("Node.js or its package zeromq is not installed")
    shutil.copy(ROOT / "docs" / "bridge.mjs", folder)
    (folder / "node_modules").symlink_to(packages)
    return ["node", folder / "bridge.mjs"]


def in_python(folder: Path) -> list[Path | str]:
    return [sys.executable, ROOT / "docs" / "bridge.py"]


@pytest.mark.parametrize("made", [in_python, compiled, in_javascript])
def test_a_documented_bridge_runs_and_is_a_source(made: Callable[[Path], list[Path | str]], tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/bridge"
    with subprocess.Popen([*made(tmp_path), endpoint, "4000", "40"]) as process:
        source = ZeromqSource(ZeromqSettings(endpoint=endpoint, first_frame_timeout_s=PATIENCE_S))
        try:
            frames = read(source, 30)
            info = source.open()
        finally:
            source.close()
            process.kill()
    assert (info.source_kind, info.shape, info.nominal_interval_ns) == (SourceKind.PHANTOM, (96, 80), 25_000_000)
    assert len(frames) == 30
    assert source.take_notices() == []
    for stamp, pixels in frames:
        step = int(pixels[0, 0])
        expected = (np.arange(96 * 80) * 37 + step) % 1000
        np.testing.assert_array_equal(pixels.ravel(), expected)
        assert stamp.acquired_on_host_ns == stamp.acquired_ns <= stamp.arrived_ns
        assert stamp.arrived_ns - stamp.acquired_ns < PATIENCE_S * 1e9


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Bridge]:
    made = Bridge(f"ipc://{tmp_path}/peer")
    made.start()
    yield made
    made.close()


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_reported_and_the_stream_goes_on(peer: Bridge, name: str) -> None:
    send, said = BAD[name]
    peer.frame(0)
    assert len(read(peer.source, 1)) == 1
    send(peer)
    for sequence in range(4, 8):
        peer.frame(sequence)
    assert len(read(peer.source, 4)) >= 4
    assert any(said in notice for notice in peer.source.take_notices())


def test_stamps_of_another_hosts_clock_are_left_to_be_mapped(peer: Bridge) -> None:
    peer.frame(0)
    (stamp, _), *_ = read(peer.source, 1)
    assert stamp.acquired_on_host_ns is None


def test_stamps_on_this_hosts_clock_keep_the_bridges_uncertainty(peer: Bridge) -> None:
    peer.frame(0, publish_clock=MonotonicClock().name, acquired_uncertainty_ns=7, moment_uncertainty_ns=3)
    (stamp, _), *_ = read(peer.source, 1)
    assert stamp.acquired_on_host_ns == frame(0).header.acquired_on_publish_clock_ns
    assert (stamp.uncertainty_ns, stamp.moment_uncertainty_ns) == (7, 3)


def test_arrival_times_stand_in_for_stamps_on_request(tmp_path: Path) -> None:
    made = Bridge(f"ipc://{tmp_path}/arrival", arrival_time=True)
    made.start()
    made.frame(0)
    (stamp, _), *_ = read(made.source, 1)
    info = made.source.open()
    made.close()
    assert (stamp.meaning, info.acquired_meaning) == (StampMeaning.ARRIVAL, StampMeaning.ARRIVAL)
    assert stamp.acquired_on_host_ns == stamp.arrived_ns


@pytest.mark.parametrize("changed", [{"peer": "console 2"}, {"series": "scan 1"}], ids=["peer", "series"])
def test_a_bridge_that_declares_another_origin_passes_it_on(peer: Bridge, changed: dict[str, str]) -> None:
    peer.frame(0)
    ((before, _),) = read(peer.source, 1)
    peer.send(stream(source_kind=SourceKind.LIVE, **changed))
    peer.frame(1)
    ((after, _),) = read(peer.source, 1)
    assert (before.peer, before.series) == ("bridge 1, test", "")
    assert (after.peer, after.series) == (f"bridge 1, {changed.get('peer', 'test')}", changed.get("series", ""))


def test_a_missing_bridge_is_reported_after_the_timeout(tmp_path: Path) -> None:
    source = ZeromqSource(ZeromqSettings(endpoint=f"ipc://{tmp_path}/nobody", first_frame_timeout_s=0.1))
    with pytest.raises(Unavailable, match=r"no stream message came from ipc://.* within 0.1 s"):
        source.open()
