"""`cinegate convert`: any recording that can be read, written as a file that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from cinegate.verbs.app import (
    EXIT_UNSAFE,
    CommandError,
    app,
    console,
    findings,
    next_steps,
    print_json,
    tell_assumed_times,
)
from cinegate.verbs.options import (
    JsonOption,
    PlaneOption,
    PositionIsOption,
    RateOption,
    RecordingArgument,
    SkipOption,
    SpacingOption,
)
from cinegate.verbs.progress import progress


@app.command()
def convert(
    recording: RecordingArgument,
    out: Annotated[
        Path, typer.Argument(help="NAME.npz, NAME.h5 (MRD), or a new folder: a TrackRAD2025 case.", metavar="OUT")
    ],
    pixel_spacing_mm: SpacingOption = None,
    plane: PlaneOption = "",
    frames_per_s: RateOption = None,
    skip_frames: SkipOption = None,
    position_is: PositionIsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Write a recording in another format, read it back, and compare frame by frame.

    An .npz holds everything. What the other formats cannot hold is said. Exit code 3 if it reads back otherwise.
    """
    from drivers.recordings import open_recording
    from drivers.recordings.writing import difference, stamp_tolerance_ns, write_recording

    opened = open_recording(
        recording,
        pixel_spacing_mm,
        plane=plane,
        frames_per_s=frames_per_s,
        skip_frames=skip_frames,
        position_is=position_is,
    )
    with progress(f"writing {out.name}", shown=not as_json):
        lost = write_recording(opened, out)
    with progress(f"reading {out.name} back", shown=not as_json):
        differs = difference(opened, open_recording(out), stamp_tolerance_ns(opened, out))
    if differs:
        raise CommandError(f"{out} reads back otherwise: {differs}", EXIT_UNSAFE)
    if as_json:
        print_json({"frames": len(opened), "lost": lost, "times_assumed": opened.times_assumed, "out": str(out)})
        return
    for sentence in lost:
        console.print(Text.assemble(("not kept:", "yellow"), f" {sentence}"))
    tell_assumed_times(assumed=opened.times_assumed)
    findings.print(f"{len(opened)} frames of {opened.name} in {out}, which reads back equal", highlight=False)
    next_steps(f"cinegate track {out}")
