"""What pages and server say to each other over the WebSocket: JSON in, bounded; one binary message out.

A message to the page is the length of its header (u32, little-endian), the header as JSON, padded with spaces to a
multiple of 8 bytes, and the pixels of at most one picture, row by row, little-endian.
"""

from __future__ import annotations

import struct
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

MAX_INBOUND_BYTES: Final = 2048
MAX_MESSAGE_TO_PATIENT: Final = 120

Sentence = Annotated[str, Meta(max_length=300)]
Action = Literal["confirm", "arm", "hold", "acknowledge", "mark", "end"]
PatientView = Literal["target", "bar"]
_SpanMs = Annotated[float, Meta(ge=0, le=600_000)]


class Drawn(Struct, frozen=True, forbid_unknown_fields=True, tag="drawn"):
    """The page has painted message `number`; the next may be sent."""

    number: Annotated[int, Meta(ge=0, le=2**53)]
    spent_ms: tuple[_SpanMs, _SpanMs, _SpanMs] | None = None
    """From its arrival until the page began to draw, for drawing, and until it had painted, by the page's own clock."""


class Ask(Struct, frozen=True, forbid_unknown_fields=True, tag="ask"):
    """The operator asks for something; `hold` and `end` are the engine's `disarm` and `stop`."""

    action: Action
    name: Annotated[str, Meta(max_length=64)] = ""
    """Who acknowledges; empty: the operator of the console."""
    why: Sentence = ""


class GuidePatient(Struct, frozen=True, forbid_unknown_fields=True, tag="guide_patient"):
    """How the patient is guided, and a message to them; empty takes it away."""

    view: PatientView
    numbers: bool
    message: Annotated[str, Meta(max_length=MAX_MESSAGE_TO_PATIENT)] = ""


class Attach(Struct, frozen=True, forbid_unknown_fields=True, tag="attach"):
    """Show a session that runs on this host."""

    session: Annotated[str, Meta(min_length=1, max_length=64)]


Inbound = Drawn | Ask | GuidePatient | Attach
_decode: Final = msgspec.json.Decoder(Inbound).decode
_encode: Final = msgspec.json.Encoder().encode


class BadMessage(ValueError):
    """A message of a page that is refused. The text is one sentence."""


def parse(text: str | bytes) -> Inbound:
    """Return what a page said. Raises `BadMessage`."""
    size = len(text.encode() if isinstance(text, str) else text)
    if size > MAX_INBOUND_BYTES:
        raise BadMessage(f"the message has {size} bytes; the limit is {MAX_INBOUND_BYTES}")
    try:
        message: Inbound = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadMessage(f"the message is refused: {error}") from None
    for name in ("name", "why", "message", "session"):
        if not getattr(message, name, "").isprintable():
            raise BadMessage(f"{name} contains a character that cannot be printed")
    return message


def pack(header: dict[str, Any], pixels: bytes | memoryview = b"") -> bytes:
    """Return one message to a page. Numbers that are not finite become null."""
    text = _encode(header)
    text += b" " * (-(4 + len(text)) % 8)
    return b"".join((struct.pack("<I", len(text)), text, pixels))
