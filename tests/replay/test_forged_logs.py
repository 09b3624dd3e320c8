"""Attacks on the log of a real session: each is found, and said in one sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from cinegate.verbs.run import run_session
from gating.session.chain_check import check_chain
from gating.session.completeness import check_completeness
from gating.session.log import RawRecord, read_raw
from gating.session.log_writer import SessionWriter
from gating.session.signing import Signer, load_public, load_signer, new_signing_key
from gating.settings.config import Config
from gating.wire.codec import decode, encode
from replay_data import session_path

pytestmark = pytest.mark.slow

Forgery = Callable[[list[RawRecord]], list[RawRecord]]


def make_log(folder: Path, session: str) -> Path:
    made = run_session(session_path(session), config=Config(), box="33,54,12,11", speed="4", log=folder, show=False)
    assert made is not None
    return made


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Path:
    return make_log(tmp_path_factory.mktemp("sessions"), "drift_cough")


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    new_signing_key(folder)
    return folder


def rewrite(log: Path, new: Path, forge: Forgery, signer: Signer | None = None) -> Path:
    """Write a log anew with a new chain, as the recorder's own writer would."""
    reader = read_raw(log)
    records = forge(list(reader))
    writer = SessionWriter(new, reader.metadata["session_id"], reader.metadata["clock"], signer=signer)
    writer.open()
    for _, at_ns, parts in records:
        writer.write(parts, at_ns)
    writer.close()
    return new


def unchanged(records: list[RawRecord]) -> list[RawRecord]:
    return records


def first_half(records: list[RawRecord]) -> list[RawRecord]:
    return records[: len(records) // 2]


def without_beam(records: list[RawRecord]) -> list[RawRecord]:
    return [record for record in records if record.topic != "beam"]


def without_last_commands(records: list[RawRecord], count: int = 200) -> list[RawRecord]:
    last = [number for number, record in enumerate(records) if record.topic == "gate"][-count:]
    return [record for number, record in enumerate(records) if number not in set(last)]


def without_some_commands(records: list[RawRecord]) -> list[RawRecord]:
    some = [number for number, record in enumerate(records) if record.topic == "gate"][50:60]
    return [record for number, record in enumerate(records) if number not in set(some)]


def without_some_states(records: list[RawRecord]) -> list[RawRecord]:
    some = [number for number, record in enumerate(records) if record.topic == "beam"][20:40]
    return [record for number, record in enumerate(records) if number not in set(some)]


def beam_on_made_hold(records: list[RawRecord]) -> list[RawRecord]:
    """Every permission of the engine becomes a hold, though the beam interface followed it."""
    forged = []
    for record in records:
        message = decode(record.parts) if record.topic == "gate" else None
        if message is not None and message.state == "on":
            parts = encode(replace(message, state="hold", reason="out_of_window", lease_ms=0.0))
            forged.append(RawRecord(record.topic, record.log_time_ns, list(parts)))
        else:
            forged.append(record)
    return forged


def test_a_session_as_it_was_recorded_is_whole(log):
    chain, record = check_chain(log), check_completeness(log)
    assert (chain.broken, chain.no_end, record.gap, record.no_end) == ("", "", "", "")
    assert record.statuses > 10


@pytest.mark.parametrize(
    ("forge", "said"),
    [
        (without_beam, "no state of a beam interface is in the log"),
        (without_last_commands, "the log ends at"),
        (without_some_commands, "10 commands are missing before command"),
        (without_some_states, "20 states of .* are missing"),
        (beam_on_made_hold, "permitted beam under command"),
    ],
)
def test_what_is_missing_is_found_despite_a_new_chain(log, tmp_path, forge, said):
    forged = rewrite(log, tmp_path / "forged.mcap", forge)
    assert check_chain(forged).broken == ""
    assert re.search(said, check_completeness(forged).gap)


def test_a_log_without_its_second_half_has_no_end(log, tmp_path):
    forged = rewrite(log, tmp_path / "forged.mcap", first_half)
    assert check_completeness(forged).no_end.startswith("no end: cut at command")


def test_a_log_whose_bytes_were_cut_has_no_end(log, tmp_path):
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
    chain = check_chain(cut)
    assert chain.broken == ""
    assert chain.no_end.startswith("no end: cut after")


def test_the_tail_of_another_session_is_found(log, tmp_path):
    other = list(read_raw(make_log(tmp_path, "drift_cough")))
    forged = rewrite(log, tmp_path / "forged.mcap", lambda own: own[: len(own) // 2] + other[len(other) // 2 :])
    record = check_completeness(forged)
    assert any(said in record.gap for said in ("already armed, after another engine", "belongs to session", "missing"))


def test_a_signed_log_verifies_with_the_public_key(log, keys, tmp_path):
    signed = rewrite(log, tmp_path / "signed.mcap", unchanged, load_signer(keys))
    report = check_chain(signed, load_public(keys))
    assert (report.broken, report.signer) == ("", load_public(keys))


def test_an_unsigned_log_is_refused_where_a_key_is_given(log, keys):
    assert check_chain(log, load_public(keys)).broken == "not signed, though a key was given"


def test_a_log_signed_with_another_key_is_found(log, keys, tmp_path):
    new_signing_key(tmp_path)
    forged = rewrite(log, tmp_path / "forged.mcap", unchanged, load_signer(tmp_path))
    assert check_chain(forged).broken == ""
    assert check_chain(forged, load_public(keys)).broken.startswith("signed with another key")


def test_a_renamed_operator_breaks_the_signature(log, keys, tmp_path):
    """The forger remakes the chain, and names the recorder's key, but cannot sign with it."""

    def renamed(records: list[RawRecord]) -> list[RawRecord]:
        names = [[part.replace(b"armed", b"ARMED") for part in record.parts] for record in records]
        return [RawRecord(one.topic, one.log_time_ns, parts) for one, parts in zip(records, names, strict=True)]

    new_signing_key(tmp_path)
    forger = load_signer(tmp_path)
    assert forger is not None
    forger.public = load_public(keys)
    forged = rewrite(log, tmp_path / "forged.mcap", renamed, forger)
    assert "does not bear the signature" in check_chain(forged, load_public(keys)).broken


def test_a_signing_key_is_private_and_never_overwritten(tmp_path):
    path = new_signing_key(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ValueError, match="exists"):
        new_signing_key(tmp_path)


def test_a_signing_key_that_others_may_read_is_refused(tmp_path):
    new_signing_key(tmp_path).chmod(0o644)
    with pytest.raises(ValueError, match="may be read by others"):
        load_signer(tmp_path)
