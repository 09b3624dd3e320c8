"""Research frames of the 1.5 T MR-linac: one `.bin` file per frame, a serialised `MotionManagementResultData`.

Member names are those of the file. The acquisition stamp is UTC, in units of 100 ns since 1900 (as in NTP). The stage
stamps are local time, so only their differences are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadFrame, BadStamp
from drivers.formats.bounded import read_bounded
from drivers.formats.frame import MAX_SIDE_PX, PlaneGeometry, VendorFrame, checked_frame
from drivers.formats.nrbf import MAX_BYTES, NrbfDocument, NrbfObject, parse_nrbf
from gating.geometry.contours import contour_from_mask
from gating.messages import StampMeaning

CLOCK: Final = "unity-utc"
ROOT_TYPE: Final = "Common.Data.DTO.MotionManagementResultData"
SECONDS_1900_TO_1970: Final = 2_208_988_800
EARLIEST_NS: Final = 946_684_800 * 10**9
"""2000-01-01, before any such machine: an earlier date is a stamp that was never set."""
MAX_LABELS: Final = 64
MAX_OUTLINE_PX: Final = 100_000
_TICKS_OF_DATETIME: Final = 2**62 - 1
"""Without the upper two bits of a DateTime, which name its zone ([MS-NRBF] 2.1.1.5)."""


@dataclass(frozen=True, slots=True, eq=False)
class UnityFrame:
    """One `.bin` frame, and the result of the vendor's own motion monitoring."""

    frame: VendorFrame
    outlines: dict[str, NDArray[np.bool_]]
    """Pixels on the outline of each structure that the vendor tracked, (rows, columns), by name."""
    centroid_mm: tuple[float, float, float] | None
    """Centroid of the target, LPS."""
    stages_ms: dict[str, float]
    """Time from the acquisition stamp to each stage of the vendor's chain, in order."""

    def target_contour_px(self) -> NDArray[np.float32] | None:
        """Return the filled outline of the first structure as a contour (n, 2) of (x, y), or None."""
        for outline in self.outlines.values():
            return contour_from_mask(filled(outline))
        return None


def read_unity(path: Path, meaning: StampMeaning = StampMeaning.END) -> UnityFrame:
    """Read one `.bin` file, of at most 64 MiB. Raises `BadFrame` and nothing else, whatever the file holds."""
    return parse_unity(read_bounded(path, MAX_BYTES), path.name, meaning)


def parse_unity(data: bytes, name: str, meaning: StampMeaning = StampMeaning.END) -> UnityFrame:
    """Parse the bytes of one frame.

    Parameters
    ----------
    data
        Content of the file.
    name
        Name of the frame in sentences.
    meaning
        Moment that the vendor's "Acquisition Time" marks, which the file does not say. The end is the cautious
        assumption: the anatomy is then older than its stamp.

    Raises
    ------
    BadFrame
        One sentence that names the field, the value and the limit.
    """
    reader = _MemberReader(parse_nrbf(data))
    root = reader.document.root
    if root.type_name != ROOT_TYPE:
        raise BadFrame(f"the root object is {root.type_name[:80]!r}; {ROOT_TYPE!r} is needed")
    image = reader.object(root, "TwoDSlicedata")
    geometry = _geometry(reader, image)
    acquired_ns = reader.integer(image, "Elapsed100NanosecondInterval") * 100 - SECONDS_1900_TO_1970 * 10**9
    if acquired_ns < EARLIEST_NS:
        raise BadStamp(f"the acquisition stamp is {acquired_ns} ns; {EARLIEST_NS} (2000-01-01) or later is needed")
    frame = checked_frame(
        _pixels(reader, image),
        geometry,
        acquired_ns=acquired_ns,
        clock=CLOCK,
        meaning=meaning,
        name=name,
        resolution_ns=100,
    )
    result = reader.optional(root, "MMEMonitoringResult")
    return UnityFrame(
        frame,
        {} if result is None else _outlines(reader, result, frame.pixels.shape),
        None if result is None else _centroid(reader, result),
        _stages(reader, root),
    )


