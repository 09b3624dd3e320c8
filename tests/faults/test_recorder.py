"""The recorder as a real process: everything is in the log, and a disk that fails is reported and never fatal."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq
from msgspec.structs import replace

from gating.clocks.clock import MonotonicClock
from gating.messages import CineFrame, GateCommand, Heartbeat, StreamEnd, TargetPosition
from gating.session.log import read_raw, read_session
from gating.settings.config import Config, to_toml
from gating.wire.codec import encode, encode_frame
from gating.wire.sockets import Socket, bind
from tests.faults.beam_bench import SESSION, ReconnectingSubscriber, bench_config, gate_command, process
from tests.position_bench import PositionBench
from tests.unit.session_bench import make_frame

RECORDER = """
import resource, sys
from pathlib import Path
import msgspec
from gating.settings.config import Config
from gating.service.recorder import run_recorder

limit = int(sys.argv[3])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
end_after_ms = float(sys.argv[4]) if len(sys.argv) > 4 else None
run_recorder(msgspec.json.decode(sys.argv[1], type=Config), "s1", Path(sys.argv[2]), end_after_ms=end_after_ms)
"""
FRAME_SHAPE = (128, 128)
CLOCK = MonotonicClock().name


class Wire:
    """A fake source and engine, and a subscriber to the recorder."""

    def __init__(self, context: zmq.Context[Any], config: Config) -> None:
        self.context, self.config = context, config
        self.frames: Socket = bind(context, zmq.XPUB, config.endpoints.frames)
        self.gate: Socket = bind(context, zmq.PUB, config.endpoints.gate)
        self.ear = ReconnectingSubscriber(context, config.endpoints.recorder)

    def wait_for_subscriber(self) -> None:
        assert self.frames.poll(20_000), "the recorder did not subscribe"
        self.frames.recv()
        time.sleep(0.1)

    def send_frames(self, first: int, count: int, pause_s: float = 0.0) -> None:
        for sequence in range(first, first + count):
            self.frames.send_multipart(
                encode_frame(make_frame(sequence, time.monotonic_ns(), shape=FRAME_SHAPE, clock=MonotonicClock().name))
            )
            self.gate.send_multipart(encode(gate_command(sequence, frame=sequence)))
            time.sleep(pause_s)

    def send_end(self, frames: int) -> None:
        end = StreamEnd(session_id=SESSION, source="bench", frames_published=frames, why="the recording ended")
        self.frames.send_multipart(encode(end))

    def heartbeat(self, *, frames: int = 0, state: str = "recording", seconds: float = 10.0) -> Heartbeat:
        return self.ear.wait_for(
            Heartbeat, lambda beat: beat.state == state and beat.counters["frames"] >= frames, seconds
        )

    def close(self) -> None:
        self.frames.close()
        self.gate.close()
        self.ear.close()


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    context: zmq.Context[Any] = zmq.Context()
    wire = Wire(context, bench_config(tmp_path))
    yield wire
    wire.close()
    context.destroy(linger=0)


@contextmanager
def recorder(
    wire: Wire, path: Path, *, limit: int = 0, end_after_ms: str | None = None
) -> Iterator[subprocess.Popen[str]]:
    arguments = [msgspec.json.encode(wire.config).decode(), str(path), str(limit)]
    with process(RECORDER, *arguments, *([end_after_ms] if end_after_ms else [])) as child:
        wire.wait_for_subscriber()
        yield child


def stop(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGTERM)
    assert child.wait(10) == 0


def test_every_message_is_in_the_log_after_sigterm(wire: Wire, tmp_path: Path) -> None:
    log = tmp_path / "log.mcap"
    with recorder(wire, log) as child:
        wire.send_frames(0, 30, 0.002)
        wire.heartbeat(frames=30)
        stop(child)
    records = list(read_session(log))
    frames = [record.message for record in records if isinstance(record.message, CineFrame)]
    commands = [record.message for record in records if isinstance(record.message, GateCommand)]
    assert [frame.header.sequence for frame in frames] == list(range(30))
    assert [command.command_sequence for command in commands] == list(range(30))
    reader = read_raw(log)
    assert list(reader)
    assert reader.closed_properly
    assert reader.metadata["session_id"] == SESSION


def test_messages_still_on_their_way_at_sigterm_are_drained(wire: Wire, tmp_path: Path) -> None:
    log = tmp_path / "log.mcap"
    with recorder(wire, log) as child:
        wire.heartbeat()
        wire.send_frames(0, 100)
        stop(child)
    assert sum(isinstance(record.message, CineFrame) for record in read_session(log)) == 100


def test_lost_frames_are_counted_by_gaps_in_their_sequence(wire: Wire, tmp_path: Path) -> None:
    with recorder(wire, tmp_path / "log.mcap") as child:
        wire.send_frames(0, 3)
        wire.send_frames(5, 2)
        assert wire.heartbeat(frames=5).counters["frames_lost"] == 2
        stop(child)


def test_positions_are_recorded_and_count_for_nothing_else(wire: Wire, tmp_path: Path) -> None:
    told: Socket = bind(wire.context, zmq.XPUB, wire.config.endpoints.positions)
    bench = PositionBench()
    bench.frames(1)
    position = bench.position()
    with recorder(wire, tmp_path / "log.mcap") as child:
        assert told.poll(20_000), "nobody listens to the positions"
        for number in (0, 1, 5):
            told.send_multipart(encode(replace(position, position_sequence=number)))
        wire.ear.wait_for(Heartbeat, lambda beat: beat.counters["messages"] == 3)
        told.send_multipart(encode_frame(make_frame(900, time.monotonic_ns(), shape=FRAME_SHAPE, clock=CLOCK)))
        told.send_multipart([b"nonsense", b""])
        wire.send_frames(0, 3)
        wire.send_frames(5, 1)
        counters = wire.heartbeat(frames=4).counters
        told.close()
        stop(child)
    assert (counters["frames"], counters["frames_lost"], counters["behind"]) == (4, 2, 0)
    found = [record.message for record in read_session(tmp_path / "log.mcap")]
    assert [one.position_sequence for one in found if isinstance(one, TargetPosition)] == [0, 1, 5]
    assert sum(isinstance(one, CineFrame) for one in found) == 4


def test_it_reports_its_health_every_100_ms(wire: Wire, tmp_path: Path) -> None:
    with recorder(wire, tmp_path / "log.mcap") as child:
        stamps = [wire.heartbeat().sent_ns for _ in range(8)]
        gaps_ms = sorted((later - earlier) / 1e6 for earlier, later in itertools.pairwise(stamps))
        assert 90 <= gaps_ms[len(gaps_ms) // 2] <= 150
        stop(child)


def test_a_folder_gets_a_private_log_named_after_session_and_start(wire: Wire, tmp_path: Path) -> None:
    folder = tmp_path / "sessions"
    with recorder(wire, folder) as child:
        wire.heartbeat()
        stop(child)
    (log,) = folder.iterdir()
    assert log.name.startswith("s1_20")
    assert (log.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)


def test_it_can_end_with_the_stream(wire: Wire, tmp_path: Path) -> None:
    log = tmp_path / "log.mcap"
    with recorder(wire, log, end_after_ms="200") as child:
        wire.send_frames(0, 3)
        wire.send_end(3)
        assert child.wait(10) == 0
    assert any(isinstance(record.message, StreamEnd) for record in read_session(log))


def assert_fails_with_a_sentence_and_lives_on(wire: Wire, child: subprocess.Popen[str], said: str) -> None:
    failed = wire.heartbeat(state="failed", seconds=20)
    assert said in failed.detail
    wire.send_frames(1000, 5)
    assert wire.heartbeat(frames=failed.counters["frames"] + 5, state="failed").detail == failed.detail
    stop(child)


def test_a_log_at_its_size_limit_is_reported_and_stays_readable(wire: Wire, tmp_path: Path) -> None:
    log = tmp_path / "log.mcap"
    with recorder(wire, log, limit=500_000) as child:
        wire.send_frames(0, 60, 0.005)
        assert_fails_with_a_sentence_and_lives_on(wire, child, "File too large")
    kept = [record.message for record in read_session(log) if isinstance(record.message, CineFrame)]
    assert [frame.header.sequence for frame in kept] == list(range(len(kept)))
    assert 10 <= len(kept) < 60


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a tmpfs of our own needs permission to mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_reported_and_the_log_stays_readable(wire: Wire, tiny_disk: Path) -> None:
    log = tiny_disk / "log.mcap"
    with recorder(wire, log) as child:
        wire.send_frames(0, 60, 0.005)
        assert_fails_with_a_sentence_and_lives_on(wire, child, "No space left")
    kept = [record.message for record in read_session(log) if isinstance(record.message, CineFrame)]
    assert [frame.header.sequence for frame in kept] == list(range(len(kept)))
    assert 10 <= len(kept) < 60


def assert_refuses_at_the_start(wire: Wire, path: Path, said: str) -> None:
    """The running engine hears of it first; then the process leaves with a sentence."""
    arguments = [msgspec.json.encode(wire.config).decode(), str(path), "0"]
    with process(RECORDER, *arguments) as child:
        assert said in wire.heartbeat(state="failed", seconds=20).detail
        assert child.wait(10) != 0


@pytest.mark.parametrize(("name", "said"), [("taken.mcap", "File exists"), ("file/below/log.mcap", "Not a directory")])
def test_a_log_that_cannot_be_created_is_refused(wire: Wire, tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "taken.mcap").write_text("precious")
    (tmp_path / "file").write_text("")
    assert_refuses_at_the_start(wire, tmp_path / name, said)
    assert (tmp_path / "taken.mcap").read_text() == "precious"


def test_a_read_only_folder_is_refused(wire: Wire, tiny_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    assert_refuses_at_the_start(wire, tiny_disk / "log.mcap", "Read-only file system")


def test_the_verb_refuses_an_existing_log_with_a_sentence(tmp_path: Path) -> None:
    taken, config = tmp_path / "taken.mcap", tmp_path / "cinegate.toml"
    taken.write_text("precious")
    config.write_text(to_toml(bench_config(tmp_path)))
    words = [sys.executable, "-m", "cinegate", "record", str(taken), "--config", str(config)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "cinegate: session log taken.mcap cannot be written: File exists"


def test_a_log_that_was_removed_is_reported(wire: Wire, tmp_path: Path) -> None:
    log = tmp_path / "log.mcap"
    with recorder(wire, log) as child:
        wire.heartbeat()
        log.unlink()
        assert_fails_with_a_sentence_and_lives_on(wire, child, "removed or renamed")


def test_it_reports_that_it_fell_behind_after_a_freeze(wire: Wire, tmp_path: Path) -> None:
    with recorder(wire, tmp_path / "log.mcap") as child:
        wire.heartbeat()
        child.send_signal(signal.SIGSTOP)
        wire.send_frames(0, 10, 0.04)
        child.send_signal(signal.SIGCONT)
        beat = wire.ear.wait_for(Heartbeat, lambda beat: beat.counters["behind"] == 1)
        assert beat.counters["frames_lost"] == 0
        wire.ear.wait_for(Heartbeat, lambda beat: beat.counters["behind"] == 0)
        stop(child)


def test_recorder_imports_neither_numba_nor_opencv() -> None:
    script = "import sys, gating.service.recorder; print({'numba', 'cv2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "set()"
