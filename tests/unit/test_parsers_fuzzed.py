"""Whatever arrives, a parser returns a message or raises its documented error with one sentence."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.fuzz import TARGETS, Target, fuzz
from drivers.errors import DriverError
from gating.messages import TOPICS
from gating.session.chain_check import check_chain
from gating.session.log import SessionError, read_session
from gating.session.log_writer import SessionWriter
from gating.session.recovery import recover
from gating.settings.config import ConfigError, parse_config
from gating.wire.codec import WireError, decode, encode, encode_frame
from tests.factories import beam_status, frame, stream

MANY = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
topics = st.sampled_from(sorted(TOPICS.values())) | st.binary(max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats()
plain = st.recursive(
    scalars | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=20,
)
VALID = [encode(stream()), encode(beam_status()), [bytes(part) for part in encode_frame(frame())]]


@MANY
@given(topics, st.lists(st.binary(max_size=300), max_size=4))
def test_any_bytes(topic, rest):
    with contextlib.suppress(WireError):
        decode([topic, *rest])


@MANY
@given(topics, plain, st.binary(max_size=100))
def test_any_msgpack_under_any_topic(topic, header, pixels):
    for parts in ([topic, msgpack.packb(header)], [topic, msgpack.packb(header), pixels]):
        with contextlib.suppress(WireError):
            decode(parts)


@MANY
@given(st.sampled_from(VALID), st.text(max_size=12), plain, st.data())
def test_a_valid_header_with_any_field_replaced(parts, name, value, data):
    header = msgpack.unpackb(parts[1])
    header[data.draw(st.sampled_from([*header, name]))] = value
    with contextlib.suppress(WireError):
        decode([parts[0], msgpack.packb(header), *parts[2:]])


@MANY
@given(st.sampled_from(VALID), st.data())
def test_a_valid_message_with_bits_flipped_or_bytes_cut(parts, data):
    spoilt = [bytearray(part) for part in parts]
    for _ in range(data.draw(st.integers(1, 8))):
        part = data.draw(st.sampled_from(spoilt))
        part[data.draw(st.integers(0, len(part) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    spoilt[1] = spoilt[1][: data.draw(st.integers(0, len(spoilt[1])))]
    with contextlib.suppress(WireError):
        decode(spoilt)


@MANY
@given(st.text(max_size=200))
def test_any_configuration_text(text):
    with contextlib.suppress(ConfigError):
        parse_config(text)


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("log") / "log.mcap"
    writer = SessionWriter(path, "s1", "manual")
    writer.open()
    for number in range(3):
        writer.write(encode(beam_status(status_sequence=number)), number)
        writer.flush()
    writer.write([b"garbage", b"x"], 9)
    writer.close()
    return path.read_bytes()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_session_log_with_anything_done_to_it(log, tmp_path_factory, data):
    spoilt = bytearray(log)
    for _ in range(data.draw(st.integers(0, 6))):
        spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    path: Path = tmp_path_factory.mktemp("spoilt") / "log.mcap"
    path.write_bytes(spoilt[: data.draw(st.integers(0, len(spoilt)))])
    with contextlib.suppress(SessionError, DriverError):
        for _ in read_session(path):
            pass
    with contextlib.suppress(SessionError, DriverError):
        check_chain(path)
    with contextlib.suppress(SessionError, DriverError):
        recover(path)


@pytest.mark.parametrize("parser", TARGETS)
def test_only_documented_errors_escape_a_parser(parser):
    found = fuzz(parser, seconds=1.5)
    assert found.failure == ""
    assert found.inputs > 0
    assert found.grown_mb < 500


def test_what_escapes_a_parser_is_found(monkeypatch):
    def careless(parts):
        if len(parts[0]) % 2:
            raise KeyError("odd")

    monkeypatch.setitem(TARGETS, "careless", Target(lambda: [[b"even"]], careless, (ValueError,)))
    assert fuzz("careless", seconds=5).failure.startswith("KeyError")