def filled(outline: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of an outline and all that it encloses."""
    from scipy.ndimage import binary_fill_holes

    inside: NDArray[np.bool_] = binary_fill_holes(outline)
    return inside


class _MemberReader:
    """Members by name, of a checked type. Every method raises `BadFrame`, naming the member."""

    def __init__(self, document: NrbfDocument) -> None:
        self.document = document

    def member(self, owner: NrbfObject, name: str) -> Any:
        for key in (f"<{name}>k__BackingField", name):
            if key in owner.members:
                return self.document.resolve(owner.members[key])
        raise BadFrame(f"{_short(owner)} has no member {name}")

    def object(self, owner: NrbfObject, name: str) -> NrbfObject:
        value = self.member(owner, name)
        if not isinstance(value, NrbfObject):
            raise BadFrame(f"{_short(owner)}.{name} is a {type(value).__name__}; an object is needed")
        return value

    def optional(self, owner: NrbfObject, name: str) -> NrbfObject | None:
        return None if self.member(owner, name) is None else self.object(owner, name)

    def integer(self, owner: NrbfObject, name: str) -> int:
        value = self.member(owner, name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadFrame(f"{_short(owner)}.{name} is a {type(value).__name__}; an integer is needed")
        return value

    def point(self, owner: NrbfObject, name: str, axes: str = "XYZ") -> tuple[float, float, float]:
        point = self.object(owner, name)
        x, y, z = (self.member(point, f"{axis}Inmm" if name == "VoxelSize" else axis) for axis in axes)
        return x, y, z

    def items(self, owner: NrbfObject, name: str) -> list[NrbfObject]:
        """Return the objects in a .NET list."""
        held = self.optional(owner, name)
        if held is None:
            return []
        array, size = self.member(held, "_items"), self.integer(held, "_size")
        if not isinstance(array, list) or not 0 <= size <= min(len(array), MAX_LABELS):
            raise BadFrame(f"{_short(owner)}.{name} has {size} items; 0 to {MAX_LABELS} are read")
        found = [self.document.resolve(item) for item in array[:size]]
        return [item for item in found if isinstance(item, NrbfObject)]


def _geometry(reader: _MemberReader, image: NrbfObject) -> PlaneGeometry:
    x_mm, y_mm, _ = reader.point(image, "VoxelSize")
    if x_mm != y_mm:
        raise BadFrame(f"VoxelSize is {x_mm} x {y_mm} mm; they must agree, since the row's is not known")
    orientation = reader.object(image, "Orientation")
    rows, columns = (
        reader.point(orientation, "RowDirectionCosines"),
        reader.point(orientation, "ColumnDirectionCosines"),
    )
    return PlaneGeometry.checked((y_mm, x_mm), (*rows, *columns), reader.point(image, "Origin"))


def _pixels(reader: _MemberReader, image: NrbfObject) -> NDArray[np.uint16]:
    size = reader.object(image, "Dimension")
    rows, columns, slices = (reader.integer(size, name) for name in ("Rows", "Columns", "Slices"))
    if slices != 1 or not (0 < rows <= MAX_SIDE_PX and 0 < columns <= MAX_SIDE_PX):
        raise BadFrame(f"Dimension is {rows} x {columns} x {slices}; one image of up to {MAX_SIDE_PX} px is needed")
    layout = (
        reader.integer(image, "BytesPerVoxel"),
        reader.integer(image, "NoOfComponents"),
        reader.member(image, "Unsigned"),
    )
    if layout != (2, 1, True):
        raise BadFrame(f"(BytesPerVoxel, NoOfComponents, Unsigned) is {layout}; (2, 1, True) is read")
    data = reader.member(image, "Data")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.size != rows * columns * 2:
        held = f"{data.size} of {data.dtype}" if isinstance(data, np.ndarray) else type(data).__name__
        raise BadFrame(f"Data is {held}; {rows * columns * 2} bytes are needed for {rows} x {columns}")
    pixels: NDArray[np.uint16] = data.view("<u2").reshape(rows, columns)
    return pixels


def _outlines(reader: _MemberReader, result: NrbfObject, shape: tuple[int, ...]) -> dict[str, NDArray[np.bool_]]:
    outlines = {}
    for item in reader.items(result, "ResultStructures"):
        name, mask = reader.member(item, "m_Item1"), _pixels(reader, reader.object(item, "m_Item2")) != 0
        if mask.shape == shape and isinstance(name, str) and 0 < int(mask.sum()) <= MAX_OUTLINE_PX:
            outlines[name[:64]] = mask
    return outlines


def _centroid(reader: _MemberReader, result: NrbfObject) -> tuple[float, float, float] | None:
    if reader.optional(result, "Centroid") is None:
        return None
    centroid = reader.point(result, "Centroid")
    return centroid if all(isinstance(value, float) and np.isfinite(value) for value in centroid) else None


def _stages(reader: _MemberReader, root: NrbfObject) -> dict[str, float]:
    entries = reader.items(root, "TimingInfo")
    ticks = [reader.integer(entry, "Now") & _TICKS_OF_DATETIME for entry in entries]
    labels = [str(reader.member(entry, "Label"))[:80] for entry in entries]
    return {label: (tick - ticks[0]) / 1e4 for label, tick in zip(labels, ticks, strict=True)}


def _short(owner: NrbfObject) -> str:
    return owner.type_name.rpartition(".")[2][:40]
