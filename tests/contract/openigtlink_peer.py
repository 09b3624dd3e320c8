"""An OpenIGTLink peer made of raw bytes, and what a misbehaving one may send."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

from drivers.formats.crc64 import crc64
from drivers.formats.openigtlink import image_message
from drivers.sources.openigtlink import OpenigtlinkSettings, OpenigtlinkSource
from tests.live_session import FIRST_FRAME_TIMEOUT_S, LiveSession
from tests.mrd_client import synthetic_cine


def opening(**settings: Any) -> LiveSession:
    chosen = {"port": 0, "first_frame_timeout_s": FIRST_FRAME_TIMEOUT_S} | settings
    return LiveSession(OpenigtlinkSource(OpenigtlinkSettings(**chosen)))


def raw_image(index: int, cine: dict[str, Any] | None = None, device: str = "Cine", **changed: Any) -> bytearray:
    cine = cine or synthetic_cine(20)
    stamp_ns = changed.pop("stamp_ns", 1_700_000_000 * 10**9 + index * 20_000_000)
    pixels = cine["frames"][index]
    raw = bytearray(image_message(device, stamp_ns, pixels, cine["spacing"], cine["orientation"], cine["position"]))
    layout = {"version": (">H", 0), "body": (">Q", 42), "components": (">B", 60), "scalar": (">B", 61)}
    layout |= {"endian": (">B", 62), "columns": (">H", 64), "slices": (">H", 68), "along_x": (">f", 70)}
    for name, value in changed.items():
        form, offset = layout[name]
        struct.pack_into(form, raw, offset, value)
    if changed and "body" not in changed:
        struct.pack_into(">Q", raw, 50, crc64(bytes(raw[58:])))
    return raw


def flipped(raw: bytearray) -> bytearray:
    raw[500] ^= 1
    return raw


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "garbage": (lambda: b"\xff" * 200, "header version is 65535"),
    "little-endian": (lambda: struct.pack("<H", 1) + bytes(200), "header version is 256"),
    "huge body": (lambda: raw_image(5, body=2**50), "body of IMAGE Cine is 1125899906842624 bytes"),
    "changed on the way": (lambda: flipped(raw_image(5)), "checksum of IMAGE Cine"),
    "colour": (lambda: raw_image(5, components=3), "3 components"),
    "unknown type": (lambda: raw_image(5, scalar=99), "scalar type 99"),
    "unknown endianness": (lambda: raw_image(5, endian=7), "endian 7"),
    "volume": (lambda: raw_image(5, slices=4), "32x40x4"),
    "wrong size": (lambda: raw_image(5, columns=33), "is a part"),
    "not finite": (lambda: raw_image(5, along_x=float("nan")), "pixel spacing"),
    "no stamp": (lambda: raw_image(5, stamp_ns=0), "timestamp of IMAGE Cine is 0"),
    "frozen stamp": (lambda: raw_image(5, stamp_ns=1_700_000_000 * 10**9 + 4 * 20_000_000), "that of the one before"),
    "backward stamp": (lambda: raw_image(5, stamp_ns=1_700_000_000 * 10**9), "older than the newest"),
    "other spacing": (lambda: raw_image(5, synthetic_cine() | {"spacing": (2.0, 1.6)}), "pixel_spacing_mm is 2, 1.6"),
    "other shape": (lambda: raw_image(5, synthetic_cine(20, (48, 32))), "shape is (48, 32)"),
    "two planes with one name": (
        lambda: raw_image(5, synthetic_cine() | {"position": (50.0, -24.0, 40.0)}),
        "image_position_mm is 50",
    ),
    "second device": (lambda: raw_image(5, device="Other"), "a second series"),
}


def started(session: LiveSession, client: socket.socket, count: int = 5) -> None:
    for index in range(count):
        client.sendall(raw_image(index))
    assert len(session.read(count)) == count
