"""The wire: what goes in comes out, and what cannot be trusted is refused with a sentence."""

from __future__ import annotations

import contextlib

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gating.messages import TOPICS, ControlRequest, Event
from gating.wire.codec import MAX_HEADER_BYTES, WireError, decode, encode, encode_frame
from tests.factories import anatomy, beam_status, frame, stream


def parts_of(message):
    return [bytes(part) for part in encode_frame(message)]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_frame_comes_back_with_the_same_header_and_pixels(dtype):
    sent = frame(3, anatomy(dtype=dtype))
    got = decode(parts_of(sent))
    assert got.header == sent.header
    np.testing.assert_array_equal(got.pixels, sent.pixels)
    assert not got.pixels.flags.writeable


def test_pixels_are_views_of_the_frame_not_copies():
    sent = frame(0)
    assert np.shares_memory(np.frombuffer(encode_frame(sent)[2], np.uint16), sent.pixels)
    received = parts_of(sent)
    assert np.shares_memory(decode(received).pixels, np.frombuffer(received[2], np.uint8))


@pytest.mark.parametrize(
    "message", [stream(), beam_status(), Event(session_id="s", role="r", severity="info", code="c", text="t", at_ns=1)]
)
def test_a_message_comes_back_equal(message):
    assert decode(encode(message)) == message


def test_every_message_has_its_own_topic():
    assert len(set(TOPICS.values())) == len(TOPICS)


def changed_header(**changes):
    topic, header, pixels = parts_of(frame(0))
    return [topic, msgpack.packb(msgpack.unpackb(header) | changes), pixels]


def without_schema(message):
    topic, header, *pixels = parts_of(message) if hasattr(message, "pixels") else encode(message)
    return [topic, msgpack.packb({k: v for k, v in msgpack.unpackb(header).items() if k != "schema"}), *pixels]


@pytest.mark.parametrize("message", [frame(0), stream(), beam_status()], ids=["frame", "stream", "beam"])
def test_a_message_that_names_no_schema_is_refused(message):
    with pytest.raises(WireError, match="schema is 'None'"):
        decode(without_schema(message))


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ([], "0 parts"),
        ([b"frame"], "1 parts"),
        (parts_of(frame(0))[:2], "3 \\(topic, header, pixels\\) are needed"),
        ([*parts_of(frame(0)), b"x"], "4 parts"),
        ([*encode(stream()), b"x"], "2 \\(topic, header\\) are needed"),
        ([b"nonsense", b"\x80"], "topic b'nonsense' is unknown"),
        ([b"gate", b"\xff\xff"], "not valid msgpack"),
        ([b"gate", b"\x91" * 2000 + b"\x00"], "not valid msgpack"),
        ([b"gate", b"\x93\x01\x02\x03"], "a map is needed"),
        ([b"gate", b"x" * (MAX_HEADER_BYTES + 1)], "the limit is"),
        ([b"gate", msgpack.packb({"schema": msgpack.ExtType(1, b"abc")})], "not valid msgpack"),
        (changed_header(schema="cinegate/2.0"), "schema is 'cinegate/2.0'"),
        (changed_header(schema=None), "schema is 'None'"),
        (changed_header(dtype="float64"), "dtype"),
        (changed_header(shape=[96, 4097]), "shape"),
        (changed_header(shape=[96, 95]), "needs 18240"),
        (changed_header(pixel_spacing_mm=[0.0, 1.0]), "pixel_spacing_mm"),
        (changed_header(pixel_spacing_mm=[float("nan"), 1.0]), "pixel_spacing_mm"),
        (changed_header(image_position_mm=[float("nan"), 0.0, 0.0]), "image_position_mm"),
        (changed_header(image_orientation=[float("inf"), 0.0, 0.0, 0.0, 0.0, 1.0]), "image_orientation"),
        (changed_header(acquired_ns=-1), "acquired_ns"),
        (changed_header(acquired_ns=1.5), "acquired_ns"),
        (changed_header(content_hash="0" * 16), "content_hash"),
        ([*parts_of(frame(0))[:2], parts_of(frame(0))[2][:-1]], "needs 18432"),
    ],
)
def test_a_message_that_cannot_be_trusted_is_refused_with_its_reason(parts, sentence):
    with pytest.raises(WireError, match=sentence):
        decode(parts)


def test_any_flipped_bit_in_the_pixels_is_detected():
    topic, header, pixels = parts_of(frame(0))
    damaged = bytearray(pixels)
    damaged[1234] ^= 4
    with pytest.raises(WireError, match="content_hash"):
        decode([topic, header, bytes(damaged)])


@given(st.lists(st.binary(max_size=200) | st.sampled_from(list(TOPICS.values())), max_size=5))
def test_garbage_raises_only_wire_errors(parts):
    with contextlib.suppress(WireError):
        decode(parts)


@given(st.data())
def test_a_damaged_header_raises_only_wire_errors(data):
    header = bytearray(encode(ControlRequest(session_id="s", action="arm", operator="o"))[1])
    for _ in range(data.draw(st.integers(1, 4))):
        header[data.draw(st.integers(0, len(header) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireError):
        decode([b"request", bytes(header)])


def test_pixels_that_contradict_their_header_are_not_sent():
    good = frame(0)
    with pytest.raises(WireError, match="but the header says"):
        encode_frame(type(good)(good.header, anatomy((64, 64))))


def test_pixels_of_a_type_that_the_wire_does_not_carry_are_not_sent():
    good = frame(0)
    wide = type(good)(replace(good.header, dtype="float64"), good.pixels.astype(np.float64))
    with pytest.raises(WireError, match="pixels are float64"):
        encode_frame(wide)
