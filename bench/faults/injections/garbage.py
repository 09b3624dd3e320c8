"""Faults of the bytes: truncated, missing, extra, oversize, flipped, of another schema, or no message at all."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable

import msgpack

from bench.faults.injections.registry import Steps, Unmet, faulty_frames, injects, standing
from bench.faults.link import flip_bit
from bench.faults.scene import Scene
from bench.faults.scripted_source import Parts
from gating.messages import CineFrame
from gating.wire.codec import encode_frame

Spoil = Callable[[bytes, bytes, bytes], Parts]
MEMORY_MB = 400.0
"""Allows for a few frames of 64 MB in a queue."""


def _spoil(fault_id: str, spoil: Spoil) -> None:
    def transform(frame: CineFrame) -> Iterable[Parts]:
        topic, header, pixels = (bytes(part) for part in encode_frame(frame))
        return [spoil(topic, header, pixels)]

    standing(fault_id, lambda _: transform)


def _repacked(header: bytes, **fields: object) -> bytes:
    packed: bytes = msgpack.packb({**msgpack.unpackb(header), **fields})
    return packed


def _nested(depth: int) -> bytes:
    return b"\x81\xa6schema" + b"\x91" * depth + b"\xc0"


_spoil("header_truncated", lambda topic, header, pixels: [topic, header[: len(header) // 2], pixels])
_spoil("pixels_truncated", lambda topic, header, pixels: [topic, header, pixels[:-1]])
_spoil("pixels_missing", lambda topic, header, _: [topic, header])
_spoil("header_empty", lambda topic, _, pixels: [topic, b"", pixels])
_spoil("part_added", lambda topic, header, pixels: [topic, header, pixels, b"more"])
_spoil("ten_thousand_parts", lambda topic, header, _: [topic, header] + [b"x"] * 10_000)
_spoil("only_a_topic", lambda topic, *_: [topic])
_spoil("topic_unknown", lambda _, header, pixels: [b"frames", header, pixels])
_spoil("topic_of_another_kind", lambda _, header, __: [b"end", header])
_spoil("garbage", lambda *_: [random.randbytes(900), random.randbytes(900)])
_spoil("schema_of_another_major", lambda t, header, pixels: [t, _repacked(header, schema="cinegate/9.0"), pixels])
_spoil("schema_missing", lambda t, header, pixels: [t, _repacked(header, schema=None), pixels])
_spoil("header_is_a_list", lambda topic, _, pixels: [topic, msgpack.packb([1, 2, 3]), pixels])
_spoil("header_nested_deep", lambda topic, _, pixels: [topic, _nested(50_000), pixels])
_spoil("header_declares_4_gigabytes", lambda topic, _, pixels: [topic, b"\x81\xc6\xff\xff\xff\xff", pixels])
_spoil("header_of_a_megabyte", lambda t, header, pixels: [t, _repacked(header, source="x" * 2**20), pixels])
_spoil("extension_type", lambda t, header, pixels: [t, _repacked(header, x=msgpack.ExtType(42, b"1")), pixels])
_spoil("spacing_is_nan", lambda t, h, pixels: [t, _repacked(h, pixel_spacing_mm=[float("nan"), 2.4]), pixels])
_spoil("text_is_not_unicode", lambda t, h, pixels: [t, h.replace(b"sagittal", b"\xff\xfe\xfd\xfc" * 2), pixels])


@injects("pixel_bit_flipped")
def _(scene: Scene) -> Steps:
    chance = random.Random(scene.seed)
    faulty_frames(scene, lambda frame: [[*(p := encode_frame(frame))[:2], flip_bit(bytes(p[2]), chance)]])
    yield
    scene.calm()


@injects("header_bits_flipped")
def _(scene: Scene) -> Steps:
    """Sixteen bits are flipped in every header, so that one that matters is among them."""
    chance = random.Random(scene.seed)

    def flip(frame: CineFrame) -> Iterable[Parts]:
        topic, header, pixels = encode_frame(frame)
        spoilt = bytes(header)
        for _ in range(16):
            spoilt = flip_bit(spoilt, chance)
        return [[topic, spoilt, pixels]]

    faulty_frames(scene, flip)
    yield
    scene.calm()


@injects("oversize_part")
def _(scene: Scene) -> Steps:
    big = bytes(4096 * 4096 * 4 + 1)
    faulty_frames(scene, lambda frame: [[*encode_frame(frame)[:2], big]])
    scene.mark_visible(scene.source.slot_ns - scene.source.interval_ns)
    yield
    scene.calm()
    if scene.processes.memory_mb("engine") > MEMORY_MB + 300:
        raise Unmet(f"the engine took {scene.processes.memory_mb('engine'):.0f} MB")


@injects("flood_of_garbage")
def _(scene: Scene) -> Steps:
    """Two thousand messages of a kilobyte come with every frame."""
    before = scene.processes.memory_mb("engine")
    began_ns: list[int] = []

    def flood(frame: CineFrame) -> Iterable[Parts]:
        yield encode_frame(frame)
        began_ns.append(time.monotonic_ns())
        for _ in range(2000):
            yield [b"frame", bytes(1000), b"x"]

    faulty_frames(scene, flood)
    scene.mark_visible(began_ns[0])
    yield
    scene.calm()
    grown = scene.processes.memory_mb("engine") - before
    if grown > MEMORY_MB:
        raise Unmet(f"the engine's memory grew by {grown:.0f} MB")


@injects("garbage_to_control")
def _(scene: Scene) -> Steps:
    scene.send_control([b"request", b"\xc1"])
    scene.mark_visible()
    yield


@injects("garbage_to_beam_interface")
def _(scene: Scene) -> Steps:
    scene.gate.send([b"gate", b"\xc1"])
    scene.mark_visible()
    yield


@injects("garbage_from_beam_interface")
def _(scene: Scene) -> Steps:
    scene.beam.send([b"beam", b"\xc1"])
    scene.mark_visible()
    yield
