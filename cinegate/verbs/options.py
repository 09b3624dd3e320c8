"""Options that several verbs share, and how they become settings, targets and streams."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from cinegate.verbs.app import CommandError
from gating.messages import Pixels, StreamInfo
from gating.settings.config import Config, parse_config
from gating.settings.presets import read_preset

if TYPE_CHECKING:
    from drivers.recordings import Recording
    from drivers.recordings.scan import Scan
    from gating.targets.targets import TargetSpec

RecordingArgument = Annotated[
    Path, typer.Argument(help="A .npz recording, a TrackRAD2025 case folder, or a session log (.mcap).")
]
BoxOption = Annotated[
    str | None, typer.Option("--target-box", help="Target in the first frame: X,Y,W,H in pixels.", metavar="X,Y,W,H")
]
MaskOption = Annotated[
    Path | None,
    typer.Option("--target-mask", help="Target in the first frame: a mask (.mha, .nii, .npy), or RTSTRUCT.dcm:NAME."),
]
SpacingOption = Annotated[
    float | None, typer.Option("--pixel-spacing-mm", help="For a recording that does not hold its own.")
]
PlaneOption = Annotated[
    str,
    typer.Option("--plane", help="For a folder or scan of several: sagittal, coronal or transversal.", metavar="PLANE"),
]
PlanesOption = Annotated[
    str,
    typer.Option(
        "--plane",
        help="For a folder or scan of several: sagittal, coronal, transversal, or all of them in turn.",
        metavar="PLANE",
    ),
]
OthersOption = Annotated[
    list[Path] | None,
    typer.Option("--with", help="Another plane of the same scan, merged by its stamps; may be repeated."),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Settings (TOML), or preset:NAME; see `cinegate config --show`."),
]
TrackerOption = Annotated[str | None, typer.Option("--tracker", help="Tracker by name; overrides the configuration.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]


def load_config(path: Path | None, tracker: str | None = None) -> Config:
    """Read the configuration file, or the defaults. Raises `ConfigError` or `OSError`."""
    config = Config() if path is None else parse_config(_settings_text(path), str(path))
    if tracker is None:
        return config
    from msgspec.structs import replace

    return replace(config, tracker=tracker)


def _settings_text(path: Path) -> str:
    preset = str(path).removeprefix("preset:")
    return read_preset(preset) if preset != str(path) else path.read_text(encoding="utf-8")


def load_targets(recording: Recording | None, box: str | None, mask: Path | None) -> list[TargetSpec]:
    """Return the target that was asked for, or the one that the recording holds.

    Without a recording (a live source), the engine itself refuses a target that does not fit its first frame.

    Raises
    ------
    CommandError
        If there is none, or it does not fit the frames; one sentence.
    """
    from gating.geometry.contours import contour_from_mask
    from gating.targets.targets import TargetSpec

    if box is not None and mask is not None:
        raise CommandError("--target-box and --target-mask exclude each other")
    if box is not None:
        contour = _box(box, None if recording is None else recording.shape)
    elif mask is not None:
        contour = contour_from_mask(_mask(mask, recording))
    elif recording is not None and recording.target_contour_px is not None:
        contour = recording.target_contour_px
    else:
        where = "" if recording is None else f"{recording.path} holds no target: "
        raise CommandError(f"{where}give --target-box X,Y,W,H or --target-mask FILE")
    return [TargetSpec("target", np.ascontiguousarray(contour, np.float32))]


def load_scan_targets(scan: Scan, box: str | None, mask: Path | None, file: Path | None) -> list[TargetSpec]:
    """Return the targets of a scan: those of a file, or one for each plane whose recording holds one.

    Without a file, the targets of several planes are views of one structure, so that its position is known in 3D.

    Raises
    ------
    CommandError
        If there is none, one does not fit, or a box or mask would not say which plane it was drawn in.
    """
    from gating.targets.target_file import read_targets
    from gating.targets.targets import TargetSpec

    if file is not None:
        if box is not None or mask is not None:
            raise CommandError("--target excludes --target-box and --target-mask")
        return _fitting(read_targets(file), scan, file)
    if len(scan.recordings) == 1:
        return load_targets(scan.first, box, mask)
    if box is not None or mask is not None:
        raise CommandError(f"{scan.name} shows {', '.join(scan.planes)}: give --target FILE, whose targets name theirs")
    targets = [
        TargetSpec(f"target {one.plane}", np.ascontiguousarray(one.target_contour_px, np.float32), one.plane, "target")
        for one in scan.recordings
        if one.target_contour_px is not None
    ]
    if not targets:
        raise CommandError(f"{scan.name} holds no target: give --target FILE, with a target for each plane")
    return targets


def _fitting(targets: list[TargetSpec], scan: Scan, file: Path) -> list[TargetSpec]:
    rows, columns = scan.first.shape
    for target in targets:
        if target.plane not in ("", *scan.planes):
            raise CommandError(
                f"{file}: plane of {target.name} is {target.plane}; the scan is {', '.join(scan.planes)}"
            )
        inside = (target.contour_px >= -0.5) & (target.contour_px <= (columns - 0.5, rows - 0.5))
        if not inside.all():
            raise CommandError(f"{file}: {target.name} leaves the image of {columns} columns and {rows} rows")
    return targets


def _box(text: str, shape: tuple[int, int] | None) -> NDArray[np.float32]:
    from gating.geometry.contours import box_contour

    try:
        x, y, width, height = (float(part) for part in text.split(","))
    except ValueError:
        raise CommandError(f"--target-box is {text!r}; four numbers X,Y,W,H are needed") from None
    if not (0 < width < 4096 and 0 < height < 4096 and 0 <= x < 4096 and 0 <= y < 4096):
        raise CommandError(f"--target-box {text}: width and height must be above 0, and all four below 4096 px")
    rows, columns = shape or (4096, 4096)
    if not (x + width <= columns and y + height <= rows):
        raise CommandError(f"--target-box {text} leaves the image of {columns} columns and {rows} rows")
    return box_contour(x, y, width, height)


def _mask(path: Path, recording: Recording | None) -> NDArray[np.bool_]:
    from drivers.recordings.masks import read_target_mask

    mask = read_target_mask(path, recording)
    if recording is not None and mask.shape != recording.shape:
        raise CommandError(f"--target-mask {path} is {mask.shape}; the frames are {recording.shape} (rows, columns)")
    if not mask.any():
        raise CommandError(f"--target-mask {path} is empty; no pixel is above 0")
    return mask


def recording_stream(recording: Recording) -> StreamInfo:
    """Declare a recording as a stream that is read as fast as possible."""
    from drivers.recordings.scan import interleave
    from drivers.recordings.stream import declared_stream

    return declared_stream(interleave([recording]), source=recording.name, session_id="offline")


def recording_images(recording: Recording) -> Iterator[tuple[int, Pixels]]:
    """Yield (stamp in ns, pixels) of every frame."""
    for index, stamp_ns in enumerate(recording.stamps_ns):
        yield int(stamp_ns), recording.frames[index]
