"""A target from treatment planning: a structure of a DICOM RTSTRUCT, cut with the cine plane.

A structure set holds closed contours on parallel planes. Between two planes the outline is interpolated by shape: the
signed distances to both outlines are weighted linearly, and the zero level is the outline (Raya and Udupa, IEEE Trans
Med Imaging 9, 1990, doi:10.1109/42.52980). Beyond the last contour the structure continues for half a plane spacing.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadFrame, BadRecording
from drivers.formats.bounded import read_bounded
from drivers.recordings.cine_plane import CinePlane, Points, pixel_centres
from drivers.recordings.outlines import area_vector, half_gaps, signed_distances

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MAX_BYTES: Final = 256 * 2**20
MAX_CONTOURS: Final = 4096
MAX_POINTS: Final = 100_000
SAME_PLANE_MM: Final = 0.05
_DEFLATED: Final = b"1.2.840.10008.1.2.1.99"


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """The closed planar contours of one structure."""

    name: str
    contours_mm: tuple[Points, ...]
    """Each (points, 3), LPS."""
    frame_of_reference: str = ""
    """DICOM FrameOfReferenceUID of the contours; empty if unknown."""

    def mask_in(self, plane: CinePlane) -> NDArray[np.bool_]:
        """Return the pixels whose centres lie in the structure, (rows, columns).

        Raises
        ------
        BadRecording
            If the structure was drawn in a frame of reference other than the cine's.
        """
        self._check_frame_of_reference(plane)
        return self.contains(pixel_centres(plane))

    def contains(self, points_mm: Points) -> NDArray[np.bool_]:
        """Return which LPS points (..., 3) lie in the structure."""
        normal, across, up = self._axes()
        heights, flat = points_mm @ normal, np.stack([points_mm @ across, points_mm @ up], axis=-1)
        levels = self._levels(normal, across, up)
        inside = np.zeros(heights.shape, np.bool_)
        at = np.array([height for height, _ in levels])
        half_below, half_above = half_gaps(at)
        for index, (height, outlines) in enumerate(levels):
            above = (heights >= height) & (heights <= (at[index + 1] if index + 1 < len(at) else height + half_above))
            below = (heights < height) & (heights >= height - half_below) if index == 0 else np.zeros_like(above)
            inside[below] = signed_distances(outlines, flat[below]) > 0
            if index + 1 == len(levels):
                inside[above] = signed_distances(outlines, flat[above]) > 0
                continue
            share = (heights[above] - height) / (at[index + 1] - height)
            here, there = signed_distances(outlines, flat[above]), signed_distances(levels[index + 1][1], flat[above])
            inside[above] = (1 - share) * here + share * there > 0
        return inside

    def end_mm(self) -> Points:
        """Return how far the structure continues beyond its outermost contours, (3,) mm along the LPS axes."""
        normal, across, up = self._axes()
        at = np.array([height for height, _ in self._levels(normal, across, up)])
        continues: Points = np.abs(normal) * max(half_gaps(at))
        return continues

    @property
    def middle_mm(self) -> Points:
        """Middle of the box around its contours, (3,) LPS."""
        corners = np.concatenate(self.contours_mm)
        middle: Points = (corners.min(axis=0) + corners.max(axis=0)) / 2
        return middle

    def _check_frame_of_reference(self, plane: CinePlane) -> None:
        own, cine = self.frame_of_reference, plane.frame_of_reference
        if own and cine and own != cine:
            raise BadRecording(
                f"structure {self.name!r}: its FrameOfReferenceUID ends in {own[-8:]}, that of the cine in {cine[-8:]};"
                " it was drawn in another frame of reference and must first be registered to the cine's"
            )

    def _axes(self) -> tuple[Points, Points, Points]:
        """Return the normal of the contours and two directions within their planes, from the largest contour."""
        areas = [area_vector(contour) for contour in self.contours_mm]
        largest = max(areas, key=lambda area: float(np.linalg.norm(area)))
        size = float(np.linalg.norm(largest))
        if not size > 1e-6:
            raise BadRecording(f"structure {self.name!r}: its contours enclose no area")
        normal = largest / size
        across = np.cross(normal, np.eye(3)[int(np.argmin(np.abs(normal)))])
        across /= np.linalg.norm(across)
        return normal, across, np.cross(normal, across)

    def _levels(self, normal: Points, across: Points, up: Points) -> list[tuple[float, list[Points]]]:
        """Return the planes in order, each with its outlines as (points, 2)."""
        levels: list[tuple[float, list[Points]]] = []
        for contour in sorted(self.contours_mm, key=lambda points: float((points @ normal).mean())):
            heights = contour @ normal
            height = float(heights.mean())
            if not np.ptp(heights) < 2 * SAME_PLANE_MM:
                raise BadRecording(f"structure {self.name!r}: a contour leaves its plane by {np.ptp(heights):.2f} mm")
            outline = np.stack([contour @ across, contour @ up], axis=-1)
            if levels and height - levels[-1][0] < SAME_PLANE_MM:
                levels[-1][1].append(outline)
            else:
                levels.append((height, [outline]))
        return levels


def read_structure(path: Path, name: str) -> Structure:
    """Read one structure of an RTSTRUCT by its name (as in AAPM TG-263, doi:10.1016/j.ijrobp.2017.12.013).

    Upper and lower case matter only if two names differ in nothing else: TG-263 names are unique without them.

    Raises
    ------
    BadRecording
        One sentence. For an unknown name it lists the known ones.
    """
    dataset = _read_dataset(path)
    with _readable(path):
        structures, names = _structures(dataset)
        number = _chosen(path, names, name)
        contours = [
            contour
            for item in dataset.get("ROIContourSequence") or ()
            if int(item.ReferencedROINumber) == number
            for contour in item.get("ContourSequence") or ()
        ]
        drawn_in = str(structures[number].get("ReferencedFrameOfReferenceUID", ""))[:64]
        return Structure(names[number], _checked_contours(path, names[number], contours), drawn_in)


def structure_names(path: Path) -> list[str]:
    """Return the names of the structures of an RTSTRUCT. Raises `BadRecording`."""
    dataset = _read_dataset(path)
    with _readable(path):
        return list(_structures(dataset)[1].values())


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn whatever reading a hostile file raises into one sentence."""
    try:
        yield
    except BadRecording:
        raise
    except Exception as error:  # noqa: BLE001 (another library reads hostile input here, and may raise anything)
        raise BadRecording(f"{path}: is not a readable RTSTRUCT: {type(error).__name__}: {str(error)[:120]}") from None


