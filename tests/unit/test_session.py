"""Session logs: what was written reads back byte for byte, whatever happened to the writer."""

from __future__ import annotations

import random
import signal
import stat
import subprocess
import sys
import time
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader

from gating.messages import CineFrame, FrameHeader, GateCommand, StreamEnd
from gating.session.log import SessionError, read_raw, read_session
from gating.session.log_writer import SessionWriter, session_log_name
from gating.session.recovery import recover
from gating.wire.codec import Part, decode
from tests.unit.session_bench import CLOCK, make_session

ROOT = Path(__file__).parents[2]


def write_log(path: Path, frames: int = 6, *, close: bool = True) -> list[tuple[list[bytes], int]]:
    writer = SessionWriter(path, "s1", CLOCK)
    writer.open()
    written = []
    for parts, at_ns in make_session(frames):
        writer.write(parts, at_ns)
        written.append(([bytes(part) for part in parts], at_ns))
    if close:
        writer.close()
    else:
        writer.flush()
        writer.abandon()
    return written


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "s1.mcap"


def test_messages_come_back_byte_for_byte_in_their_order(log: Path) -> None:
    written = write_log(log)
    assert [(record.parts, record.log_time_ns) for record in read_raw(log)] == written


def test_messages_decode_as_the_wire_does(log: Path) -> None:
    written = write_log(log)
    records = list(read_session(log))
    for record, (parts, at_ns) in zip(records, written, strict=True):
        expected = decode(parts)
        assert record.topic.encode() == parts[0]
        assert record.log_time_ns == at_ns
        if isinstance(expected, CineFrame):
            assert isinstance(record.message, CineFrame)
            assert record.message.header == expected.header
            assert (record.message.pixels == expected.pixels).all()
        else:
            assert record.message == expected


def test_messages_of_some_kinds_are_read_alone_and_in_order(log: Path) -> None:
    write_log(log)
    kinds = (FrameHeader, GateCommand)
    wanted = [record.log_time_ns for record in read_session(log) if record.topic in ("frame", "gate")]
    some = list(read_session(log, kinds))
    assert [record.log_time_ns for record in some] == wanted
    assert {type(record.message) for record in some} == {CineFrame, GateCommand}


def test_the_log_says_its_clock_wall_time_and_versions(log: Path) -> None:
    before = time.time_ns() - time.monotonic_ns()
    write_log(log)
    reader = read_raw(log)
    list(reader)
    assert abs(int(reader.metadata["wall_minus_monotonic_ns"]) - before) < 1e9
    assert {"session_id", "clock", "cinegate", "schema", "pyzmq"} <= set(reader.metadata)


def test_a_closed_log_opens_in_any_seeking_mcap_reader(log: Path) -> None:
    written = write_log(log)
    with log.open("rb") as stream:
        reader = make_reader(stream)
        summary = reader.get_summary()
        assert summary is not None
        assert summary.statistics is not None
        assert summary.statistics.message_count == len(written)
        topics = {channel.topic: channel.message_encoding for channel in summary.channels.values()}
        assert topics["frame"] == topics["gate"] == "cinegate-wire"
        assert sum(1 for _ in reader.iter_messages()) == len(written)


def test_a_long_session_does_not_grow_memory(log: Path) -> None:
    writer = SessionWriter(log, "s1", CLOCK)
    writer.open()
    [*_, (parts, at_ns)] = make_session(2)

    def write_sealed(messages: int) -> int:
        for _ in range(messages):
            writer.write(parts, at_ns)
            writer.flush()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    before = write_sealed(50)
    grown = write_sealed(500) - before
    tracemalloc.stop()
    writer.close()
    assert grown < 10_000


def test_only_the_owner_can_read_the_file_and_a_new_folder(tmp_path: Path) -> None:
    log = tmp_path / "sessions" / "s1.mcap"
    write_log(log)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700


def test_an_existing_log_is_never_overwritten(log: Path) -> None:
    write_log(log)
    with pytest.raises(FileExistsError):
        SessionWriter(log, "s1", CLOCK).open()


def test_the_name_carries_the_session_and_its_start_only() -> None:
    name = session_log_name("ward/7 «x»", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert name == "ward_7__x__20260102T030405Z.mcap"


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b"gate"],
        [b"gate", b"a", b"b"],
        [b"frame", b"h", b""],
        [b"what", b"h"],
        [b"frame", b"a", b"b", b"c"],
        [b"", b""],
    ],
)
def test_a_malformed_message_is_kept_and_skipped_by_the_decoder(log: Path, parts: list[bytes]) -> None:
    writer = SessionWriter(log, "s1", CLOCK)
    writer.open()
    writer.write(parts, 7)
    writer.close()
    assert [(record.topic, record.parts) for record in read_raw(log)] == [("refused", parts)]
    reader = read_session(log)
    assert list(reader) == []
    assert reader.undecodable == 1
    assert reader.last_refusal


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([b"gate", b"frame", b"beam"])), max_size=4))
def test_any_message_is_read_back(tmp_path_factory: pytest.TempPathFactory, parts: list[Part]) -> None:
    log = tmp_path_factory.mktemp("log") / "s1.mcap"
    writer = SessionWriter(log, "s1", CLOCK)
    writer.open()
    writer.write(parts, 1)
    writer.close()
    assert [record.parts for record in read_raw(log)] == [parts]


