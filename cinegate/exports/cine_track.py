"""A folder for SlicerCineTrack, the extension of 3D Slicer that shows a target's track on its cine.

It takes a folder of images that it plays in the order of their names, a segmentation of the target, and a table with
a row for each image: the displacement of the target from the segmentation along the DICOM axes (LPS), mm. It refuses
a table with a row too few or without numbers, so that only frames in which the target was found are written.

Source: https://slicercinetrack.github.io/Documentation, and `validateTransformsInput` and
`createTransformNodesFromTransformData` of the extension's Track.py
(https://github.com/laboratory-for-translational-medicine/SlicerCineTrack).
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cinegate.exports.files import new_file, new_folder
from cinegate.exports.session import ExportedSession
from gating.errors import TargetError
from gating.geometry.contours import mask_from_contour
from gating.geometry.plane import ImagePlane
from gating.messages import FrameHeader, TargetReference

IMAGES: Final = "cine"
TRANSFORMS: Final = "Transforms.csv"
SEGMENTATION: Final = "Segmentation.mha"
THICKNESS_MM: Final = 5.0
"""Of the one slice, because the log does not say how thick it was."""


class CineTrackFolder(Struct, frozen=True, kw_only=True):
    """What was written."""

    folder: str
    target: str
    images: int
    left_out: int
    """Frames of the plane in which the target was not found."""


def write_cine_track(session: ExportedSession, folder: Path, target: str = "") -> CineTrackFolder:
    """Write the folder for one target: its plane's images, its segmentation and its displacements.

    Parameters
    ----------
    target
        Name; not needed if the session has only one.

    Raises
    ------
    TargetError
        If the target is not named among several, or is not there.
    OSError
        If the folder cannot be written, or holds something already.
    """
    import SimpleITK

    name = _chosen(session, target)
    reference = session.data.references[name]
    found = {one.frame_sequence: away_mm for one, _, away_mm in session.estimates(name) if np.isfinite(away_mm).all()}
    if not found:
        raise TargetError(f"target {name!r} was found in none of its frames; SlicerCineTrack needs its displacements")
    images = new_folder(folder) / IMAGES
    images.mkdir(mode=0o700)
    rows: list[list[str]] = []
    for frame in session.frames(reference.plane):
        if (away_mm := found.get(frame.header.sequence)) is not None:
            path = new_file(images / f"{len(rows):05d}.mha")
            SimpleITK.WriteImage(_image(frame.pixels, frame.header), str(path), useCompression=True)
            rows.append([f"{float(mm):.6f}" for mm in away_mm])
    with new_file(folder / TRANSFORMS).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["X", "Y", "Z"], *rows])
    _write_segmentation(session.planes[reference.plane][0], reference, folder / SEGMENTATION)
    of_plane = len(session.planes[reference.plane])
    return CineTrackFolder(folder=str(folder), target=name, images=len(rows), left_out=of_plane - len(rows))


def _chosen(session: ExportedSession, target: str) -> str:
    if target in session.motions or (not target and len(session.motions) == 1):
        return target or next(iter(session.motions))
    known = ", ".join(session.motions) or "none"
    raise TargetError(f"target is {target!r}; SlicerCineTrack shows one, and the session has {known}")


def _write_segmentation(header: FrameHeader, reference: TargetReference, path: Path) -> None:
    import SimpleITK

    mask = mask_from_contour(reference.contour_px, header.shape).astype(np.uint8)
    SimpleITK.WriteImage(_image(mask, header), str(new_file(path)), useCompression=True)


def _image(pixels: NDArray[np.generic], header: FrameHeader) -> Any:
    """Return an image of one slice, placed in the patient (LPS, as ITK has it)."""
    import SimpleITK

    plane = ImagePlane.of(header)
    normal = np.cross(plane.along_columns, plane.along_rows)
    image: Any = SimpleITK.GetImageFromArray(pixels[None])
    image.SetSpacing((plane.spacing_mm[1], plane.spacing_mm[0], THICKNESS_MM))
    image.SetOrigin([float(mm) for mm in plane.origin_mm])
    image.SetDirection(np.stack([plane.along_columns, plane.along_rows, normal], axis=1).ravel().tolist())
    return image