def _structures(dataset: Dataset) -> tuple[dict[int, Dataset], dict[int, str]]:
    """Return the structures of a set, and their names, by number."""
    structures = {int(item.ROINumber): item for item in dataset.StructureSetROISequence}
    return structures, {number: str(item.ROIName).strip()[:64] for number, item in structures.items()}


def _read_dataset(path: Path) -> Dataset:
    import pydicom

    try:
        data = read_bounded(path, MAX_BYTES)
        if _DEFLATED in data:
            raise BadFrame("TransferSyntaxUID is deflated, which could unpack to any size")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(BytesIO(data))
            kind = str(dataset.get("Modality", ""))
    except Exception as error:  # noqa: BLE001 (as above)
        raise BadRecording(f"{path}: is not a readable RTSTRUCT: {str(error)[:160]}") from None
    if kind != "RTSTRUCT":
        raise BadRecording(f"{path}: Modality is {kind[:20]!r}; RTSTRUCT is needed")
    return dataset


def _chosen(path: Path, names: dict[int, str], name: str) -> int:
    for matches in (
        [number for number, known in names.items() if known == name],
        [number for number, known in names.items() if known.casefold() == name.casefold()],
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise BadRecording(f"{path}: structure {name!r} is present {len(matches)} times; one is needed")
    known = ", ".join(sorted(names.values())[:40]) or "none"
    raise BadRecording(f"{path}: there is no structure {name[:64]!r}; it holds {known}")


def _checked_contours(path: Path, name: str, items: Sequence[Dataset]) -> tuple[Points, ...]:
    if not 0 < len(items) <= MAX_CONTOURS:
        raise BadRecording(f"{path}: structure {name!r} has {len(items)} contours; 1 to {MAX_CONTOURS} are needed")
    contours: list[Points] = []
    for item in items:
        kind = str(item.get("ContourGeometricType", ""))
        if kind != "CLOSED_PLANAR":
            raise BadRecording(f"{path}: structure {name!r} has a contour of type {kind[:20]!r}; CLOSED_PLANAR is read")
        points = np.array([float(value) for value in item.ContourData], np.float64)
        if len(points) % 3 or len(points) < 9 or not (np.abs(points) <= 10_000).all():
            raise BadRecording(
                f"{path}: structure {name!r} has a contour of {len(points)} values; points x, y, z in mm are needed"
            )
        contours.append(points.reshape(-1, 3))
    if sum(map(len, contours)) > MAX_POINTS:
        raise BadRecording(f"{path}: structure {name!r} has more than {MAX_POINTS} points, the limit")
    return tuple(contours)
