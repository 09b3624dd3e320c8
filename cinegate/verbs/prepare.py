"""`cinegate prepare`: propose strategy and window from a dry run without beam."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cinegate.settings import load_config
from cinegate.verbs.app import CommandError, app, console, print_json
from cinegate.verbs.options import BoxOption, ConfigOption, JsonOption, MaskOption, SpacingOption, TrackerOption


@app.command()
def prepare(
    recording: Annotated[Path, typer.Argument(help="Recording, session log (.mcap) or motion trace of the dry run.")],
    out: Annotated[Path, typer.Option("--out", help="The proposal, as a configuration file.")] = Path("proposal.toml"),
    seconds: Annotated[float, typer.Option("--seconds", min=30, max=120, help="Length of the dry run.")] = 45.0,
    latency_ms: Annotated[
        float, typer.Option("--latency-ms", min=0, max=2000, help="Measured latency from acquisition to beam off.")
    ] = 250.0,
    predictor: Annotated[str, typer.Option("--predictor", help="off, persistence, ridge, rls, kalman.")] = "off",
    target_box: BoxOption = None,
    target_mask: MaskOption = None,
    config: ConfigOption = None,
    tracker: TrackerOption = None,
    pixel_spacing_mm: SpacingOption = None,
    as_json: JsonOption = False,
) -> None:
    """Learn range, period, exhale position and speed; propose strategy and window; predict the result of each margin.

    Nothing is applied: the proposal is a file, and takes effect in a session started with it as `--config`.
    """
    from cinegate.verbs.sessions import followed_session
    from gating.analysis.preparation import proposal_toml, propose
    from gating.prediction import PREDICTORS

    if predictor not in ("off", *PREDICTORS):
        raise CommandError(f"--predictor is {predictor!r}; one of off, {', '.join(PREDICTORS)} is needed")
    settings = load_config(config, tracker)
    followed = followed_session(
        recording,
        settings,
        target_box=target_box,
        target_mask=target_mask,
        pixel_spacing_mm=pixel_spacing_mm,
        seconds=seconds,
    )
    proposal = propose(followed, settings, latency_ms=latency_ms, predictor=predictor)  # type: ignore[arg-type]
    out.write_text(proposal_toml(proposal, settings, recording.name), encoding="utf-8")
    if as_json:
        import msgspec

        print_json({**msgspec.to_builtins(proposal), "out": str(out)})
        return
    text = out.read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        console.print(line[2:], highlight=False)
    console.print(f"proposal: {out} (to accept it, start a session with --config {out})")
