"""A memory in a file: JSON with the key frames as compressed pixels, readable by its owner alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from gating.settings.private_file import private_file
from gating.tracking.memory import MOST_KEY_FRAMES, KeyFrame, Memory, UsualScore, hash_of
from gating.tracking.reference import checked_pixels, checked_target
from gating.tracking.tracker import TrackingError
from gating.wire.pixels import LITTLE_ENDIAN, pack, unpack

VERSION: Final = 1
MOST_FILE_BYTES: Final = 64 * 2**20
MOST_SIDE_PX: Final = 2048
"""Of a frame, before anything is inflated."""
Hash = Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
Side = Annotated[int, Meta(ge=16, le=MOST_SIDE_PX)]
Share = Annotated[float, Meta(ge=-1.0, le=1.0)]
Points = Annotated[list[tuple[float, float]], Meta(min_length=3, max_length=10_000)]


class _StoredPixels(Struct, frozen=True, forbid_unknown_fields=True):
    """Pixels row by row, little-endian, as zlib in base64."""

    dtype: Literal["uint8", "uint16", "float32"]
    content_hash: str
    zlib: str


class _StoredKey(_StoredPixels, frozen=True, forbid_unknown_fields=True):
    """A key frame."""

    number: Annotated[int, Meta(ge=1)]
    contour_px: Points
    content_px: tuple[float, float]
    fit: Share


class _Usual(Struct, frozen=True, forbid_unknown_fields=True):
    excursion_mm: Annotated[float, Meta(ge=-1000, le=1000)]
    score: Share


class _Stored(Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    memory: int
    content_hash: Hash
    picture_hash: Hash
    shape: tuple[Side, Side]
    spacing_mm: tuple[Annotated[float, Meta(gt=0, le=100)], Annotated[float, Meta(gt=0, le=100)]]
    contour_px: Points
    key_frames: Annotated[list[_StoredKey], Meta(max_length=MOST_KEY_FRAMES)]
    rest_score: Share
    axis: tuple[Share, Share]
    usual: Annotated[list[_Usual], Meta(min_length=1, max_length=1000)]
    seconds: Annotated[float, Meta(ge=0, le=100_000)]
    remarks: Annotated[list[str], Meta(max_length=100)]
    mean_picture: _StoredPixels | None = None


def write_memory(path: Path, memory: Memory) -> None:
    """Write a memory to a file with mode 0600. Raises `OSError`."""
    private_file(path).write_bytes(msgspec.json.encode(memory_to_plain(memory)))


def memory_to_plain(memory: Memory) -> Any:
    """Return a memory as it stands in a JSON file."""
    stored = _Stored(
        VERSION,
        memory.content_hash,
        memory.picture_hash,
        memory.shape,
        memory.spacing_mm,
        _plain(memory.contour_px),
        [_stored(key) for key in memory.key_frames],
        memory.rest_score,
        memory.axis,
        [_Usual(one.excursion_mm, one.score) for one in memory.usual],
        memory.seconds,
        list(memory.remarks),
        None if memory.mean_picture is None else _StoredPixels(*_stored_pixels(memory.mean_picture)),
    )
    return msgspec.to_builtins(stored)


def read_memory(path: Path) -> Memory:
    """Read a memory, checked.

    Raises
    ------
    TrackingError
        If the file does not hold a memory, or a part of it does not fit the rest; one sentence.
    OSError
        If the file cannot be read.
    """
    size = path.stat().st_size
    if size > MOST_FILE_BYTES:
        raise TrackingError(f"{path} is {size} bytes; a memory has {MOST_FILE_BYTES} at most")
    try:
        plain = msgspec.json.decode(path.read_bytes())
    except (msgspec.DecodeError, RecursionError) as error:
        raise TrackingError(f"{path} is not a memory: {error}") from None
    return memory_from_plain(plain, str(path))


def memory_from_plain(plain: Any, where: str) -> Memory:
    """Return a memory from what stands in a JSON file, checked. Raises `TrackingError`, which begins with `where`."""
    version = plain.get("memory") if isinstance(plain, dict) else None
    if version != VERSION:
        raise TrackingError(f"{where} is not a memory: its version is {version}; {VERSION} is read")
    try:
        return _memory(msgspec.convert(plain, _Stored))
    except (TrackingError, msgspec.ValidationError, OverflowError) as error:
        raise TrackingError(f"{where}: {error}") from None


def _memory(stored: _Stored) -> Memory:
    excursions = [one.excursion_mm for one in stored.usual]
    if excursions != sorted(set(excursions)):
        raise TrackingError("usual: the excursions must rise")
    if not abs(float(np.hypot(*stored.axis)) - 1.0) <= 1e-3:
        raise TrackingError(f"axis is {stored.axis}, of length {np.hypot(*stored.axis):.3f}; 1 is needed")
    memory = Memory(
        stored.picture_hash,
        stored.shape,
        stored.spacing_mm,
        checked_target(np.array(stored.contour_px, np.float32), stored.shape),
        tuple(_key(key, stored.shape, len(stored.contour_px)) for key in stored.key_frames),
        stored.rest_score,
        stored.axis,
        tuple(UsualScore(one.excursion_mm, one.score) for one in stored.usual),
        stored.seconds,
        tuple(stored.remarks),
        None if stored.mean_picture is None else _pixels(stored.mean_picture, stored.shape, "mean_picture"),
    )
    if memory.content_hash != stored.content_hash:
        raise TrackingError(f"content_hash is {stored.content_hash}, what the file holds has {memory.content_hash}")
    return memory


def _stored(key: KeyFrame) -> _StoredKey:
    return _StoredKey(*_stored_pixels(key.pixels), key.number, _plain(key.contour_px), key.content_px, key.fit)


def _stored_pixels(pixels: NDArray[Any]) -> tuple[Any, str, str]:
    """Return the fields of `_StoredPixels`; the type was checked when the frame was learned."""
    return str(pixels.dtype), hash_of(pixels), pack(pixels, 6)


def _key(stored: _StoredKey, shape: tuple[int, int], points: int) -> KeyFrame:
    name = f"key frame {stored.number}"
    if len(stored.contour_px) != points:
        raise TrackingError(f"{name}: contour_px has {len(stored.contour_px)} points, the reference's {points}")
    pixels = _pixels(stored, shape, name)
    contour = checked_target(np.array(stored.contour_px, np.float32), shape)
    rows, columns = shape
    x, y = stored.content_px
    if not (-columns <= x <= 2 * columns and -rows <= y <= 2 * rows):
        raise TrackingError(f"{name}: content_px is {stored.content_px}, far from a frame of {shape} px")
    return KeyFrame(stored.number, pixels, contour, stored.content_px, stored.fit)


def _pixels(stored: _StoredPixels, shape: tuple[int, int], name: str) -> NDArray[Any]:
    pixels = _inflated(stored, shape, name)
    if hash_of(pixels) != stored.content_hash:
        raise TrackingError(f"{name}: content_hash is {stored.content_hash}, its pixels have {hash_of(pixels)}")
    return checked_pixels(pixels)


def _inflated(stored: _StoredPixels, shape: tuple[int, int], name: str) -> NDArray[Any]:
    """Return the pixels; no more is inflated than they take."""
    dtype = np.dtype(LITTLE_ENDIAN[stored.dtype])
    length = shape[0] * shape[1] * dtype.itemsize
    try:
        data = unpack(stored.zlib, length)
    except ValueError as error:
        raise TrackingError(f"{name}: zlib cannot be inflated: {error}") from None
    if len(data) != length:
        at_least = "at least " if len(data) > length else ""
        raise TrackingError(f"{name}: zlib holds {at_least}{len(data)} bytes; {length} are needed for {shape} px")
    return np.frombuffer(data, dtype).reshape(shape).astype(stored.dtype)


def _plain(contour: NDArray[np.float32]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in contour]
