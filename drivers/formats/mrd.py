"""ISMRM Raw Data (MRD) as a stream: messages parsed within limits, images turned into frames.

Layout: ISMRM Raw Data format, "MRD streaming protocol" and "MRD image" (ismrmrd.readthedocs.io); all little-endian.
Configuration and attributes are skipped unread: nothing that a client names is loaded, and the image header holds all
that a frame needs. Of the header XML a digest is kept, which tells patients, studies and scans apart.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadFrame
from drivers.formats.frame import PlaneGeometry, VendorFrame, checked_frame
from drivers.formats.mrd2 import FIRST_BYTES, parse_stream
from drivers.formats.mrd_image import MAGNITUDE, ImageHeader, MrdImage, checked_size
from drivers.formats.pixels import wire_pixels
from drivers.formats.stream import SKIPPED, StreamParser, limited
from gating.clocks.counter import DAY_NS, CounterUnwrapper
from gating.messages import StampMeaning

TICK_NS: Final = 2_500_000
TICKS_A_DAY: Final = DAY_NS // TICK_NS
CLOCK: Final = "mrd-time-of-day"
MAX_TEXT_BYTES: Final = 4 * 2**20
"""Of a configuration text or header XML."""
MAX_ATTRIBUTE_BYTES: Final = 1 * 2**20
MAX_WAVEFORM_BYTES: Final = 16 * 2**20
CONFIG_FILE_BYTES: Final = 1024
CLOSE: Final = struct.pack("<H", 4)
MAX_ANSWER_BYTES: Final = 400
MIDNIGHT_NS: Final = 10**9
SQUARE_TOLERANCE: Final = 0.01

_CONFIG_FILE, _CONFIG_TEXT, _HEADER, _CLOSE, _TEXT, _IMAGE, _WAVEFORM = 1, 2, 3, 4, 5, 1022, 1026
_REFUSED: Final = {1008: "a raw acquisition", 1030: "an array"}
_IMAGE_HEADER: Final = struct.Struct("<HHQI3H3fH3f3f3f3f3f6HI3I3H8i8fI")
_WAVEFORM_HEADER: Final = struct.Struct("<H6xQIIIHHfH2x")
_DTYPES: Final = {1: "<u2", 2: "<i2", 3: "<u4", 4: "<i4", 5: "<f4", 6: "<f8"}
Position = Literal["centre", "corner"]
POSITIONS: Final[tuple[Position, ...]] = get_args(Position)


def parse_messages(is_second: Callable[[], object] = bool) -> StreamParser:
    """Parse a stream of either version; yield an `MrdImage` for each image. See `drivers.formats.stream`.

    `is_second` is called when it turns out to be of version 2.
    """
    scan = ""
    while True:
        (kind,) = struct.unpack("<H", (yield 2))
        if kind == _IMAGE:
            raw = yield _IMAGE_HEADER.size
            header = image_header(raw)
            (attribute_bytes,) = struct.unpack("<Q", (yield 8))
            yield limited("attribute string", attribute_bytes, MAX_ATTRIBUTE_BYTES)
            data = yield header.rows * header.columns * np.dtype(header.dtype).itemsize
            yield MrdImage(header, data, scan, raw)
        elif kind == _HEADER:
            scan = hashlib.sha256((yield from _text(kind))).hexdigest()[:16]
            yield SKIPPED
        elif kind == _CLOSE:
            return
        elif kind == FIRST_BYTES:
            is_second()
            yield from parse_stream()
            return
        else:
            yield from _skip(kind)
            yield SKIPPED


def image_header(raw: bytes) -> ImageHeader:
    """Read an image header. Raises `BadFrame` unless it is of one 2-D magnitude or real image within the limits."""
    values = _IMAGE_HEADER.unpack(raw)
    version, data_type, (columns, rows, slices), channels, image_type = (
        values[0],
        values[1],
        values[4:7],
        values[10],
        values[36],
    )
    if version != 1:
        raise BadFrame(f"image header version is {version}; 1 is read (little-endian)")
    if data_type not in _DTYPES:
        raise BadFrame(f"image data_type is {data_type}; 1 to 6 (integers and floats, not complex numbers) are read")
    checked_size(columns, rows, slices, channels, image_type)
    return ImageHeader(
        dtype=_DTYPES[data_type],
        columns=columns,
        rows=rows,
        field_of_view_mm=(values[7], values[8]),
        position_mm=(values[11], values[12], values[13]),
        read_dir=(values[14], values[15], values[16]),
        phase_dir=(values[17], values[18], values[19]),
        slice=values[27],
        ticks=values[32],
        image_index=values[37],
        series=values[38],
    )


def image_message(
    pixels: NDArray[Any],
    spacing_mm: tuple[float, float],
    axes: Sequence[float],
    position_mm: Sequence[float],
    ticks: int,
    index: int = 0,
) -> bytes:
    """Return an image message of (rows, columns) pixels; spacing (row, column), axes and position as in DICOM."""
    rows, columns = pixels.shape
    read, phase = np.array(axes[:3]), np.array(axes[3:])
    centre = np.array(position_mm) + read * spacing_mm[1] * (columns - 1) / 2 + phase * spacing_mm[0] * (rows - 1) / 2
    size = (columns, rows, 1, columns * spacing_mm[1], rows * spacing_mm[0], 1.0, 1)
    directions = (*centre, *read, *phase, *np.cross(read, phase), 0.0, 0.0, 0.0)
    counters = (0, 0, 0, 0, 0, 0, ticks, 0, 0, 0, MAGNITUDE[1], index % 2**16, 0)
    data = pixels.astype(pixels.dtype.newbyteorder("<"))
    data_type = next(number for number, kind in _DTYPES.items() if kind == data.dtype.str)
    header = _IMAGE_HEADER.pack(1, data_type, 0, 0, *size, *directions, *counters, *(0,) * 8, *(0.0,) * 8, 0)
    return struct.pack("<H", _IMAGE) + header + struct.pack("<Q", 0) + data.tobytes()


def text_message(text: str) -> bytes:
    """Return a TEXT message, which clients show."""
    encoded = text.encode()[:MAX_ANSWER_BYTES]
    return struct.pack("<HI", _TEXT, len(encoded)) + encoded


class FrameMaker:
    """Turn image messages into frames; the clock continues across midnight.

    Parameters
    ----------
    meaning
        Moment that the acquisition stamps mark.
    position_is
        Point that the header's position marks.
    stamps_needed
        False if arrival times replace the stamps.
    tick_ns
        Unit of the acquisition stamps.
    spacing_mm
        (row, column) spacing for images whose field of view gives pixels that are not square.
    """

    def __init__(
        self,
        meaning: StampMeaning,
        position_is: Position,
        *,
        stamps_needed: bool = True,
        tick_ns: int = TICK_NS,
        spacing_mm: tuple[float, float] | None = None,
    ) -> None:
        self._meaning, self._position_is, self._stamps_needed = meaning, position_is, stamps_needed
        self._spacing_mm = spacing_mm
        self._tick_ns = tick_ns
        self._clocks: dict[int, CounterUnwrapper] = {}
        """By the unit of their ticks."""
        self._last_ns = 0
        self.warning = ""
        """About the first image whose pixels are not square, and what was taken; empty if they all were."""

    def frame(self, image: MrdImage, arrived_ns: int) -> VendorFrame:
        """Return the frame of an image message. Raises `BadFrame`."""
        header = image.header
        geometry = self.geometry(image)
        pixels = np.frombuffer(image.data, header.dtype).reshape(header.rows, header.columns)
        stamp_ns = self.stamp(image, arrived_ns) if self._stamps_needed else arrived_ns
        return checked_frame(
            wire_pixels(pixels),
            geometry,
            acquired_ns=stamp_ns,
            clock=CLOCK,
            meaning=self._meaning,
            name=f"{header.image_index} of slice {header.slice}",
            series=f"series {header.series} slice {header.slice} {image.scan}",
            resolution_ns=self._unit_ns(image),
        )

    def geometry(self, image: MrdImage) -> PlaneGeometry:
        """Return where the pixels lie. Raises `BadFrame`.

        The format defines the position as the centre of the volume; some converters copy DICOM's ImagePositionPatient.
        """
        header = image.header
        row_mm, column_mm = self._pixel_mm(header)
        corner = np.array(header.position_mm, np.float64)
        if self._position_is == "centre":
            corner -= np.array(header.read_dir) * column_mm * (header.columns - 1) / 2
            corner -= np.array(header.phase_dir) * row_mm * (header.rows - 1) / 2
        return PlaneGeometry.checked((row_mm, column_mm), (*header.read_dir, *header.phase_dir), tuple(corner))

    def _pixel_mm(self, header: ImageHeader) -> tuple[float, float]:
        """Return the (row, column) spacing of the field of view; if its pixels are not square, the given one."""
        width_mm, height_mm = header.field_of_view_mm
        column_mm, row_mm = width_mm / header.columns, height_mm / header.rows
        if abs(column_mm - row_mm) <= SQUARE_TOLERANCE * row_mm or not np.isfinite(column_mm + row_mm):
            return row_mm, column_mm
        taken = self._spacing_mm or (row_mm, column_mm)
        self.warning = self.warning or (
            f"field_of_view is {width_mm:g} x {height_mm:g} mm for matrix_size {header.columns} x {header.rows}: "
            f"pixels of {column_mm:g} x {row_mm:g} mm are not square; "
            + (
                "columns and rows may have changed places"
                if self._spacing_mm is None
                else f"{taken[1]:g} x {taken[0]:g} mm is taken, as it was given"
            )
        )
        return taken

    def stamp(self, image: MrdImage, arrived_ns: int) -> int:
        """Return the acquisition stamp, unwrapped. Raises `BadFrame`.

        A stamp of 0 was never set, except around midnight.
        """
        ticks, unit_ns = image.header.ticks, self._unit_ns(image)
        clock = self._clocks.setdefault(unit_ns, CounterUnwrapper(DAY_NS // unit_ns, unit_ns, wall_clock=True))
        midnight = self._last_ns > DAY_NS - MIDNIGHT_NS
        if ticks == 0 and not midnight:
            raise BadFrame("acquisition_time_stamp is 0 ticks; every image needs one (or ask for arrival times)")
        try:
            stamp_ns = clock.unwrap(ticks, arrived_ns)
        except ValueError as error:
            raise BadFrame(f"acquisition_{error}"[:300]) from None
        self._last_ns = ticks * unit_ns
        return stamp_ns

    def _unit_ns(self, image: MrdImage) -> int:
        return image.header.tick_ns or self._tick_ns


def _text(kind: int) -> Generator[int, bytes, bytes]:
    (text_bytes,) = struct.unpack("<I", (yield 4))
    return (yield limited(f"text of message {kind}", text_bytes, MAX_TEXT_BYTES))


def _skip(kind: int) -> StreamParser:
    if kind == _CONFIG_FILE:
        yield CONFIG_FILE_BYTES
    elif kind in (_CONFIG_TEXT, _TEXT):
        yield from _text(kind)
    elif kind == _WAVEFORM:
        samples, channels = _WAVEFORM_HEADER.unpack((yield _WAVEFORM_HEADER.size))[5:7]
        yield limited("waveform", samples * channels * 4, MAX_WAVEFORM_BYTES)
    else:
        what = _REFUSED.get(kind, "unknown here, or not little-endian")
        raise BadFrame(f"message id is {kind}, {what}; images (1022) and their accompanying messages are read")
