"""Faults of what binds a target: its image, the phase in which an engine begins, and the operator's confirmation."""

from __future__ import annotations

import dataclasses
import json
import signal
from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

from bench.faults.injections.anatomy import OUTSIDE
from bench.faults.injections.registry import Steps, Unmet, faulty_frames, injects
from bench.faults.injections.restarts import GOOD_FRAMES_MS, forget_declaration, restart_engine
from bench.faults.pictures import Picture, PictureBook, Shot
from bench.faults.scene import AFTER_DRAWING_MS, Scene
from bench.faults.scene_files import SITES, TARGETS, scene_target
from bench.faults.scripted_source import changed
from gating.geometry.contours import contour_centroid
from gating.messages import EngineState, SourceKind
from gating.targets.spec import TargetSpec
from gating.targets.target_file import write_targets
from gating.tracking.memory import KeyFrame, Memory, UsualScore, hash_of
from gating.wire.codec import encode_frame

PHASE_MM = 15.0
PHASE_FRAMES = 20
SHIFTED_PX = 8
ASK_AGAIN_MS = 200.0
OTHER_PATIENT = 50
"""Added to the seed of the pictures."""


@injects("engine_restarted_at_another_phase")
def _(scene: Scene) -> Steps:
    seconds = (PHASE_FRAMES + 1) / scene.book.rate_per_s
    _, *moved = scene.book.motion(lambda t: 0.0 if t < 0.01 else PHASE_MM, seconds)
    yield from _restarted_on(scene, moved, is_found=True)


@injects("engine_restarted_after_a_shift")
def _(scene: Scene) -> Steps:
    """The patient, all of the picture, lies 19 mm lower when the engine is restarted."""
    moved = np.array([0, SHIFTED_PX], np.float32)
    calm = scene.book.calm
    shots = [Shot(np.roll(shot.pixels, SHIFTED_PX, 0), shot.contour_px + moved, True) for shot in calm]
    yield from _restarted_on(scene, shots, is_found=True)


@injects("engine_restarted_on_another_patient")
def _(scene: Scene) -> Steps:
    book = scene.book
    other = PictureBook(book.settings.seed + OTHER_PATIENT, book.rate_per_s, book.settings.dtype)
    yield from _restarted_on(scene, [dataclasses.replace(shot, visible=False) for shot in other.calm], is_found=False)


def _restarted_on(scene: Scene, shots: Sequence[Shot], *, is_found: bool) -> Steps:
    """Restart the engine while these are shown, all with the target outside; confirm and arm it if it lets us."""
    if not all(scene.outside(shot) > OUTSIDE for shot in shots):
        raise Unmet("a picture shows the target inside its boundary")
    scene.settle(AFTER_DRAWING_MS)
    scene.play_in_turn(shots)
    restart_engine(scene)
    if is_found and not scene.wait(lambda: _is_armed(scene), 10.0):
        raise Unmet("the restarted engine has not found the target and been armed within 10 s")
    scene.pass_ms(GOOD_FRAMES_MS)
    yield
    scene.ask("disarm")
    scene.calm()


def _is_armed(scene: Scene) -> bool:
    if scene.messages.commands[-1][1].engine_state is not EngineState.ARMED:
        scene.arm()
        scene.pass_ms(ASK_AGAIN_MS)
    return scene.messages.commands[-1][1].engine_state is EngineState.ARMED


@injects("target_without_image_on_a_live_source")
def _(scene: Scene) -> Steps:
    scene.source.stream = replace(scene.source.stream, source_kind=SourceKind.LIVE)
    yield from _with_target(scene, dataclasses.replace(scene_target(scene.book), image=None))
    scene.source.stream = replace(scene.source.stream, source_kind=SourceKind.PHANTOM)
    forget_declaration(scene)


@injects("target_image_of_another_plane")
def _(scene: Scene) -> Steps:
    target = scene_target(scene.book)
    assert target.image is not None
    x_mm, y_mm, z_mm = target.image.image_position_mm
    moved = dataclasses.replace(target.image, image_position_mm=(x_mm + 5.0, y_mm, z_mm))
    yield from _with_target(scene, dataclasses.replace(target, image=moved))
    forget_declaration(scene)


def _with_target(scene: Scene, target: TargetSpec) -> Steps:
    write_targets(scene.folder / TARGETS, [target])
    restart_engine(scene)
    yield
    write_targets(scene.folder / TARGETS, [scene_target(scene.book)])


@injects("target_image_corrupted")
def _(scene: Scene) -> Steps:
    """The engine is restarted with an image whose pixels are not those of its hash; it must not start."""
    target = scene_target(scene.book)
    assert target.image is not None
    pixels = target.image.pixels.copy()
    pixels[10, 10] += 1
    image = dataclasses.replace(target.image, pixels=pixels)
    write_targets(scene.folder / TARGETS, [dataclasses.replace(target, image=image)])
    yield from _refused(scene, "content_hash of the pixels is")


