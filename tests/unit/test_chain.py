"""The hash chain of a session log: whatever was changed, removed or cut is found."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from mcap.writer import Writer

from gating.session.chain_check import check_chain
from gating.session.hash_chain import SEAL
from gating.session.log import read_raw
from gating.session.log_writer import SessionWriter
from gating.session.recovery import recover
from gating.wire.codec import encode, encode_frame
from tests.factories import beam_status, frame


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.mcap"
    writer = SessionWriter(path, "s1", "manual")
    writer.open()
    for number in range(12):
        writer.write(encode_frame(frame(number)), number)
        writer.write(encode(beam_status(status_sequence=number)), number)
        if number % 4 == 3:
            writer.flush()
    writer.close()
    return path


def test_a_log_as_it_was_written_has_an_unbroken_chain(log: Path) -> None:
    report = check_chain(log)
    assert (report.broken, report.sealed_messages, report.unsealed_messages) == ("", 24, 0)
    assert report.seals >= 3
    assert len(report.digest) == 64


@pytest.mark.parametrize("part", [0.3, 0.5, 0.7])
def test_one_changed_bit_breaks_it(log: Path, part: float) -> None:
    """The bit lies in a frame's pixels, so that the file stays readable."""
    data = bytearray(log.read_bytes())
    starts = [at for at in range(len(data)) if data.startswith(b"content_hash", at)]
    data[starts[int(part * len(starts))] + 2000] ^= 1
    log.write_bytes(data)
    assert len(list(read_raw(log))) == 24
    assert "does not match" in check_chain(log).broken


def test_a_removed_record_breaks_it(log: Path) -> None:
    data = log.read_bytes()
    at = _first_message(data)
    log.write_bytes(data[:at] + data[at + 9 + _length(data, at) :])
    assert "does not match" in check_chain(log).broken


def test_a_torn_log_is_verified_up_to_its_last_seal_also_after_recovery(log: Path) -> None:
    data = log.read_bytes()
    seals = [at for at in range(len(data)) if data.startswith(b"cinegate.seal", at)]
    log.write_bytes(data[: seals[1] + 150])
    torn = check_chain(log)
    assert torn.broken == ""
    assert 0 < torn.sealed_messages < 24
    recover(log)
    again = check_chain(log)
    assert (again.broken, again.sealed_messages) == ("", torn.sealed_messages)
    assert again.digest == torn.digest


def test_a_log_without_a_chain_is_not_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add = Writer.add_metadata

    def all_but_seals(writer: Writer, name: str, data: dict[str, str]) -> None:
        if name != SEAL:
            add(writer, name, data)

    monkeypatch.setattr(Writer, "add_metadata", all_but_seals)
    writer = SessionWriter(tmp_path / "old.mcap", "s1", "manual")
    writer.open()
    writer.write(encode(beam_status()), 1)
    writer.close()
    assert check_chain(tmp_path / "old.mcap").broken == "the log holds no seal"


def _length(data: bytes, at: int) -> int:
    length: int = struct.unpack_from("<Q", data, at + 1)[0]
    return length


def _first_message(data: bytes) -> int:
    """Return where the first message record begins (MCAP opcode 5), record by record from the front."""
    at = 8
    while data[at] != 5:
        at += 9 + _length(data, at)
    return at