def test_a_log_cut_at_any_byte_reads_up_to_the_last_whole_record(log: Path, tmp_path: Path) -> None:
    """Every truncation of the last records, summary and footer: an oracle counts the records that are whole."""
    written = write_log(log, frames=1)
    whole = log.read_bytes()
    ends = record_ends(whole)
    assert len(ends) == len(written)
    torn = tmp_path / "torn.mcap"
    for size in range(ends[-5], len(whole)):
        torn.write_bytes(whole[:size])
        reader = read_raw(torn)
        messages = [(record.parts, record.log_time_ns) for record in reader]
        assert messages == written[: sum(end <= size for end in ends)], size
        assert not reader.closed_properly, size
        assert "ends without a footer" in reader.cut


def record_ends(content: bytes) -> list[int]:
    """Return the end offset of every message record, by walking opcode and length alone."""
    offset, ends = 8, []
    while offset < len(content) - 8:
        opcode, length = content[offset], int.from_bytes(content[offset + 1 : offset + 9], "little")
        offset += 9 + length
        if opcode == 5:
            ends.append(offset)
    return ends


def test_recovering_keeps_every_whole_record_and_closes_the_log(log: Path, tmp_path: Path) -> None:
    written = write_log(log, frames=2)
    whole, torn = log.read_bytes(), tmp_path / "torn.mcap"
    ends = record_ends(whole)
    for size in [*range(0, 9), *range(ends[-4], len(whole), 37), len(whole) - 1]:
        torn.write_bytes(whole[:size])
        report = recover(torn)
        expected = written[: sum(end <= size for end in ends)]
        assert (report.was_torn, report.messages) == (True, len(expected)), size
        reader = read_raw(torn)
        assert [(record.parts, record.log_time_ns) for record in reader] == expected
        assert reader.closed_properly
        assert reader.metadata.get("session_id") == ("s1" if size > 300 else None)
        with torn.open("rb") as stream:
            summary = make_reader(stream).get_summary()
            assert summary is not None
            assert summary.statistics is not None
            assert summary.statistics.message_count == len(expected)
        assert [entry.name for entry in tmp_path.iterdir() if "recovering" in entry.name] == []


def test_recovering_a_closed_log_changes_nothing(log: Path) -> None:
    write_log(log)
    before = log.read_bytes()
    assert not recover(log).was_torn
    assert log.read_bytes() == before


def test_a_tail_of_zeros_or_noise_is_cut(log: Path) -> None:
    written = write_log(log, close=False)
    good = log.read_bytes()
    for tail in (bytes(5000), random.Random(3).randbytes(5000), b"\x05" + b"\xff" * 60):
        log.write_bytes(good + tail)
        assert [record.parts for record in read_raw(log)][: len(written)] == [parts for parts, _ in written]


def test_a_file_that_is_no_log_is_refused_with_a_sentence(log: Path) -> None:
    log.write_bytes(b"PK\x03\x04 something else entirely")
    with pytest.raises(SessionError, match="no session log"):
        list(read_session(log))
    with pytest.raises(SessionError, match="no session log"):
        recover(log)


WRITER = """
import itertools, sys, time
from pathlib import Path
from gating.session.log_writer import SessionWriter
from tests.unit.session_bench import CLOCK, make_session

writer = SessionWriter(Path(sys.argv[1]), "s1", CLOCK)
writer.open()
for number, (parts, at_ns) in enumerate(make_session(100_000)):
    writer.write(parts, time.monotonic_ns())
    print(number, time.monotonic_ns(), flush=True)
    time.sleep(0.002)
"""


@pytest.mark.parametrize("seed", range(4))
def test_a_killed_writer_loses_less_than_a_second(log: Path, seed: int) -> None:
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(log)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(random.Random(seed).randrange(100, 500))]
    child.send_signal(signal.SIGKILL)
    lines += child.communicate()[0].splitlines()
    told = [line.split() for line in lines if line.count(" ") == 1]
    kept = sum(1 for _ in read_raw(log))
    last_told_ns = int(told[-1][1])
    lost_ms = [(last_told_ns - int(at_ns)) / 1e6 for number, at_ns in told if int(number) >= kept]
    assert max(lost_ms, default=0.0) < 1000
    assert recover(log).messages == kept
    gates = [record for record in read_session(log) if isinstance(record.message, GateCommand)]
    assert [record.message.command_sequence for record in gates] == list(range(len(gates)))
    assert not any(isinstance(record.message, StreamEnd) for record in read_session(log))
