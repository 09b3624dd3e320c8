"""`cinegate track`: the engine over a recording, without sockets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from cinegate.settings import load_config
from cinegate.verbs.app import CommandError, app, console, print_json
from cinegate.verbs.options import (
    BoxOption,
    ConfigOption,
    JsonOption,
    MaskOption,
    MemoryOption,
    PlaneOption,
    RecordingArgument,
    SpacingOption,
    TrackerOption,
    load_targets,
)

if TYPE_CHECKING:
    from cinegate.tables import Track


@app.command()
def track(
    recording: RecordingArgument,
    out: Annotated[Path, typer.Option("--out", help="Table to write, one row a frame (CSV).")] = Path("track.csv"),
    masks: Annotated[Path | None, typer.Option("--masks", help="Write the propagated target masks (.mha).")] = None,
    target_box: BoxOption = None,
    target_mask: MaskOption = None,
    config: ConfigOption = None,
    tracker: TrackerOption = None,
    pixel_spacing_mm: SpacingOption = None,
    plane: PlaneOption = "",
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Track a recording offline: the same engine without sockets, deterministic, one row a frame.

    Columns: frame, t_s, x_px and y_px (target centre), si_mm and ap_mm (patient position, LPS; empty where the plane
    does not show the axis), confidence, status, target_out_fraction, gate, reason. What is not known is empty. A frame
    that cannot be looked at is refused and held, that one alone. A target that cannot be tracked at all leaves a table
    of holds, one sentence, and the exit code 2.
    """
    from cinegate.recordings import open_recording
    from cinegate.targets import with_memory
    from cinegate.tracking import track_recording
    from gating.analysis.unknown import percent

    opened = open_recording(recording, spacing_mm=pixel_spacing_mm, plane=plane)
    settings = load_config(config, tracker)
    targets = with_memory(load_targets(opened, target_box, target_mask), memory)
    result = track_recording(opened, targets, settings)
    result.write_csv(out)
    if masks is not None:
        result.write_masks(masks)
    for number, fault in result.faults:
        console.print(Text.assemble((f"frame {number}:", "red"), f" {fault.text}"))
    refused = result.table["frame"][result.table["status"] == "refused"]
    if len(refused):
        first = int(refused[0])
        said = f" {len(refused)} of {len(result)} frames, first {first}: {result.details[first]}"
        console.print(Text.assemble(("refused:", "red"), said))
    if result.problem:
        raise CommandError(result.problem)
    if as_json:
        print_json(_summary(result, out))
    else:
        console.print(
            f"{len(result)} frames tracked, beam permitted for {percent(result.duty_cycle)} of the time, table in {out}"
        )


def _summary(result: Track, out: Path) -> dict[str, Any]:
    return {
        "frames": len(result),
        "duty_cycle": result.duty_cycle,
        "reasons": dict(Counter(result.table["reason"].tolist())),
        "status": dict(Counter(status or "none" for status in result.table["status"].tolist())),
        "out": str(out),
    }
