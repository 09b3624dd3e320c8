"""Recordings of the 0.35 T MR-linac: a `.raw` series with its ROI contours, or a `.dat` stream."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from os import SEEK_END
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadFrame, BadRecording, FramesDropped
from drivers.formats.bounded import read_bounded
from drivers.formats.mridian_dat import DatFrame, parse_frames
from drivers.formats.mridian_raw import HEADER, parse_contours, parse_header
from drivers.formats.pixels import WireDtype
from drivers.formats.stream import FileParser
from drivers.recordings.given import Given
from drivers.recordings.recording import Recording, checked_recording, wire_dtype, wire_frame
from gating.geometry.contours import contour_centroid
from gating.messages import Pixels

ROI_SUFFIX: Final = ".roi"
"""The contours of `NAME.raw` are looked for in `NAME.roi`; what the machine calls them is not known."""
MAX_ROI_BYTES: Final = 64 * 2**20
MAX_DAT_FRAMES: Final = 200_000


class _MappedFrames:
    """Frames of one file, each at its own offset, mapped when they are needed."""

    def __init__(self, path: Path, offsets: Sequence[int], shape: tuple[int, int], dtype: WireDtype) -> None:
        self._path, self._offsets, self._shape, self._dtype = path, offsets, shape, dtype

    def __len__(self) -> int:
        return len(self._offsets)

    def stored(self, index: int) -> NDArray[np.int16]:
        """Return one frame as it is stored. Raises `BadRecording` if the file has become shorter."""
        rows, columns = self._shape
        found = np.fromfile(self._path, "<i2", rows * columns, offset=self._offsets[index])
        if found.size != rows * columns:
            raise BadRecording(f"{self._path}: frame {index} is gone; the file has become shorter")
        return found

    def __getitem__(self, index: int) -> Pixels:
        return wire_frame(self.stored(index).reshape(self._shape), self._dtype)


class _DatFrames(_MappedFrames):
    """Frames that are stored column by column, right side first."""

    def __getitem__(self, index: int) -> Pixels:
        rows, columns = self._shape
        return wire_frame(self.stored(index).reshape(columns, rows).T[:, ::-1], self._dtype)


def read_raw(path: Path, given: Given) -> Recording:
    """Open a `.raw` series; its target and its track are the contours of the ROI file beside it.

    Raises
    ------
    BadRecording
        One sentence that names the file, the field, the value and the limit.
    """
    try:
        with path.open("rb") as file:
            header = parse_header(file.read(HEADER.size), path.stat().st_size)
    except (BadFrame, OSError) as error:
        raise BadRecording(f"{path}: {error}") from None
    shape, count = (header.rows, header.columns), header.frames
    stamps_ns = given.stamps_ns(path, count)
    contours = _contours(path.with_suffix(ROI_SUFFIX), shape, count)
    offsets = range(HEADER.size, HEADER.size + count * header.frame_bytes, header.frame_bytes)
    stored = np.memmap(path, "<i2", "r", HEADER.size, (count, *shape))
    dtype = wire_dtype(path, stored.dtype, lambda: stored)
    return checked_recording(
        path=path,
        frames=_MappedFrames(path, offsets, shape, dtype),
        shape=shape,
        dtype=dtype,
        stamps_ns=stamps_ns,
        pixel_spacing_mm=header.pixel_spacing_mm,
        given_spacing_mm=given.pixel_spacing_mm,
        image_orientation=given.orientation,
        target_contours_px=contours,
        target_track_px=_centres(contours, count),
        description="0.35 T MR-linac series" + (f", contours in {len(contours)} frames" if contours else ""),
        times_assumed=True,
    )


def read_dat(path: Path, given: Given) -> Recording:
    """Open a `.dat` stream. A last frame that is cut is left out, with the warning `FramesDropped`.

    Raises
    ------
    BadRecording
        One sentence that names the file, the field, the value and the limit.
    """
    first, offsets, least, cut = _index(path, given)
    shape = (first.pixels.shape[0], first.pixels.shape[1])
    if cut:
        warnings.warn(f"{path}: {cut}", FramesDropped, stacklevel=2)
    dtype: WireDtype = "uint16" if least >= 0 else "float32"
    return checked_recording(
        path=path,
        frames=_DatFrames(path, offsets, shape, dtype),
        shape=shape,
        dtype=dtype,
        stamps_ns=given.stamps_ns(path, len(offsets)),
        pixel_spacing_mm=first.pixel_spacing_mm,
        given_spacing_mm=given.pixel_spacing_mm,
        image_orientation=given.orientation,
        description="; ".join(filter(None, ("0.35 T MR-linac stream", cut))),
        times_assumed=True,
    )


def _index(path: Path, given: Given) -> tuple[DatFrame, list[int], int, str]:
    """Return the first frame, where the pixels of each lie, the least pixel, and what was cut off, in words."""
    first: DatFrame | None = None
    offsets: list[int] = []
    least, parser = 0, FileParser(parse_frames())
    try:
        with path.open("rb") as file:
            for frame in parser.messages(file):
                first = first or frame
                if differs := frame.difference(first, given.orientation):
                    raise BadFrame(f"frame {len(offsets)}: {differs}; all frames must agree")
                if len(offsets) == MAX_DAT_FRAMES:
                    raise BadFrame(f"it holds more than {MAX_DAT_FRAMES} frames, the limit")
                offsets.append(parser.read_to - frame.pixels.nbytes)
                least = min(least, int(frame.pixels.min()))
            left = 0 if parser.ended else file.seek(0, SEEK_END) - parser.read_to
    except (BadFrame, OSError) as error:
        raise BadRecording(f"{path}: {error}") from None
    if first is None:
        raise BadRecording(f"{path}: it holds no whole frame; at least 1 is needed")
    cut = f"the file ends within frame {len(offsets)}, whose {left} bytes were left out" if left else ""
    return first, offsets, least, cut


def _contours(path: Path, shape: tuple[int, int], count: int) -> dict[int, NDArray[np.float32]]:
    if not path.exists():
        return {}
    try:
        contours = parse_contours(read_bounded(path, MAX_ROI_BYTES), shape)
    except BadFrame as error:
        raise BadRecording(f"{path}: {error}") from None
    if (last := max(contours, default=0)) >= count:
        raise BadRecording(f"{path}: it has a contour for frame {last}; the series has {count}, from 0")
    return contours


def _centres(contours: dict[int, NDArray[np.float32]], count: int) -> NDArray[np.float64] | None:
    """Return the centre of the contour of each frame, (frames, 2) of (x, y) px; NaN where there is none."""
    if not contours:
        return None
    centres = np.full((count, 2), np.nan)
    for index, contour in contours.items():
        centres[index] = contour_centroid(contour)
    return centres
