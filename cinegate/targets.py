"""Targets as a user hands them over: a box, a contour, a mask, a file, or what the recording holds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gating.errors import TargetError
from gating.geometry.contours import box_contour, contour_from_mask
from gating.targets.image import TargetImage
from gating.targets.spec import TargetSpec
from gating.targets.target_file import read_targets
from gating.wire.pixels import content_hash

if TYPE_CHECKING:
    from drivers.recordings import Recording
    from drivers.recordings.scan import Scan
    from gating.settings.sites import SiteSettings

Target = TargetSpec | Sequence[TargetSpec] | str | os.PathLike[str] | ArrayLike
"""A box (x, y, width, height), a contour (n, 2), a mask (rows, columns), a file, or targets with names."""

MAX_SIDE_PX: Final = 4096
_KINDS: Final = "a box (x, y, width, height), a contour (n, 2) of (x, y), a mask (rows, columns) or a mask file"


def make_targets(target: Target | None, recording: Recording | None, frame: int = 0) -> list[TargetSpec]:
    """Return the targets that were asked for, or the one that the recording holds, bound to the frame they lie in.

    Without a recording, a target that has no image is one of the stream's first frame, which a live source refuses.

    Parameters
    ----------
    target
        In the first frame: a box (x, y, width, height), px; a contour, (n, 2) of (x, y), px; a mask, (rows, columns);
        a mask file (`.mha`, `.nii`, `.npy`), `RTSTRUCT.dcm:NAME`, a target file (`.json`) or the log of a session with
        targets (`.mcap`); one `TargetSpec` or more.
    frame
        Number of the recording's frame in which the target was drawn. What a recording holds is in its first one.

    Raises
    ------
    TargetError
        If there is none, or it does not fit the frames; one sentence.
    BadRecording
        If the frame is damaged.
    """
    if _is_named(target):
        specs = _named(target)
        if recording is None:
            return specs
        return _bound(_fitting(specs, (recording.plane,), recording.shape), [recording], frame)
    if target is None and frame != 0:
        raise TargetError(f"frame is {frame}; what a recording holds as its target is in frame 0")
    contour = _held_contour(recording) if target is None else _contour(target, recording)
    specs = [TargetSpec("target", np.ascontiguousarray(contour, np.float32))]
    return specs if recording is None else _bound(specs, [recording], frame)


def _bound(specs: list[TargetSpec], recordings: Sequence[Recording], frame: int = 0) -> list[TargetSpec]:
    """Return targets with the image in which they were drawn: their own, or a frame of the recording of their plane."""
    images: dict[str, TargetImage] = {}
    for recording in recordings:
        if not 0 <= frame < len(recording):
            raise TargetError(f"frame is {frame}; {recording.path} has frames 0 to {len(recording) - 1}")
        pixels = recording.frames[frame]
        images[recording.plane] = TargetImage.of(recording, pixels, content_hash(pixels))
    first = recordings[0].plane
    return [spec if spec.image is not None else replace(spec, image=images[spec.plane or first]) for spec in specs]


def scan_targets(target: Target | None, scan: Scan, frame: int = 0) -> list[TargetSpec]:
    """Return the targets of a scan: those asked for, or one for each plane whose recording holds one.

    They are bound to a frame of their plane, by default the first, unless they bring an image of their own.

    Targets that the recordings of several planes hold are views of one structure, so that its position is known in 3D.

    Raises
    ------
    TargetError
        If there is none, one does not fit, or a box or mask would not say which plane it was drawn in.
    """
    if _is_named(target):
        return _bound(_fitting(_named(target), scan.planes, scan.first.shape), scan.recordings, frame)
    if len(scan.recordings) == 1:
        return make_targets(target, scan.first, frame)
    if frame != 0:
        raise TargetError(f"frame is {frame}; what a recording holds as its target is in frame 0")
    if target is not None:
        raise TargetError(f"{scan.name} shows {', '.join(scan.planes)}; give targets that name their plane")
    targets = [
        TargetSpec(f"target {one.plane}", np.ascontiguousarray(one.target_contour_px, np.float32), one.plane, "target")
        for one in scan.recordings
        if one.target_contour_px is not None
    ]
    if not targets:
        raise TargetError(f"{scan.name} holds no target; one is needed for each plane")
    return _bound(targets, scan.recordings)


def with_memory(targets: Sequence[TargetSpec], memory: Path | None) -> list[TargetSpec]:
    """Return targets, the one that a memory was learned of with the memory.

    Raises
    ------
    TargetError
        If no target was drawn in the memory's picture.
    TrackingError
        If the file does not hold a memory.
    """
    if memory is None:
        return list(targets)
    from gating.tracking.memory_file import read_memory

    learned = read_memory(memory)
    fits = [spec.image is not None and spec.image.content_hash == learned.picture_hash for spec in targets]
    if not any(fits):
        raise TargetError(f"{memory} was learned from picture {learned.picture_hash}, in which no target was drawn")
    return [replace(spec, memory=learned) if fit else spec for spec, fit in zip(targets, fits, strict=True)]


def named_targets(path: Path) -> list[TargetSpec]:
    """Return the targets of a target file (`.json`), or those with which a session (`.mcap`) went on to its end.

    Raises
    ------
    TargetError, SessionError
        If there are none, or the image of one is missing or damaged; one sentence.
    OSError
        If the file cannot be read.
    """
    if path.suffix != ".mcap":
        return read_targets(path)
    from gating.analysis.logged_targets import session_targets

    return session_targets(path)


def site_targets(sites: Sequence[SiteSettings]) -> dict[str, list[TargetSpec]]:
    """Return the targets of every site, by the site's name.

    Raises
    ------
    TargetError
        If two sites or the targets of two sites have one name, or as for `named_targets`; one sentence.
    OSError
        If a file cannot be read.
    """
    found: dict[str, list[TargetSpec]] = {}
    owners: dict[str, str] = {}
    for site in sites:
        if site.name in found:
            raise TargetError(f"sites: {site.name} appears twice; names must differ")
        found[site.name] = named_targets(Path(site.target))
        for spec in found[site.name]:
            owner = owners.setdefault(spec.name, site.name)
            if owner != site.name:
                raise TargetError(f"sites {owner} and {site.name} both have a target {spec.name}; names must differ")
    return found


def _is_named(target: object) -> TypeGuard[TargetSpec | Sequence[TargetSpec] | str | os.PathLike[str]]:
    """Whether these are targets with names: `TargetSpec`s, a file of them, or a session that had them."""
    if isinstance(target, str | os.PathLike):
        return Path(target).suffix in (".json", ".mcap")
    several = target if isinstance(target, list | tuple) else [target]
    return bool(several) and all(isinstance(one, TargetSpec) for one in several)


def _named(target: TargetSpec | Sequence[TargetSpec] | str | os.PathLike[str]) -> list[TargetSpec]:
    if isinstance(target, str | os.PathLike):
        return named_targets(Path(target))
    return [target] if isinstance(target, TargetSpec) else list(target)


def _fitting(targets: list[TargetSpec], planes: Sequence[str], shape: tuple[int, int]) -> list[TargetSpec]:
    rows, columns = shape
    for target in targets:
        if target.plane not in ("", *planes):
            raise TargetError(f"plane of {target.name} is {target.plane}; the scan is {', '.join(planes)}")
        if not _inside(target.contour_px, shape):
            raise TargetError(f"{target.name} leaves the image of {columns} columns and {rows} rows")
    return targets


def _inside(contour_px: NDArray[Any], shape: tuple[int, int]) -> bool:
    return bool(((contour_px >= -0.5) & (contour_px <= (shape[1] - 0.5, shape[0] - 0.5))).all())


def _held_contour(recording: Recording | None) -> NDArray[np.float32]:
    if recording is None or recording.target_contour_px is None:
        where = "" if recording is None else f"{recording.path} holds no target; "
        raise TargetError(f"{where}a target is needed: {_KINDS}")
    return recording.target_contour_px


def _contour(target: Any, recording: Recording | None) -> NDArray[Any]:
    if isinstance(target, str | os.PathLike):
        from drivers.recordings.masks import read_target_mask

        return _outline(read_target_mask(Path(target), recording), f"target mask {os.fspath(target)}", recording)
    try:
        array = np.asarray(target)
    except ValueError:
        array = np.array(None)
    if array.dtype.kind not in "buif":
        raise TargetError(f"target is {str(target)[:60]}; {_KINDS} is needed")
    if array.shape == (4,):
        return _box(array, None if recording is None else recording.shape)
    if array.ndim == 2 and array.shape[1] == 2:
        return _drawn(array, recording)
    if array.ndim == 2:
        return _outline(array > 0, "target mask", recording)
    raise TargetError(f"target is an array of shape {array.shape}; {_KINDS} is needed")


def _box(box: NDArray[Any], shape: tuple[int, int] | None) -> NDArray[np.float32]:
    x, y, width, height = (float(number) for number in box)
    said = f"target box {x:g}, {y:g}, {width:g}, {height:g}"
    side = MAX_SIDE_PX
    if not (0 < width < side and 0 < height < side and 0 <= x < side and 0 <= y < side):
        raise TargetError(f"{said}: width and height must be above 0, x and y 0 or more, and all four below {side} px")
    rows, columns = shape or (side, side)
    if not (x + width <= columns and y + height <= rows):
        raise TargetError(f"{said} leaves the image of {columns} columns and {rows} rows")
    return box_contour(x, y, width, height)


def _drawn(contour: NDArray[Any], recording: Recording | None) -> NDArray[Any]:
    if len(contour) < 3 or not np.isfinite(contour).all():
        raise TargetError(f"target contour has shape {contour.shape}; 3 or more finite points (x, y) are needed")
    rows, columns = (MAX_SIDE_PX, MAX_SIDE_PX) if recording is None else recording.shape
    if not _inside(contour, (rows, columns)):
        raise TargetError(f"target contour leaves the image of {columns} columns and {rows} rows")
    return contour


def _outline(mask: NDArray[np.bool_], what: str, recording: Recording | None) -> NDArray[np.float32]:
    if recording is not None and mask.shape != recording.shape:
        raise TargetError(f"{what} is {mask.shape}; the frames are {recording.shape} (rows, columns)")
    if not mask.any():
        raise TargetError(f"{what} is empty; no pixel is above 0")
    return contour_from_mask(mask)
