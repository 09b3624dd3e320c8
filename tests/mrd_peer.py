"""The MRD source with a client of the `ismrmrd` package, and what a misbehaving one may send."""

from __future__ import annotations

import socket
import struct
from typing import Any

from drivers.sources.mrd import MrdSettings, MrdSource
from tests.live_session import FIRST_FRAME_TIMEOUT_S, LiveSession
from tests.mrd_client import image, packed, preamble, synthetic_cine


def opening(**settings: Any) -> LiveSession:
    return LiveSession(MrdSource(MrdSettings(port=0, first_frame_timeout_s=FIRST_FRAME_TIMEOUT_S, **settings)))


def started(session: LiveSession, client: socket.socket, cine: dict[str, Any], count: int = 5) -> None:
    client.sendall(preamble() + b"".join(packed(image(cine, index)) for index in range(count)))
    assert len(session.read(count)) == count


def broken(cine: dict[str, Any], index: int = 5, **fields: Any) -> bytes:
    """An image message whose raw header fields were changed after the package packed it."""
    raw = bytearray(packed(image(cine, index)))
    layout = {"version": ("<H", 0), "data_type": ("<H", 2), "columns": ("<H", 16), "channels": ("<H", 34)}
    layout |= {"slices": ("<H", 20), "fov": ("<f", 22), "read_x": ("<f", 48), "attributes": ("<Q", 198)}
    layout |= {"ticks": ("<I", 108)}
    for name, value in fields.items():
        form, offset = layout[name]
        struct.pack_into(form, raw, 2 + offset, value)
    return bytes(raw)


BAD = {
    "garbage": (lambda cine: b"\xff\xfe" + b"garbage" * 40, "message id is 65279"),
    "big-endian": (lambda cine: struct.pack(">H", 1022) + b"\0" * 400, "not little-endian"),
    "raw acquisition": (lambda cine: struct.pack("<H", 1008) + b"\0" * 400, "a raw acquisition"),
    "huge attributes": (lambda cine: broken(cine, attributes=2**40), "attribute string is 1099511627776 bytes"),
    "huge text": (lambda cine: struct.pack("<HI", 3, 2**31), "text of message 3 is 2147483648 bytes"),
    "complex pixels": (lambda cine: broken(cine, data_type=7), "data_type is 7"),
    "huge image": (lambda cine: broken(cine, columns=60_000), "matrix_size is 60000x"),
    "volume": (lambda cine: broken(cine, slices=9), "x9 with 1 channels"),
    "other version": (lambda cine: broken(cine, version=256), "version is 256"),
    "no stamp": (lambda cine: broken(cine, ticks=0), "acquisition_time_stamp is 0 ticks"),
    "impossible stamp": (lambda cine: broken(cine, ticks=40_000_000), "40000000 ticks; 0 to 34559999"),
    "no field of view": (lambda cine: broken(cine, fov=float("nan")), "pixel spacing (mm) is (2.0, nan)"),
    "slanted axes": (lambda cine: broken(cine, read_x=0.9), "two orthogonal unit vectors"),
    "other spacing": (lambda cine: packed(image(cine | {"spacing": (2.0, 1.6)}, 5)), "pixel_spacing_mm is 2, 1.6"),
    "other position": (lambda cine: packed(image(cine | {"position": (15.0, -24, 40)}, 5)), "image_position_mm is 15"),
    "other shape": (lambda cine: packed(image(synthetic_cine(6, (48, 32)), 5)), "shape is (48, 32)"),
    "frozen stamp": (lambda cine: packed(image(cine | {"t_s": cine["t_s"] - 0.02}, 5)), "that of the one before"),
    "backward stamp": (lambda cine: packed(image(cine | {"t_s": cine["t_s"] - 0.06}, 5)), "older than the newest"),
}
