"""The targets of a session log, with the images in which they were drawn: for a replay, and to go on with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from gating.messages import CineFrame, ReferenceImage, TargetReference
from gating.session.chain_check import check_chain
from gating.session.log import SessionError, read_session
from gating.targets.image import TargetImage
from gating.targets.spec import CarriedOver, TargetSpec
from gating.tracking.memory import Memory


def logged_image(image: ReferenceImage) -> TargetImage:
    """Return an image of a log as the image of a target."""
    return TargetImage.of(image.header, image.pixels, image.header.content_hash)


def logged_target(
    reference: TargetReference, images: Mapping[str, TargetImage], memory: Memory | None = None
) -> TargetSpec:
    """Return a target of a log.

    Parameters
    ----------
    reference
        The target as the log has it.
    images
        The images of the log, by content hash.
    memory
        The memory with which the target was tracked, if there was one: the log holds its hash alone.

    Raises
    ------
    SessionError
        If the image of the target is missing, or the memory is another.
    """
    contour_px = np.array(reference.contour_px, np.float32).reshape(-1, 2)
    image = images.get(reference.image_hash)
    if reference.image_hash and image is None:
        text = "is not in the log, or its pixels do not match that hash"
        raise SessionError(f"image {reference.image_hash} of {reference.target} {text}")
    wanted = reference.memory_hash
    if memory is not None and wanted and memory.content_hash != wanted:
        raise SessionError(
            f"memory of {reference.target} is {wanted} in the log; the one given is {memory.content_hash}"
        )
    used = memory if wanted else None
    carried = CarriedOver(reference.carried) if reference.carried else None
    spec = TargetSpec(reference.target, contour_px, reference.plane, reference.structure, image, used, carried)
    return spec.accept(reference.accepted_by) if reference.accepted_by else spec


def session_targets(path: Path) -> list[TargetSpec]:
    """Return the targets of a session's newest engine, each with the image in which it was drawn.

    Raises
    ------
    SessionError
        If the log's hash chain is broken, or it holds no target, or lacks the image of one; one sentence.
    OSError
        If the log cannot be read.
    """
    broken = check_chain(path).broken
    if broken:
        raise SessionError(f"{path.name} is not as it was written, so its targets cannot be used: {broken}")
    references: dict[str, tuple[int, TargetReference]] = {}
    images: dict[str, TargetImage] = {}
    for _, log_time_ns, message in read_session(path):
        if isinstance(message, TargetReference) and references.get(message.target, (0, None))[1] != message:
            references[message.target] = log_time_ns, message
        elif isinstance(message, ReferenceImage):
            images[message.header.content_hash] = logged_image(message)
    if not references:
        raise SessionError(f"{path.name} holds no target")
    unbound = {name: known for name, known in references.items() if not known[1].image_hash}
    frames = _frames_of(path, unbound) if unbound else {}
    for name, (_, reference) in unbound.items():
        if name not in frames:
            raise SessionError(f"{path.name}: frame {reference.frame_sequence}, where {name} was drawn, is missing")
    targets = [logged_target(reference, images) for _, reference in references.values()]
    return [replace(one, image=frames[one.name]) if one.image is None else one for one in targets]


def _frames_of(path: Path, references: Mapping[str, tuple[int, TargetReference]]) -> dict[str, TargetImage]:
    """Return the frame in which each target was drawn: the one of its number that was logged nearest to it."""
    nearest: dict[str, tuple[int, TargetImage]] = {}
    for _, log_time_ns, message in read_session(path):
        if not isinstance(message, CineFrame):
            continue
        header = message.header
        for name, (at_ns, reference) in references.items():
            if (header.sequence, header.plane) != (reference.frame_sequence, reference.plane):
                continue
            away_ns = abs(log_time_ns - at_ns)
            if name not in nearest or away_ns < nearest[name][0]:
                nearest[name] = away_ns, TargetImage.of(header, message.pixels, header.content_hash)
    return {name: image for name, (_, image) in nearest.items()}