@injects("target_memory_of_another_picture")
def _(scene: Scene) -> Steps:
    """The memory was learned from the frame after the one in which the target was drawn."""
    calm = scene.book.calm
    target = scene_target(scene.book)
    yield from _with_target(scene, dataclasses.replace(target, memory=_memory(calm[1].pixels, target, calm[7])))
    forget_declaration(scene)


@injects("target_memory_corrupted")
def _(scene: Scene) -> Steps:
    """The engine is restarted with a memory in which a point of the contour was moved; it must not start."""
    target, calm = scene_target(scene.book), scene.book.calm
    remembering = dataclasses.replace(target, memory=_memory(calm[0].pixels, target, calm[7]))
    write_targets(scene.folder / TARGETS, [remembering])
    plain = json.loads((scene.folder / TARGETS).read_text())
    plain["targets"][0]["memory"]["contour_px"][0][0] += 0.25
    (scene.folder / TARGETS).write_text(json.dumps(plain))
    yield from _refused(scene, "content_hash is")


def _memory(pixels: Picture, target: TargetSpec, key: Shot) -> Memory:
    """Return a memory of a picture with one key frame; learning it would keep the scene's frames waiting."""
    assert target.image is not None
    frame = KeyFrame(7, key.pixels, target.contour_px, contour_centroid(target.contour_px))
    rows, columns = pixels.shape
    usual = (UsualScore(0.0, 0.95),)
    spacing_mm = target.image.pixel_spacing_mm
    return Memory(
        hash_of(pixels), (rows, columns), spacing_mm, target.contour_px, (frame,), 0.95, (0.0, 1.0), usual, 40.0
    )


def _refused(scene: Scene, sentence: str) -> Steps:
    """Restart the engine with a target that is not what it says; it must not start."""
    scene.mark_visible()
    scene.end("engine", signal.SIGKILL)
    scene.processes.start_engine()
    scene.wait(lambda: bool(scene.processes.died()), 20.0)
    yield
    write_targets(scene.folder / TARGETS, [scene_target(scene.book)])
    refused = scene.processes.died()
    forget_declaration(scene)
    if not any(sentence in said for said in refused):
        raise Unmet(f"the engine was not refused its target: {refused or 'it runs'}")


@injects("armed_without_a_confirmation")
def _(scene: Scene) -> Steps:
    """The contour was confirmed in the engine's life before, and nobody confirms it in this one."""
    scene.source.stream = replace(scene.source.stream, source_kind=SourceKind.LIVE)
    restart_engine(scene, arm=False)
    _must_refuse_to_arm(scene)
    yield
    _back_to_the_phantom(scene)


@injects("confirmed_before_a_latch")
def _(scene: Scene) -> Steps:
    """After a latch the operator acknowledges and arms, without another look at the contour."""
    scene.source.stream = replace(scene.source.stream, source_kind=SourceKind.LIVE)
    restart_engine(scene)
    scene.settle(AFTER_DRAWING_MS)
    faulty_frames(scene, lambda frame: [encode_frame(changed(frame, image_position_mm=(9.0, 9.0, 9.0)))], 1)
    scene.wait(lambda: scene.messages.commands[-1][1].engine_state is EngineState.LATCHED, 5)
    scene.ask("acknowledge", "the fault suite goes on")
    scene.pass_ms(GOOD_FRAMES_MS)
    _must_refuse_to_arm(scene)
    yield
    _back_to_the_phantom(scene)


def _back_to_the_phantom(scene: Scene) -> None:
    scene.source.stream = replace(scene.source.stream, source_kind=SourceKind.PHANTOM)
    forget_declaration(scene)


def _must_refuse_to_arm(scene: Scene) -> None:
    """Ask until nothing but the confirmation is missing, and once more a while later."""
    for _ in range(2):
        if not scene.wait(lambda: _lacks_a_confirmation(scene), 10.0):
            raise Unmet("the engine did not say that a confirmation is missing")
        scene.pass_ms(GOOD_FRAMES_MS)


def _lacks_a_confirmation(scene: Scene) -> bool:
    reply = scene.ask("arm")
    if reply is not None and reply.accepted:
        raise Unmet("the engine was armed without a confirmation")
    scene.pass_ms(ASK_AGAIN_MS)
    return reply is not None and "nobody has confirmed" in reply.text


@injects("site_changed_while_armed")
def _(scene: Scene) -> Steps:
    """An operator goes on with the other site; nobody arms its engine."""
    scene.mark_visible()
    for site in SITES:
        reply = scene.ask("site", site=site)
        if reply is not None and reply.accepted:
            break
    else:
        raise Unmet("the engine refused to go on with either site")
    yield
