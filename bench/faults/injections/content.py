"""Faults of the content: pixels, geometry or a declaration that changes in mid-stream, and pixels that freeze."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from msgspec.structs import replace

from bench.faults.injections.registry import Steps, Unmet, faulty_frames, injects, standing, with_header
from bench.faults.pictures import Picture
from bench.faults.scene import AFTER_DRAWING_MS, Scene
from bench.faults.scripted_source import Parts, repainted, unchanged
from gating.messages import CineFrame
from gating.wire.codec import encode, encode_frame

OUTSIDE: Final = 0.25
"""True target-out fraction that is beyond doubt; the limit is 0.10."""


def _repaint(fault_id: str, paint: Callable[[Picture], Picture]) -> None:
    standing(fault_id, lambda _: lambda frame: [encode_frame(repainted(frame, paint(frame.pixels)))])


def _uniform(pixels: Picture, value: float) -> Picture:
    return np.full_like(pixels, value)


def _with_one_pixel(pixels: Picture, value: float) -> Picture:
    spoilt = pixels.copy()
    spoilt[spoilt.shape[0] // 2, spoilt.shape[1] // 2] = value
    return spoilt


_repaint("shape_changes", lambda pixels: np.ascontiguousarray(pixels[:-8]))
_repaint("dtype_changes", lambda pixels: pixels.astype("float32" if pixels.dtype != "float32" else "uint16"))
_repaint("all_zero", lambda pixels: _uniform(pixels, 0))
_repaint("saturated", lambda pixels: _uniform(pixels, np.iinfo(pixels.dtype).max))
_repaint("one_nan", lambda pixels: _with_one_pixel(pixels, np.nan))
_repaint("one_infinity", lambda pixels: _with_one_pixel(pixels, np.inf))
_repaint("all_nan", lambda pixels: _uniform(pixels, np.nan))
with_header("spacing_changes", pixel_spacing_mm=(2.4, 2.5))
with_header("orientation_changes", image_orientation=(0.0, 0.9998, 0.0175, 0.0, 0.0175, -0.9998))
with_header("slice_moves", image_position_mm=lambda h: (h.image_position_mm[0] + 5.0, *h.image_position_mm[1:]))
with_header("wrong_plane", plane="coronal")
with_header("session_changes", session_id="another-session")
with_header("source_kind_changes", source_kind="live")
with_header("pacing_changes", pacing="unpaced", speed=0.0)


@injects("frozen_pixels")
def _(scene: Scene) -> Steps:
    frozen = scene.source.show(scene.source.slot)
    faulty_frames(scene, lambda frame: [encode_frame(repainted(frame, frozen))])
    yield
    scene.calm()


@injects("frozen_pixels_alternating")
def _(scene: Scene) -> Steps:
    """Two pictures are shown in turn for ever, as by a double buffer that is no longer filled."""
    source = scene.source
    two = [source.show(source.slot - 1), source.show(source.slot)]
    first = source.sequence
    faulty_frames(scene, lambda frame: [encode_frame(repainted(frame, two[(frame.header.sequence - first) % 2]))])
    yield
    scene.calm()


def _frozen(fault_id: str, paint: Callable[[Picture, int], Picture], loop: int = 1) -> None:
    """Register an injection: the last `loop` pictures in turn, each painted over by its number since then."""

    def inject(scene: Scene) -> Steps:
        _freeze(scene, paint, loop)
        yield
        scene.calm()

    injects(fault_id)(inject)


def _freeze(scene: Scene, paint: Callable[[Picture, int], Picture], loop: int = 1) -> None:
    """Repeat pictures that the engine has just seen: of older ones it may know nothing, as after its restart."""
    source = scene.source
    scene.next_frame(loop)
    last = list(source.recent)[-loop:]
    first = source.sequence

    def painted(frame: CineFrame) -> list[Parts]:
        number = frame.header.sequence - first
        return [encode_frame(repainted(frame, paint(last[number % loop], number)))]

    faulty_frames(scene, painted)


def _counted(pixels: Picture, number: int) -> Picture:
    counted = pixels.copy()
    counted[0, 0] = number
    return counted


def _four_rows(pixels: Picture, number: int) -> Picture:
    stepped = pixels.copy()
    middle = len(pixels) // 2
    stepped[middle : middle + 4] += np.random.default_rng(number).integers(0, 2, (4, 1)).astype(pixels.dtype)
    stepped[middle, number % pixels.shape[1]] += 1
    return stepped


def _fresh_noise(pixels: Picture, number: int) -> Picture:
    noise = np.random.default_rng(number).normal(0, 0.03 * pixels.max(), pixels.shape)
    return np.clip(pixels + noise, 0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)


_frozen("frozen_with_a_counting_pixel", _counted)
_frozen("frozen_with_four_rows_changing", _four_rows)
_frozen("frozen_with_fresh_noise", _fresh_noise)
_frozen("loop_of_17_frames", lambda pixels, _: pixels, 17)
_frozen("loop_of_40_frames", lambda pixels, _: pixels, 40)
_frozen("loop_of_17_with_a_counting_pixel", _counted, 17)


@injects("frozen_until_the_target_has_left")
def _(scene: Scene) -> Steps:
    away = scene.book.motion(lambda t: -16.0 if t > 0.01 else 0.0, 0.8)[1:]
    if any(scene.outside(shot) <= OUTSIDE for shot in away):
        raise Unmet("the target is not outside")
    scene.settle(AFTER_DRAWING_MS)
    _freeze(scene, _counted)
    scene.pass_ms(500)
    scene.source.transform = unchanged
    scene.show(away)
    scene.pass_ms(1000)
    yield
    scene.calm()


@injects("declaration_changes")
def _(scene: Scene) -> Steps:
    scene.source.send(encode(replace(scene.source.stream, pixel_spacing_mm=(2.0, 2.0))))
    scene.mark_visible()
    yield
