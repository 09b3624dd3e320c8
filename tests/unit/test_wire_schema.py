"""The published schema and tables of the wire say what the code does."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import msgpack
import pytest

from bench.wire_schema import documented, schema_text, wire_schema
from gating.messages import (
    TOPICS,
    CineFrame,
    ControlReply,
    ControlRequest,
    EngineState,
    EngineStatus,
    Event,
    GateState,
    Heartbeat,
    StreamEnd,
)
from gating.wire.codec import WireError, decode, encode, encode_frame
from tests.factories import beam_status, frame, stream

DOCS = Path(__file__).parents[2] / "docs"
COMMAND = "run: python -m bench.wire_schema docs"
MESSAGES = [
    frame(0),
    stream(),
    beam_status(),
    StreamEnd(session_id="s", source="a", frames_published=3, why="done"),
    Event(session_id="s", role="r", severity="info", code="c", text="t", at_ns=1),
    Heartbeat(session_id="s", role="beam", process_id=7, state="on", sent_ns=1, counters={"refused": 2}),
    ControlRequest(session_id="s", action="arm", operator="Ada"),
    ControlReply(
        session_id="s",
        accepted=True,
        engine_state=EngineState.READY,
        text="t",
        status=EngineStatus(frame_sequence=-1, gate=GateState.HOLD, reason="starting"),
    ),
]
NAMES = [type(message).__name__ for message in MESSAGES]


def parts_of(message):
    return encode_frame(message) if isinstance(message, CineFrame) else encode(message)


@pytest.fixture(scope="module")
def schema_validator():
    """Imported here: it takes two seconds, which every row of tests would spend on finding its tests."""
    return importlib.import_module("jsonschema").Draft202012Validator


@pytest.fixture(scope="module")
def accepts(schema_validator):
    """Whether the published schema accepts a header of a topic."""
    schema = json.loads((DOCS / "messages.schema.json").read_text("utf-8"))
    checks = {topic: schema_validator(kind | {"$defs": schema["$defs"]}) for topic, kind in schema["topics"].items()}
    return lambda topic, header: checks[topic.decode()].is_valid(header)


def test_the_committed_schema_is_that_of_the_code():
    assert (DOCS / "messages.schema.json").read_text("utf-8") == schema_text(), COMMAND


def test_the_tables_of_keys_are_those_of_the_code():
    page = (DOCS / "messages.md").read_text("utf-8")
    assert page == documented(page), COMMAND


def test_the_schema_is_valid_and_has_every_topic(schema_validator):
    schema = wire_schema()
    schema_validator.check_schema(schema)
    assert set(schema["topics"]) == {topic.decode() for topic in TOPICS.values()}


@pytest.mark.parametrize("message", MESSAGES, ids=NAMES)
def test_the_schema_needs_just_the_keys_that_the_wire_needs(message, accepts):
    topic, packed, *pixels = parts_of(message)
    header = msgpack.unpackb(packed)
    assert accepts(topic, header)
    for key in header:
        without = {name: value for name, value in header.items() if name != key}
        assert accepts(topic, without) == taken(topic, without, pixels), key


WRONG = {"nil": None, "negative": -5, "long": "x" * 500, "array": [], "map": {}, "large": 1e30, "bool": True}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("message", MESSAGES[:3], ids=NAMES[:3])
def test_what_the_schema_refuses_the_wire_refuses(message, wrong, accepts):
    topic, packed, *pixels = parts_of(message)
    header = msgpack.unpackb(packed)
    for key in header:
        changed = header | {key: wrong}
        assert accepts(topic, changed) or not taken(topic, changed, pixels), key


def test_a_key_of_a_later_version_is_no_fault(accepts):
    topic, packed = parts_of(stream())
    header = msgpack.unpackb(packed) | {"of_tomorrow": 1}
    assert accepts(topic, header)
    assert taken(topic, header, [])


def taken(topic, header, pixels):
    try:
        decode([topic, msgpack.packb(header), *pixels])
    except WireError:
        return False
    return True
