"""The table that injections register in, and what several of them need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from bench.faults.scene import Scene
from bench.faults.scripted_source import Parts, Transform, as_it_is, changed
from gating.messages import CineFrame
from gating.wire.codec import encode_frame

Injection = Callable[[Scene], Iterator[None]]
INJECTIONS: Final[dict[str, Injection]] = {}


class Unmet(Exception):
    """Something that the catalogue requires beside the beam did not happen; one sentence."""


class NotPossible(Exception):
    """This machine does not permit the injection; one sentence."""


def injects(fault_id: str) -> Callable[[Injection], Injection]:
    """Register an injection under the fault's id."""

    def register(injection: Injection) -> Injection:
        INJECTIONS[fault_id] = injection
        return injection

    return register


def faulty_frames(scene: Scene, transform: Transform, count: int | None = None) -> None:
    """Send the next frames through `transform`: `count` of them, or until the scene is calm again."""
    left = count

    def some(frame: CineFrame) -> Iterable[Parts]:
        nonlocal left
        if left is not None:
            if left == 0:
                scene.source.transform = as_it_is
                return as_it_is(frame)
            left -= 1
        return transform(frame)

    scene.source.transform = some
    scene.next_frame()
    scene.seen(scene.source.left_ns)


def standing(fault_id: str, transform: Callable[[Scene], Transform]) -> None:
    """Register an injection that sends every frame through a transform until it is cleared."""

    def inject(scene: Scene) -> Iterator[None]:
        faulty_frames(scene, transform(scene))
        yield
        scene.calm()

    INJECTIONS[fault_id] = inject


def momentary(fault_id: str, transform: Callable[[Scene], Transform], count: int = 1) -> None:
    """Register an injection that sends a few frames through a transform."""

    def inject(scene: Scene) -> Iterator[None]:
        faulty_frames(scene, transform(scene), count)
        yield

    INJECTIONS[fault_id] = inject


def with_header(fault_id: str, **changes: Any) -> None:
    """Register an injection that sends frames with other header fields; a function is given the header."""

    def changing(frame: CineFrame) -> Iterable[Parts]:
        new = {name: value(frame.header) if callable(value) else value for name, value in changes.items()}
        return [encode_frame(changed(frame, **new))]

    standing(fault_id, lambda _: changing)
