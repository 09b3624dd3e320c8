"""Options that several verbs share, and how their texts become targets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cinegate.verbs.app import CommandError

if TYPE_CHECKING:
    from drivers.recordings import Recording
    from drivers.recordings.scan import Scan
    from gating.targets.spec import TargetSpec

RecordingArgument = Annotated[
    Path,
    typer.Argument(help="A .npz recording, a TrackRAD2025 case folder, a session log (.mcap), a movie; see `drivers`."),
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
RateOption = Annotated[
    float | None, typer.Option("--frames-per-s", help="For a recording without time stamps.", metavar="RATE")
]
SkipOption = Annotated[
    int | None,
    typer.Option(
        "--skip-frames", min=0, metavar="N", help="Frames to leave out at the start. [default: 5 of a .dat, else none]"
    ),
]
PositionIsOption = Annotated[
    str,
    typer.Option("--position-is", help="Of an MRD file: centre (the format), or corner.", metavar="POINT"),
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
MemoryOption = Annotated[
    Path | None, typer.Option("--memory", help="Memory that `cinegate prepare --memory` made of the same target.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]


def load_targets(recording: Recording | None, box: str | None, mask: Path | None, frame: int = 0) -> list[TargetSpec]:
    """Return the target that the options ask for, or the one that the recording holds, bound to the frame it lies in.

    Raises
    ------
    CommandError, TargetError
        If there is none, or it does not fit the frames; one sentence.
    """
    from cinegate.targets import make_targets

    if box is not None and mask is not None:
        raise CommandError("--target-box and --target-mask exclude each other")
    if box is None and mask is None and (recording is None or recording.target_contour_px is None):
        where = "" if recording is None else f"{recording.path} holds no target: "
        raise CommandError(f"{where}give --target-box X,Y,W,H or --target-mask FILE")
    drawn = mask if box is None else parse_box(box)
    return make_targets(drawn, recording, frame)


def load_scan_targets(
    scan: Scan, box: str | None, mask: Path | None, file: Path | None, frame: int = 0
) -> list[TargetSpec]:
    """Return the targets of a scan: those of a file, or one for each plane whose recording holds one.

    Raises
    ------
    CommandError, TargetError
        If there is none, one does not fit, or a box or mask would not say which plane it was drawn in.
    """
    from cinegate.targets import named_targets, scan_targets

    drawn = box is not None or mask is not None
    if file is not None and drawn:
        raise CommandError("--target excludes --target-box and --target-mask")
    if file is not None:
        return scan_targets(named_targets(file), scan)
    if len(scan.recordings) == 1:
        return load_targets(scan.first, box, mask, frame)
    if drawn:
        raise CommandError(f"{scan.name} shows {', '.join(scan.planes)}: give --target FILE, whose targets name theirs")
    return scan_targets(None, scan, frame)


def parse_box(text: str) -> tuple[float, float, float, float]:
    """Return the four numbers of `--target-box`. Raises `CommandError`."""
    try:
        x, y, width, height = (float(part) for part in text.split(","))
    except ValueError:
        raise CommandError(f"--target-box is {text!r}; four numbers X,Y,W,H are needed") from None
    return x, y, width, height
