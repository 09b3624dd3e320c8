"""Faults of the stream: frames lost, late, doubled, too fast or too slow, or from another source."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from msgspec.structs import replace

from bench.faults.injections.registry import Steps, faulty_frames, injects, momentary
from bench.faults.scene import Scene
from bench.faults.scripted_source import Parts, changed, repainted
from gating.messages import CineFrame, StreamEnd
from gating.wire.codec import encode, encode_frame


def _drop(scene: Scene, count: int) -> None:
    scene.source.transform = lambda _: []
    acquired_ns = scene.next_frame(count) - (count - 1) * scene.source.interval_ns
    scene.mark_visible(acquired_ns - scene.source.interval_ns)
    scene.calm()


@injects("frame_dropped")
def _(scene: Scene) -> Steps:
    _drop(scene, 1)
    scene.next_frame()
    yield


@injects("frames_dropped_in_a_row")
def _(scene: Scene) -> Steps:
    _drop(scene, 4)
    yield


@injects("every_third_frame_dropped")
def _(scene: Scene) -> Steps:
    source = scene.source
    source.transform = lambda frame: [] if frame.header.sequence % 3 == 0 else [encode_frame(frame)]
    while scene.next_frame() and (source.sequence - 1) % 3:
        pass
    scene.mark_visible(source.slot_ns - source.interval_ns)
    yield
    scene.calm()


momentary("frame_doubled", lambda _: lambda frame: [encode_frame(frame), encode_frame(frame)])


@injects("frames_swapped")
def _(scene: Scene) -> Steps:
    kept: list[CineFrame] = []

    def swap(frame: CineFrame) -> Iterable[Parts]:
        kept.append(frame)
        return [] if len(kept) == 1 else [encode_frame(kept[1]), encode_frame(kept[0])]

    scene.source.transform = swap
    scene.next_frame()
    scene.mark_visible(scene.source.slot_ns - scene.source.interval_ns)
    scene.next_frame()
    scene.calm()
    yield


def _late(scene: Scene, delay_ms: float) -> Steps:
    """Send every frame with a delay after its acquisition."""
    waiting: list[tuple[float, CineFrame]] = []

    def hold_back(frame: CineFrame) -> Iterable[Parts]:
        waiting.append((frame.header.acquired_on_publish_clock_ns + delay_ms * 1e6, frame))
        due = [one for at_ns, one in waiting if at_ns <= frame.header.published_ns]
        waiting[:] = waiting[len(due) :]
        return [encode_frame(changed(one, published_ns=frame.header.published_ns)) for one in due]

    scene.source.transform = hold_back
    scene.next_frame()
    scene.mark_visible(scene.source.slot_ns - scene.source.interval_ns)
    yield
    scene.calm()


@injects("frames_late")
def _(scene: Scene) -> Steps:
    yield from _late(scene, scene.stale_ms + 30)


@injects("frame_latency_creeps_up")
def _(scene: Scene) -> Steps:
    """Each frame is older than the one before by a fifth of an interval; visible once one is older than allowed."""
    source, behind_ns = scene.source, 0

    def age(frame: CineFrame) -> Iterable[Parts]:
        nonlocal behind_ns
        behind_ns += source.interval_ns // 5
        header = frame.header
        acquired_ns = header.acquired_on_publish_clock_ns - behind_ns
        older = changed(frame, acquired_on_publish_clock_ns=acquired_ns, acquired_ns=header.acquired_ns - behind_ns)
        return [encode_frame(older)]

    source.transform = age
    while behind_ns <= scene.stale_ms * 1e6:
        scene.next_frame()
    scene.mark_visible(source.sent_ns)
    yield
    scene.calm()


@injects("burst_after_a_stall")
def _(scene: Scene) -> Steps:
    kept: list[CineFrame] = []

    def stall(frame: CineFrame) -> Iterable[Parts]:
        kept.append(frame)
        return []

    scene.source.transform = stall
    scene.next_frame()
    scene.mark_visible(scene.source.slot_ns - scene.source.interval_ns)
    scene.next_frame(4)
    scene.calm()
    for frame in kept:
        scene.source.send(encode_frame(frame))
    yield


@injects("backlog")
def _(scene: Scene) -> Steps:
    yield from _late(scene, 1000)


@injects("rate_too_low")
def _(scene: Scene) -> Steps:
    source, first = scene.source, scene.source.slot + 1
    sent = 0

    def every_third(frame: CineFrame) -> Iterable[Parts]:
        nonlocal sent
        if (source.slot - first) % 3 != 2:
            return []
        sent += 1
        return [encode_frame(changed(frame, sequence=base + sent))]

    base = source.sequence - 1
    source.transform = every_third
    scene.next_frame()
    scene.mark_visible(source.slot_ns - source.interval_ns)
    yield
    source.sequence = base + sent + 1
    scene.calm()


@injects("rate_too_high")
def _(scene: Scene) -> Steps:
    """Ten frames with new numbers and stamps within one interval."""
    source = scene.source

    def ten(frame: CineFrame) -> Iterable[Parts]:
        header, step_ns = frame.header, source.interval_ns // 10
        for number in range(10):
            earlier_ns = (9 - number) * step_ns
            source.sequence = header.sequence + number
            yield encode_frame(
                repainted(
                    changed(
                        frame,
                        sequence=source.sequence,
                        acquired_ns=header.acquired_ns - earlier_ns,
                        acquired_on_publish_clock_ns=header.acquired_on_publish_clock_ns - earlier_ns,
                    ),
                    frame.pixels + np.asarray(number % 3, frame.pixels.dtype),
                )
            )

    faulty_frames(scene, ten)
    yield
    scene.calm()


@injects("rate_irregular")
def _(scene: Scene) -> Steps:
    """Frames arrive in time, but every other one was acquired almost together with the one before it."""
    source = scene.source

    def uneven(frame: CineFrame) -> Iterable[Parts]:
        back_ns = round(0.9 * source.interval_ns) if frame.header.sequence % 2 else 0
        header = frame.header
        mapped_ns = header.acquired_on_publish_clock_ns - back_ns
        return [
            encode_frame(
                changed(frame, acquired_ns=header.acquired_ns - back_ns, acquired_on_publish_clock_ns=mapped_ns)
            )
        ]

    if source.sequence % 2 == 0:
        scene.next_frame()
    faulty_frames(scene, uneven)
    yield
    scene.calm()


@injects("silence")
def _(scene: Scene) -> Steps:
    scene.source.paused = True
    scene.next_frame()
    scene.mark_visible(scene.source.slot_ns - scene.source.interval_ns)
    yield
    scene.source.paused = False


@injects("silence_with_heartbeats")
def _(scene: Scene) -> Steps:
    scene.source.transform = lambda _: []
    scene.next_frame()
    scene.mark_visible(scene.source.slot_ns - scene.source.interval_ns)
    yield
    scene.calm()


@injects("stream_ends")
def _(scene: Scene) -> Steps:
    source = scene.source
    source.paused = True
    end = StreamEnd(
        session_id=scene.session, source=source.stream.source, frames_published=source.sequence, why="it was told to"
    )
    source.send(encode(end))
    scene.mark_visible()
    yield
    source.paused = False


@injects("two_publishers")
def _(scene: Scene) -> Steps:
    second = replace(scene.source.frame().header, publisher_id="ffffffff")
    faulty_frames(
        scene,
        lambda frame: [
            encode_frame(frame),
            encode_frame(changed(frame, publisher_id=second.publisher_id, sequence=frame.header.sequence + 1000)),
        ],
    )
    yield
    scene.calm()


@injects("source_restarts")
def _(scene: Scene) -> Steps:
    source = scene.source
    source.paused = True
    scene.next_frame()
    scene.mark_visible(source.slot_ns - source.interval_ns)
    scene.pass_ms(1300)
    source.restart()
    source.paused = False
    scene.next_frame(6)
    yield
