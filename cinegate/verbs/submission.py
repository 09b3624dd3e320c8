"""`cinegate submission`: the interface of an algorithm in the TrackRAD2025 challenge, without a container."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cinegate.settings import load_config
from cinegate.verbs.app import app, findings, print_json
from cinegate.verbs.options import ConfigOption, JsonOption, TrackerOption
from cinegate.verbs.progress import progress

FIGURES = ("frame_count", "not_tracked", "confident_fraction", "seconds_per_frame", "track_p99_ms", "total_runtime")


@app.command()
def submission(
    input_folder: Annotated[
        Path,
        typer.Option("--input", help="Folder of images/mri-linacs, images/mri-linac-target and frame-rate.json."),
    ] = Path("/input"),
    output_folder: Annotated[
        Path, typer.Option("--output", help="Folder; the masks go to images/mri-linac-series-targets/output.mha in it.")
    ] = Path("/output"),
    config: ConfigOption = None,
    tracker: TrackerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Track one case as the TrackRAD2025 challenge requires of an algorithm: images and first label in, masks out.

    The mask of each frame depends on that frame and those before it. Without frame-rate.json, 4 frames/s are assumed.
    """
    from cinegate.cases import case_of
    from drivers.recordings.labelled import read_submission
    from gating.evaluation.masks import MASKS_FOLDER, write_masks
    from gating.evaluation.run import run_case
    from gating.evaluation.score import predicted_masks, score_case

    settings = load_config(config, tracker)
    case = case_of(read_submission(input_folder))
    with progress(f"tracking {case.name}", len(case.frames) - 1, shown=not as_json) as step:
        run = run_case(case, settings.tracker, settings.tracking, tracked=step)
    masks = predicted_masks(run)
    path = output_folder / MASKS_FOLDER / "output.mha"
    write_masks(path, masks, case.pixel_spacing_mm, case.grid)
    figures, _ = score_case(run, masks)
    if as_json:
        shown = {name: figures[name] for name in FIGURES}
        rate = round(1 / float(case.elapsed_s[1]), 6)
        print_json({"case_id": case.name, "frames_per_s": rate, **shown, "out": str(path)})
    else:
        findings.print(
            f"{case.name}: {len(masks)} masks in {path}, {1e3 * figures['seconds_per_frame']:.2f} ms a frame"
        )
