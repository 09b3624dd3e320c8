"""`cinegate track`: the engine over a recording, without sockets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.text import Text

from cinegate.outputs import output_folder
from cinegate.settings import load_config
from cinegate.verbs.app import (
    CommandError,
    app,
    console,
    findings,
    next_command,
    next_steps,
    print_json,
    tell_assumed_times,
)
from cinegate.verbs.options import (
    BoxOption,
    ConfigOption,
    JsonOption,
    MaskOption,
    MemoryOption,
    PlaneOption,
    PositionIsOption,
    RateOption,
    RecordingArgument,
    SkipOption,
    SpacingOption,
    TrackerOption,
    load_targets,
)
from cinegate.verbs.progress import progress

if TYPE_CHECKING:
    from cinegate.tables import Track

MANY_IN_DOUBT: Final = 0.3
"""Share of frames without a trusted track from which on the target itself is in question."""


@app.command()
def track(
    context: typer.Context,
    recording: RecordingArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Table to write, one row a frame (CSV).", show_default="~/cinegate/track"),
    ] = None,
    masks: Annotated[Path | None, typer.Option("--masks", help="Write the propagated target masks (.mha).")] = None,
    target_box: BoxOption = None,
    target_mask: MaskOption = None,
    config: ConfigOption = None,
    tracker: TrackerOption = None,
    pixel_spacing_mm: SpacingOption = None,
    frames_per_s: RateOption = None,
    skip_frames: SkipOption = None,
    position_is: PositionIsOption = "",
    plane: PlaneOption = "",
    memory: MemoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Track a recording offline: the same engine without sockets, deterministic, one row a frame.

    Columns: frame, t_s, x_px and y_px (target centre), si_mm and ap_mm (patient position, LPS; empty where the plane
    does not show the axis), confidence, status, target_out_fraction, gate, reason. What is not known is empty. A frame
    that cannot be looked at is refused and held, that one alone. A target that cannot be tracked at all leaves a table
    of holds, one sentence, and the exit code 2. Frames whose track was not trusted are counted by what was wrong.
    """
    from cinegate.recordings import open_recording
    from cinegate.targets import with_memory
    from cinegate.tracking import track_recording
    from gating.analysis.unknown import percent

    opened = open_recording(
        recording,
        spacing_mm=pixel_spacing_mm,
        plane=plane,
        frames_per_s=frames_per_s,
        skip_frames=skip_frames,
        position_is=position_is,
    )
    settings = load_config(config, tracker)
    targets = with_memory(load_targets(opened, target_box, target_mask), memory)
    with progress(f"tracking {opened.name}", len(opened), shown=not as_json) as step:
        result = track_recording(opened, targets, settings, decided=step)
    out = out or output_folder("track", f"{opened.name}.csv")
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
        findings.print(
            f"{len(result)} frames, beam permitted for {percent(result.duty_cycle)} of the time", highlight=False
        )
        tell_assumed_times(assumed=opened.times_assumed)
        if compared := result.against_own_track():
            findings.print(compared, highlight=False)
        for sentence in untrusted(result):
            findings.print(sentence, highlight=False)
        findings.print(f"table: {out}", highlight=False)
        next_steps(*(next_command(context, verb, recording) for verb in ("run", "whatif")))


def untrusted(result: Track) -> list[str]:
    """Return why frames were not trusted, most frequent first, and the question that a doubtful track raises."""
    status = result.table["status"]
    doubtful = Counter(status[(status != "tracked") & (status != "")].tolist())
    sentences = []
    for name, count in doubtful.most_common():
        why = Counter(detail for detail, one in zip(result.details, status, strict=True) if one == name and detail)
        most = f": {why.most_common(1)[0][0]}" if why else ""
        sentences.append(f"not trusted: {count} of {len(result)} frames, {name.replace('_', ' ')}{most}")
    if doubtful.total() > MANY_IN_DOUBT * len(result):
        sentences.append(
            "does the target lie where it was meant to, on a structure with edges of its own? Look at frame 0; "
            "give another --target-box or --target-mask if it does not"
        )
    return sentences


def _summary(result: Track, out: Path) -> dict[str, Any]:
    return {
        "frames": len(result),
        "duty_cycle": result.duty_cycle,
        "reasons": dict(Counter(result.table["reason"].tolist())),
        "status": dict(Counter(status or "none" for status in result.table["status"].tolist())),
        "not_trusted": untrusted(result),
        "times_assumed": result.recording.times_assumed,
        "out": str(out),
    }
