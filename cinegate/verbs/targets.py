"""`cinegate targets`: bind targets to the image in which they were drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cinegate.outputs import output_folder
from cinegate.verbs.app import app, findings, next_steps, print_json
from cinegate.verbs.options import (
    BoxOption,
    JsonOption,
    MaskOption,
    MemoryOption,
    OthersOption,
    PlanesOption,
    PositionIsOption,
    RateOption,
    RecordingArgument,
    SkipOption,
    SpacingOption,
    load_scan_targets,
)


@app.command()
def targets(
    recording: RecordingArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The target file, readable by its owner alone.", show_default="~/cinegate/targets"),
    ] = None,
    target_box: BoxOption = None,
    target_mask: MaskOption = None,
    frame: Annotated[int, typer.Option("--frame", min=0, help="Frame in which box or mask were drawn.")] = 0,
    pixel_spacing_mm: SpacingOption = None,
    frames_per_s: RateOption = None,
    skip_frames: SkipOption = None,
    position_is: PositionIsOption = "",
    plane: PlanesOption = "",
    others: OthersOption = None,
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write targets with the image in which they were drawn, for `cinegate engine --target`.

    The engine finds that image's target in its stream, whatever the breathing phase, before it can be armed. A live
    source takes no other targets. Draw them on a recording of the same plane: a session log, or the recorder's alone.
    """
    from cinegate.targets import with_memory
    from drivers.recordings.scan import open_scan
    from gating.targets.target_file import write_targets

    scan = open_scan(
        recording,
        pixel_spacing_mm,
        plane=plane,
        others=others or (),
        frames_per_s=frames_per_s,
        skip_frames=skip_frames,
        position_is=position_is,
    )
    made = with_memory(load_scan_targets(scan, target_box, target_mask, None, frame), memory)
    out = out or output_folder("targets", f"{scan.name}.json")
    write_targets(out, made)
    names = [one.name for one in made]
    if as_json:
        print_json({"targets": names, "frame": frame, "out": str(out)})
        return
    findings.print(f"{', '.join(names)}: drawn in frame {frame} of {scan.name}, written to {out}", highlight=False)
    next_steps(f"cinegate live SOURCE --target {out}")
