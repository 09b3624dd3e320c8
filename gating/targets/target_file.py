"""Reads and writes targets, with the images in which they were drawn, in a JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from gating.errors import TargetError
from gating.messages import ImageHeader, Pixels
from gating.settings.private_file import private_file
from gating.targets.image import TargetImage
from gating.targets.spec import CarriedOver, TargetSpec
from gating.targets.targets import MAX_TARGETS
from gating.tracking.memory_file import memory_from_plain, memory_to_plain
from gating.tracking.tracker import TrackingError
from gating.wire.pixels import LITTLE_ENDIAN, content_hash, pack, unpack

MAX_FILE_BYTES: Final = 256 * 2**20
"""Three images of the largest size and the noisiest content; a usual one takes 0.1 MB."""


class _StoredImage(ImageHeader, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An image as it stands in the file: its pixels row by row, little-endian, as zlib in base64."""

    session_id: str = ""
    zlib: str


def write_targets(path: Path, targets: list[TargetSpec]) -> None:
    """Write targets to a JSON file for the engine process, readable by its owner alone: images are a patient's."""
    images = {target.image.content_hash: _stored(target.image) for target in targets if target.image is not None}
    plain = [
        {
            "name": target.name,
            "plane": target.plane,
            "structure": target.structure,
            "contour_px": target.contour_px.tolist(),
            "image": "" if target.image is None else target.image.content_hash,
            **({} if target.memory is None else {"memory": memory_to_plain(target.memory)}),
            **({} if target.carried is None else {"carried": msgspec.to_builtins(target.carried)}),
        }
        for target in targets
    ]
    private_file(path).write_text(json.dumps({"targets": plain, "images": msgspec.to_builtins(images)}))


def read_targets(path: Path) -> list[TargetSpec]:
    """Read targets from JSON: {"targets": [{"name", "plane", "structure", "contour_px": [[x, y], ...], "image"}]}.

    Only name and contour are required. `image` is a key of the object `images` beside `targets`, which holds what
    `write_targets` made of the image in which the target was drawn; `memory` is what a memory's own file holds;
    `carried` tells that the contour was carried over from a plan or another session, and who has accepted it.

    Raises
    ------
    TargetError
        If the file does not hold targets, or an image does not fit what is said of it; one sentence.
    OSError
        If the file cannot be read.
    """
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise TargetError(f"{path} is {size} bytes; a target file has {MAX_FILE_BYTES} at most")
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        images = _images(plain.get("images", {}), path)
        targets = [
            TargetSpec(
                str(t["name"]),
                np.array(t["contour_px"], np.float32).reshape(-1, 2),
                str(t.get("plane", "")),
                str(t.get("structure", "")),
                images[t["image"]] if t.get("image") else None,
                memory_from_plain(t["memory"], f"{path}: memory of {t['name']}") if t.get("memory") else None,
                msgspec.convert(t["carried"], CarriedOver) if "carried" in t else None,
            )
            for t in plain["targets"]
        ]
    except TargetError:
        raise
    except TrackingError as error:
        raise TargetError(str(error)) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TargetError(f"{path} is not a target file: {type(error).__name__} {error}") from None
    if any(len(t.contour_px) < 3 or not np.isfinite(t.contour_px).all() for t in targets):
        raise TargetError(f"{path}: contour_px of every target needs three finite points or more")
    return targets


def _stored(image: TargetImage) -> _StoredImage:
    header = msgspec.structs.asdict(image.as_message("").header)
    return _StoredImage(**header, zlib=pack(image.pixels, 1))


def _images(plain: dict[str, Any], path: Path) -> dict[str, TargetImage]:
    if len(plain) > MAX_TARGETS:
        raise TargetError(f"{path} holds {len(plain)} images; {MAX_TARGETS} are possible, one for each target")
    return {key: _loaded(image, f"{path}: image {key[:16]}") for key, image in plain.items()}


def _loaded(plain: Any, where: str) -> TargetImage:
    try:
        stored = msgspec.convert(plain, _StoredImage)
    except (msgspec.ValidationError, OverflowError) as error:
        raise TargetError(f"{where}: {error}") from None
    raw = _inflated(stored, where)
    pixels: Pixels = np.frombuffer(raw, LITTLE_ENDIAN[stored.dtype]).reshape(stored.shape)
    found = content_hash(pixels)
    if found != stored.content_hash:
        raise TargetError(f"{where}: content_hash of the pixels is {found}; {stored.content_hash} is needed")
    return TargetImage.of(stored, pixels, found)


def _inflated(stored: _StoredImage, where: str) -> bytes:
    """Return the pixel bytes, and never more of them than the shape says."""
    rows, columns = stored.shape
    size = rows * columns * np.dtype(stored.dtype).itemsize
    try:
        raw = unpack(stored.zlib, size)
    except ValueError as error:
        raise TargetError(f"{where}: zlib cannot be unpacked: {error}") from None
    if len(raw) != size:
        held = f"more than {size}" if len(raw) > size else f"{len(raw)}"
        raise TargetError(f"{where}: zlib holds {held} bytes; {rows}x{columns} {stored.dtype} needs {size}")
    return raw
