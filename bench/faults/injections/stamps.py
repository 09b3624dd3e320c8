"""Faults of time: stamps that are zero, missing, ahead, behind, frozen, stepping, drifting or wrapping."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgpack

from bench.faults.injections.registry import Steps, Unmet, faulty_frames, injects, standing, with_header
from bench.faults.scene import Scene
from bench.faults.scripted_source import Parts, changed
from gating.messages import CineFrame, EngineState, GateState
from gating.wire.codec import encode_frame


def _packed(fault_id: str, **fields: object) -> None:
    """Register an injection of header fields that our own encoder would refuse; `...` removes a field."""

    def spoil(frame: CineFrame) -> Iterable[Parts]:
        topic, header, pixels = encode_frame(frame)
        plain = msgpack.unpackb(header)
        plain.update(fields)
        kept = {name: value for name, value in plain.items() if value is not ...}
        return [[topic, msgpack.packb(kept), pixels]]

    standing(fault_id, lambda _: spoil)


with_header("stamp_zero", acquired_on_publish_clock_ns=0)
with_header("published_stamp_zero", published_ns=0)
_packed("stamp_missing", acquired_on_publish_clock_ns=...)
_packed("stamp_negative", acquired_on_publish_clock_ns=-5)
_packed("stamp_is_nan", acquired_on_publish_clock_ns=float("nan"))
_packed("stamp_too_large", acquired_on_publish_clock_ns=2**63)
with_header("stamp_in_the_future", acquired_on_publish_clock_ns=lambda h: h.acquired_on_publish_clock_ns + 10**9)
with_header("raw_stamp_backward", acquired_ns=lambda h: h.acquired_ns - 10**9)
with_header("published_stamp_backward", published_ns=lambda h: h.published_ns - 10**9)
with_header("clock_renamed", acquired_clock="another clock")
with_header("publish_clock_renamed", publish_clock="another host")
with_header("stamp_uncertain", acquired_uncertainty_ns=200_000_000)
with_header("midnight", acquired_ns=lambda h: h.acquired_ns % 10**9)
with_header("clock_steps_forward", acquired_ns=lambda h: h.acquired_ns + 300_000_000)


@injects("raw_stamp_frozen")
def _(scene: Scene) -> Steps:
    stuck_ns = scene.source.frame().header.acquired_ns
    faulty_frames(scene, lambda frame: [encode_frame(changed(frame, acquired_ns=stuck_ns))])
    yield
    scene.calm()


@injects("ticks_wrap")
def _(scene: Scene) -> Steps:
    """The raw stamp is a counter that has just wrapped to zero."""
    first_ns = scene.source.frame().header.acquired_ns

    def wrap(frame: CineFrame) -> Iterable[Parts]:
        return [encode_frame(changed(frame, acquired_ns=frame.header.acquired_ns - first_ns + 1))]

    faulty_frames(scene, wrap)
    yield
    scene.calm()


def _drift(scene: Scene, per_frame_ns: int) -> Steps:
    """The mapped stamp drifts from the raw one with each frame; visible once it is off by 40 ms."""
    drifted_ns = 0

    def drift(frame: CineFrame) -> Iterable[Parts]:
        nonlocal drifted_ns
        drifted_ns += per_frame_ns
        mapped_ns = frame.header.acquired_on_publish_clock_ns + drifted_ns - latency_ns
        return [encode_frame(changed(frame, acquired_on_publish_clock_ns=mapped_ns))]

    latency_ns = 0
    scene.source.transform = drift
    while abs(drifted_ns) < 40_000_000:
        scene.next_frame()
    scene.mark_visible(scene.source.sent_ns)
    yield
    scene.calm()


@injects("mapping_drifts_into_the_past")
def _(scene: Scene) -> Steps:
    yield from _drift(scene, -4_000_000)


@injects("mapping_drifts_ahead")
def _(scene: Scene) -> Steps:
    yield from _drift(scene, 4_000_000)


STAMPS: Final = ("acquired_ns", "acquired_on_publish_clock_ns", "published_ns")
QUEUE_GROWS_BY: Final = 0.003
"""Seconds a second. An estimate that keeps the shortest delays of its window, not of the session, has the beam on at
images that are 126 to 225 ms older than it says, at 25 and at 8 frames/s. Of 5 ms/s the checks of stamps would tell."""
TOO_YOUNG_NS: Final = 50_000_000
"""An image is taken for younger than it is by at most so much while the beam is on."""


@injects("queue_grows_unseen")
def _(scene: Scene) -> Steps:
    """Frames wait ever longer in a queue, until the engine latches or they wait longer than they may be old.

    To an engine that does not share the source's clock, a frame that is sent late looks like one that is sent now with
    honest stamps of long ago, because nobody tells it how far apart the clocks are.
    """
    source, began_ns, acquired_ns = scene.source, scene.source.slot_ns, dict[int, int]()
    longest_ns = round(scene.stale_ms * 1e6) + TOO_YOUNG_NS

    def waited_ns() -> int:
        return round((source.slot_ns - began_ns) * QUEUE_GROWS_BY)

    def queued(frame: CineFrame) -> Iterable[Parts]:
        acquired_ns[frame.header.sequence] = source.slot_ns - waited_ns()
        return [encode_frame(changed(frame, **{name: getattr(frame.header, name) - waited_ns() for name in STAMPS}))]

    def latched() -> bool:
        return scene.messages.commands[-1][1].engine_state is EngineState.LATCHED

    source.transform = queued
    while waited_ns() < longest_ns and not latched():
        scene.next_frame()
    scene.mark_visible(source.sent_ns)
    yield
    believed = [command for _, command in scene.messages.commands if command.state is GateState.ON]
    too_young_ns = [one.stamps.acquired_ns - acquired_ns.get(one.frame_sequence, 2**62) for one in believed]
    if max(too_young_ns, default=0) > TOO_YOUNG_NS:
        raise Unmet(f"with beam on, an image was {max(too_young_ns) / 1e6:.0f} ms older than its stamp said")
    scene.calm()
