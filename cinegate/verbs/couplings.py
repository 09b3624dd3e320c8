"""`cinegate couplings`: what a dry run in two planes teaches of how a structure's axes move together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cinegate.outputs import output_folder
from cinegate.settings import load_config
from cinegate.verbs.app import app, findings, next_steps, print_json
from cinegate.verbs.options import ConfigOption, JsonOption
from cinegate.verbs.progress import progress


@app.command()
def couplings(
    session: Annotated[Path, typer.Argument(help="Session log (.mcap) of a dry run with interleaved planes.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The proposal, as a configuration file.", show_default="~/cinegate/prepare"),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose rules in 3D, with what a dry run has taught of how the axes move together.

    Nothing is applied: the proposal is a file, and takes effect in a session started with it as `--config`.
    """
    from gating.analysis.couplings import learned_couplings
    from gating.settings.config import to_toml

    settings = load_config(config, None)
    three_d = settings.gating.three_d
    with progress(f"learning from {session.name}", shown=not as_json):
        learned = learned_couplings(session, three_d)
    three_d = msgspec.structs.replace(three_d, on=True, couplings=learned)
    gating = msgspec.structs.replace(settings.gating, three_d=three_d)
    out = out or output_folder("prepare", f"{session.stem}_3d.toml")
    out.write_text(to_toml(msgspec.structs.replace(settings, gating=gating)), encoding="utf-8")
    if as_json:
        print_json({"couplings": msgspec.to_builtins(learned), "out": str(out)})
        return
    for one in learned:
        along, across = (" ".join(f"{part:+.2f}" for part in axis) for axis in (one.along_lps, one.across_lps))
        findings.print(
            f"{one.structure}: along ({along}) LPS, {one.slope:+.2f} mm/mm and {one.lag_s:+.2f} mm/(mm/s) across "
            f"({across}); bound grows by {one.growth_mm_s:.1f} mm/s, {one.bound_mm:.1f} mm if it is never seen",
            highlight=False,
        )
    findings.print(f"proposal in {out}", highlight=False)
    next_steps(f"cinegate live SOURCE --target FILE --config {out}")
