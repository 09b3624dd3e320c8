"""The check that nothing recorded is lost finds a missing message, a changed byte and a torn end."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.faults.logs import Logs, MessageKey
from gating.session.log import SessionReader
from gating.session.log_writer import SessionWriter
from gating.wire.codec import encode, encode_frame
from tests.factories import frame
from tests.faults.beam_bench import gate_command


def write(path: Path, commands: range, *, close: bool = False) -> None:
    writer = SessionWriter(path, "s1", "manual")
    writer.open()
    for number in commands:
        writer.write(encode(gate_command(number)), number)
        writer.flush()
    writer.write([bytes(part) for part in encode_frame(frame())], 99)
    writer.flush()
    writer.close() if close else writer.abandon()


def commands(*numbers: int) -> set[MessageKey]:
    return {MessageKey.of(gate_command(number)) for number in numbers}


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    write(tmp_path / "1.mcap", range(5))
    logs = Logs(tmp_path)
    logs.mark()
    return logs


def test_what_was_recorded_is_found(logs: Logs) -> None:
    assert logs.violations(commands(0, 1, 2, 3, 4) | {MessageKey.of(frame().header)}) == []


def test_a_message_missing_from_every_log_is_reported(logs: Logs) -> None:
    (said,) = logs.violations(commands(4, 5))
    assert said == f"1 of 2 recorded messages are in no log, one is {MessageKey('e1', 5)}"


def test_a_frame_with_other_pixels_is_another_frame(logs: Logs) -> None:
    other = replace(frame().header, content_hash="0" * 16)
    assert len(logs.violations({MessageKey.of(other)})) == 1


def test_a_changed_byte_is_found_in_a_log_that_goes_on(logs: Logs, tmp_path: Path) -> None:
    data = bytearray((tmp_path / "1.mcap").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "1.mcap").write_bytes(data)
    assert logs.violations(set()) == ["what stood in 1.mcap before the fault has changed"]


def test_a_log_that_lost_its_end_is_found(logs: Logs, tmp_path: Path) -> None:
    data = (tmp_path / "1.mcap").read_bytes()
    (tmp_path / "1.mcap").write_bytes(data[: len(data) // 2])
    assert logs.violations(set()) != []


def test_a_torn_log_is_recovered_whole_once_the_next_is_being_written(logs: Logs, tmp_path: Path) -> None:
    with (tmp_path / "1.mcap").open("ab") as torn:
        torn.write(b"\x05\xff\x00")
    write(tmp_path / "2.mcap", range(5, 8))
    assert logs.violations(commands(0, 4, 5, 7)) == []
    recovered = SessionReader(tmp_path / "1.mcap")
    assert sum(1 for _ in recovered) == 6
    assert recovered.closed_properly


def test_a_broken_chain_is_found(tmp_path: Path) -> None:
    write(tmp_path / "1.mcap", range(5))
    data = (tmp_path / "1.mcap").read_bytes()
    (tmp_path / "1.mcap").write_bytes(data.replace(b"in_window", b"ex_window", 1))
    (said,) = Logs(tmp_path).violations(set())
    assert said.startswith("1.mcap: seal ")
