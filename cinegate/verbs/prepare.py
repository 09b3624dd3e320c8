"""`cinegate prepare`: propose strategy and window from a dry run without beam."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from cinegate.outputs import output_folder
from cinegate.settings import load_config
from cinegate.verbs.app import CommandError, app, console, findings, next_command, next_steps, print_json
from cinegate.verbs.options import (
    BoxOption,
    ConfigOption,
    JsonOption,
    MaskOption,
    OthersOption,
    PlanesOption,
    RateOption,
    SkipOption,
    SpacingOption,
    TrackerOption,
)
from cinegate.verbs.progress import progress
from gating.settings.private_file import private_file


@app.command()
def prepare(
    context: typer.Context,
    recording: Annotated[Path, typer.Argument(help="Recording, session log (.mcap) or motion trace of the dry run.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The proposal, as a configuration file.", show_default="~/cinegate/prepare"),
    ] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=30, max=120, help="Length of the dry run.")] = 45.0,
    latency_ms: Annotated[
        float, typer.Option("--latency-ms", min=0, max=2000, help="Measured latency from acquisition to beam off.")
    ] = 250.0,
    max_residual_mm: Annotated[
        float | None,
        typer.Option(
            "--max-residual-mm",
            min=0.1,
            max=50,
            help="Largest residual motion (95 %); by default that of the preset.",
        ),
    ] = None,
    predictor: Annotated[str, typer.Option("--predictor", help="off, persistence, ridge, rls, kalman.")] = "off",
    target_box: BoxOption = None,
    target_mask: MaskOption = None,
    config: ConfigOption = None,
    tracker: TrackerOption = None,
    memory: Annotated[
        Path | None,
        typer.Option("--memory", help="Also learn a memory: key frames for the tracker, with a page that shows them."),
    ] = None,
    drop: Annotated[
        list[int] | None, typer.Option("--drop", help="Leave this key frame out of the memory; may be repeated.")
    ] = None,
    accept: Annotated[
        list[int] | None,
        typer.Option("--accept", help="The contour of this key frame was looked at and is right; may be repeated."),
    ] = None,
    correct: Annotated[
        list[str] | None,
        typer.Option("--correct", help="Put the outline of a mask in the place of a key frame's.", metavar="N=MASK"),
    ] = None,
    pixel_spacing_mm: SpacingOption = None,
    frames_per_s: RateOption = None,
    skip_frames: SkipOption = None,
    plane: PlanesOption = "",
    others: OthersOption = None,
    target: Annotated[
        Path | None, typer.Option("--target", help="Targets (JSON), each with its plane: name, plane, contour_px.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Learn range, period, exhale position and speed; propose strategy and window; predict the result of each margin.

    With planes imaged in turn (`--with`, or `--plane all`), the proposal judges in 3D and tells what that costs.

    Nothing is applied: the proposal is a file, and takes effect in a session started with it as `--config`.
    """
    from cinegate.verbs.following import followed_session
    from gating.analysis.preparation import CENTRED, MARGINS_MM, proposal_toml, propose
    from gating.prediction import PREDICTORS

    if (drop or accept or correct) and memory is None:
        raise CommandError("--drop, --accept and --correct change a memory: give --memory FILE")
    if memory is not None and (others or plane == "all"):
        raise CommandError("--memory is learned from one plane; prepare each plane by itself for it")
    if predictor not in ("off", *PREDICTORS):
        raise CommandError(f"--predictor is {predictor!r}; one of off, {', '.join(PREDICTORS)} is needed")
    settings = load_config(config, tracker)
    followed = followed_session(
        recording,
        settings,
        target_box=target_box,
        target_mask=target_mask,
        pixel_spacing_mm=pixel_spacing_mm,
        frames_per_s=frames_per_s,
        skip_frames=skip_frames,
        plane=plane,
        others=others or (),
        target_file=target,
        seconds=seconds,
        shown=not as_json,
    )
    with progress("deciding it under every margin", len(MARGINS_MM) * len(CENTRED), shown=not as_json) as step:
        proposal = propose(
            followed,
            settings,
            latency_ms=latency_ms,
            predictor=predictor,  # type: ignore[arg-type]  # checked above
            max_residual_mm=max_residual_mm,
            decided=step,
        )
    out = out or output_folder("prepare", f"{recording.stem}.toml")
    private_file(out).write_text(proposal_toml(proposal, settings, recording.name), encoding="utf-8")
    learned = {}
    if memory is not None:
        from cinegate.memory import learn_to_file
        from cinegate.recordings import open_recording

        opened = open_recording(
            recording, spacing_mm=pixel_spacing_mm, plane=plane, frames_per_s=frames_per_s, skip_frames=skip_frames
        )
        drawn = followed.specs[0]
        learned = learn_to_file(
            opened,
            drawn,
            memory,
            settings.tracking,
            seconds,
            drop or (),
            accept or (),
            _corrections(correct or []),
        )
    if as_json:
        import msgspec

        print_json({**msgspec.to_builtins(proposal), "out": str(out), **({"memory": learned} if learned else {})})
        return
    text = out.read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        findings.print(line[2:], highlight=False)
    findings.print(f"proposal: {out}", highlight=False)
    next_steps(f"to accept it: {next_command(context, 'run', recording, '--config', out)}")
    if learned:
        _print_memory(learned)


def _corrections(given: list[str]) -> dict[int, Path]:
    pairs = [text.partition("=") for text in given]
    for number, _, mask in pairs:
        if not (number.isdecimal() and mask):
            raise CommandError(f"--correct is {number}={mask}; the number of a key frame, =, and a mask are needed")
    return {int(number): Path(mask) for number, _, mask in pairs}


def _print_memory(learned: dict[str, Any]) -> None:
    for remark in learned["remarks"]:
        console.print(Text.assemble(("memory:", "yellow"), f" {remark}"))
    numbers = ", ".join(map(str, learned["key_frames"]))
    findings.print(f"memory: {learned['file']}, key frames {numbers}; fit at rest {learned['rest_score']:.2f}")
    next_steps(
        f"look at their contours in {learned['page']}; leave out what is wrong with --drop NUMBER, or put it "
        f"right with --correct NUMBER=MASK, and use the rest in a session with --memory {learned['file']}"
    )
