"""The table of injections, and the parts that several of them share."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any, Final

from bench.faults.scene import Scene
from bench.faults.scripted_source import Parts, Transform, changed, unchanged
from gating.messages import CineFrame
from gating.wire.codec import encode_frame

Steps = Generator[None, None, None]
"""Of one injection: it yields while the fault lasts."""
Injection = Callable[[Scene], Steps]
INJECTIONS: Final[dict[str, Injection]] = {}


class Unmet(Exception):
    """A requirement of the catalogue other than the beam's state was not met; one sentence."""


class NotPossible(Exception):
    """This machine does not permit the injection; one sentence."""


def injects(fault_id: str) -> Callable[[Injection], Injection]:
    """Register an injection under the fault's id."""

    def register(injection: Injection) -> Injection:
        INJECTIONS[fault_id] = injection
        return injection

    return register


def faulty_frames(scene: Scene, transform: Transform, count: int | None = None) -> None:
    """Send the next `count` frames through `transform`, or all of them until the scene is calm again."""
    left = count

    def some(frame: CineFrame) -> Iterable[Parts]:
        nonlocal left
        if left is not None:
            if left == 0:
                scene.source.transform = unchanged
                return unchanged(frame)
            left -= 1
        return transform(frame)

    scene.source.transform = some
    scene.next_frame()
    scene.mark_visible(scene.source.sent_ns)


def standing(fault_id: str, transform: Callable[[Scene], Transform]) -> None:
    """Register an injection that sends every frame through a transform until it is cleared."""

    def inject(scene: Scene) -> Steps:
        faulty_frames(scene, transform(scene))
        yield
        scene.calm()

    INJECTIONS[fault_id] = inject


def momentary(fault_id: str, transform: Callable[[Scene], Transform], count: int = 1) -> None:
    """Register an injection that sends a few frames through a transform."""

    def inject(scene: Scene) -> Steps:
        faulty_frames(scene, transform(scene), count)
        yield

    INJECTIONS[fault_id] = inject


def with_header(fault_id: str, **changes: Any) -> None:
    """Register an injection that changes header fields. A value may be a function of the header."""

    def changing(frame: CineFrame) -> Iterable[Parts]:
        new = {name: value(frame.header) if callable(value) else value for name, value in changes.items()}
        return [encode_frame(changed(frame, **new))]

    standing(fault_id, lambda _: changing)
