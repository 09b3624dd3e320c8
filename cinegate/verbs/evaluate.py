"""`cinegate evaluate`: a tracker over labelled recordings, scored with the TrackRAD2025 metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from cinegate.outputs import output_folder
from cinegate.settings import load_config
from cinegate.verbs.app import app, console, findings, next_steps, print_json
from cinegate.verbs.options import ConfigOption, JsonOption, RateOption, TrackerOption
from cinegate.verbs.progress import counted


@app.command()
def evaluate(
    dataset: Annotated[
        Path, typer.Argument(help="Folder of labelled cases: TrackRAD2025 layout, .npz with tracks, .raw with .roi.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for metrics, masks and the HTML page.", show_default="~/cinegate/evaluate"),
    ] = None,
    config: ConfigOption = None,
    tracker: TrackerOption = None,
    prepare_frames: Annotated[
        int,
        typer.Option(
            "--prepare-frames", min=0, metavar="N", help="First frames of each case: its preparation, not scored."
        ),
    ] = 0,
    frames_per_s: RateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score a tracker: DSC, centre distance, HD95, MASD, relative D98 and seconds per frame.

    A frame that cannot be looked at keeps the mask before. A case whose target cannot be tracked keeps its first mask,
    is scored like that and named, and the exit code is 3; where that is so for all of them it is 2. Without a rate of
    their own, recordings have that of --frames-per-s, or 4 frames/s.
    """
    from cinegate.cases import read_cases
    from drivers.recordings.labelled import count_labelled
    from gating.evaluation import evaluate as evaluate_cases

    settings = load_config(config, tracker)
    out = out or output_folder("evaluate", dataset.resolve().name)
    found = evaluate_cases(
        counted(read_cases(dataset, frames_per_s), "tracking cases", count_labelled(dataset), shown=not as_json),
        out,
        settings.tracker,
        settings.tracking,
        prepare_frames=prepare_frames,
        progress=(lambda _: None) if as_json else lambda line: findings.print(line, highlight=False),
    )
    if as_json:
        print_json({**found.summary(), "out": str(out)})
    else:
        for sentence in found.refused.values():
            console.print(Text.assemble(("not tracked:", "red"), f" {sentence}"))
        findings.print(f"page: {out / 'report.html'}", highlight=False)
        next_steps(f"look at {out / 'report.html'}; every frame is in {out / 'frames.csv'}")
    if found.refused:
        raise typer.Exit(3)
