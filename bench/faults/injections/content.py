"""Faults of the content: pixels, geometry or a declaration that changes in mid-stream, and pixels that freeze."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from msgspec.structs import replace

from bench.faults.injections.registry import Steps, faulty_frames, injects, standing, with_header
from bench.faults.pictures import Picture
from bench.faults.scene import Scene
from bench.faults.scripted_source import repainted
from gating.wire.codec import encode, encode_frame


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


@injects("declaration_changes")
def _(scene: Scene) -> Steps:
    scene.source.send(encode(replace(scene.source.stream, pixel_spacing_mm=(2.0, 2.0))))
    scene.mark_visible()
    yield
