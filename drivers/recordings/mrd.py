"""ISMRM Raw Data images in a file: HDF5 of the `ismrmrd` tools (`<dataset>/<series>/{data,header}`), or a stream."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadFrame, BadRecording, FramesDropped, NotSquare, PlaneMissing, Unavailable
from drivers.extras import missing
from drivers.formats.frame import PlaneGeometry
from drivers.formats.mrd import FrameMaker, Position, image_header, parse_messages
from drivers.formats.mrd_image import MrdImage
from drivers.formats.pixels import wire_dtype_name, wire_pixels
from drivers.formats.stream import FileParser, limited
from drivers.recordings.recording import MAX_PIXEL_BYTES, Recording, checked_recording
from gating.messages import Pixels, StampMeaning

MAX_IMAGES: Final = 200_000


class _MrdFrames:
    """Pixels of the chosen images, read from the file when needed."""

    def __init__(self, path: Path, held: _Held, chosen: Sequence[int]) -> None:
        self._path, self._held, self._chosen = path, held, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> Pixels:
        try:
            pixels: Pixels = np.ascontiguousarray(wire_pixels(self._held.pixels(self._chosen[index])))
        except (BadFrame, OSError) as error:
            raise BadRecording(f"{self._path}: image {self._chosen[index]}: {error}") from None
        return pixels


def read_mrd(
    path: Path,
    given_spacing_mm: Sequence[float] | None = None,
    plane: str = "",
    *,
    position_is: Position = "centre",
    stamp_meaning: StampMeaning = StampMeaning.START,
) -> Recording:
    """Open the images of one plane of an MRD file: HDF5 (`.h5`), or a stream of either version in a file (`.mrd`).

    Parameters
    ----------
    plane
        Sagittal, coronal or transversal; if empty, that of the first image.
    position_is, stamp_meaning
        See `drivers.formats.mrd.FrameMaker`.

    Raises
    ------
    BadRecording, Unavailable
        One sentence that names the file, the field, the value and the limit.
    """
    held: _Held = _Streamed(path) if path.suffix == ".mrd" else _Hdf5(path)
    given = None if given_spacing_mm is None else (given_spacing_mm[0], given_spacing_mm[1])
    maker = FrameMaker(stamp_meaning, position_is, spacing_mm=given)
    first, chosen, stamps_ns = _choose(path, held, maker, plane)
    if maker.warning:
        warnings.warn(f"{path}: {maker.warning}", NotSquare, stacklevel=2)
    frames = _MrdFrames(path, held, chosen)
    pixels = frames[0]
    return checked_recording(
        path=path,
        frames=frames,
        shape=(pixels.shape[0], pixels.shape[1]),
        dtype=wire_dtype_name(pixels),
        stamps_ns=np.array(stamps_ns, np.int64),
        pixel_spacing_mm=first.pixel_spacing_mm,
        given_spacing_mm=given_spacing_mm,
        image_orientation=first.image_orientation,
        image_position_mm=first.image_position_mm,
        stamp_meaning=stamp_meaning,
        description="; ".join(filter(None, ("ISMRM Raw Data images", maker.warning))),
    )


class _Held(Protocol):
    """The images of a file."""

    def __len__(self) -> int: ...

    def image(self, index: int) -> MrdImage:
        """Return an image; its pixels may be left out. Raises `BadFrame`."""
        ...

    def pixels(self, index: int) -> NDArray[Any]:
        """Return the pixels of an image. Raises `OSError`."""
        ...


class _Hdf5:
    """Images as the `ismrmrd` tools write them, read from the file when needed."""

    def __init__(self, path: Path) -> None:
        try:
            import h5py
        except ModuleNotFoundError:
            raise Unavailable(missing(f"{path}: reading MRD", "h5py", "mrd")) from None
        try:
            self._headers, self._data = _images(path, h5py.File(path, "r"))
        except OSError as error:
            raise BadRecording(f"{path}: is not a readable HDF5 file: {str(error)[:200]}") from None

    def __len__(self) -> int:
        return len(self._headers)

    def image(self, index: int) -> MrdImage:
        return MrdImage(image_header(self._headers[index].tobytes()), b"")

    def pixels(self, index: int) -> NDArray[Any]:
        pixels: NDArray[Any] = self._data[index][0, 0]
        return pixels


class _Streamed:
    """Images of a stream in a file, all of them in memory."""

    def __init__(self, path: Path) -> None:
        self._images: list[MrdImage] = []
        parser, held_bytes = FileParser(parse_messages()), 0
        try:
            with path.open("rb") as file:
                for message in parser.messages(file):
                    if isinstance(message, MrdImage):
                        held_bytes = limited("the images", held_bytes + len(message.data), MAX_PIXEL_BYTES)
                        self._images.append(message)
        except (BadFrame, OSError) as error:
            raise BadRecording(f"{path}: image {len(self._images)}: {error}") from None
        if self._images and not parser.ended and parser.read_to < path.stat().st_size:
            cut = f"the stream ends within a message, after {len(self._images)} images"
            warnings.warn(f"{path}: {cut}", FramesDropped, stacklevel=3)

    def __len__(self) -> int:
        return len(self._images)

    def image(self, index: int) -> MrdImage:
        return self._images[index]

    def pixels(self, index: int) -> NDArray[Any]:
        header = self._images[index].header
        return np.frombuffer(self._images[index].data, header.dtype).reshape(header.rows, header.columns)


def _choose(path: Path, held: _Held, maker: FrameMaker, plane: str) -> tuple[PlaneGeometry, list[int], list[int]]:
    """Return the geometry, indices and stamps (ns) of the images of one plane, by default that of the first image."""
    first: PlaneGeometry | None = None
    chosen, stamps_ns = [], []
    for index in range(len(held)):
        try:
            image = held.image(index)
            geometry = maker.geometry(image)
            if geometry.plane != (plane or geometry.plane if first is None else first.plane):
                continue
            first = first or geometry
            if difference := geometry.difference(first):
                raise BadFrame(difference)
            stamps_ns.append(maker.stamp(image, 0))
        except BadFrame as error:
            raise BadRecording(f"{path}: image {index}: {error}") from None
        chosen.append(index)
    if first is None:
        raise PlaneMissing(f"{path}: none of {len(held)} images is {plane or 'present'}")
    return first, chosen, stamps_ns


def _images(path: Path, file: Any) -> tuple[Any, Any]:
    """Return the headers and pixels of the only image series in the file."""
    series = [
        group
        for dataset in file.values()
        for group in (dataset.values() if hasattr(dataset, "values") else ())
        if hasattr(group, "keys") and {"data", "header"} <= set(group.keys())
    ]
    if len(series) != 1:
        raise BadRecording(f"{path}: it holds {len(series)} image series; exactly 1 is read")
    headers, data = series[0]["header"], series[0]["data"]
    if headers.dtype.itemsize != 198 or headers.ndim != 1 or not 1 <= len(headers) <= MAX_IMAGES:
        raise BadRecording(
            f"{path}: header is {headers.shape} of {headers.dtype.itemsize} bytes; 1 to {MAX_IMAGES} of 198 are read"
        )
    if data.ndim != 5 or data.shape[:3] != (len(headers), 1, 1):
        raise BadRecording(f"{path}: data is {data.shape}; (images, 1, 1, rows, columns) is read")
    return headers[...], data
