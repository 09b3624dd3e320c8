"""`cinegate from-plan` and `cinegate accept`: a target of a plan in the plane of a cine, and who has accepted it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.text import Text

from cinegate.outputs import output_folder
from cinegate.verbs.app import app, console, findings, next_steps, print_json
from cinegate.verbs.options import JsonOption, PlaneOption, RateOption, SpacingOption
from cinegate.verbs.progress import progress


@app.command("from-plan")
def from_plan(
    volume: Annotated[Path, typer.Argument(help="Folder with the DICOM series of the day, or a volume file (.mha).")],
    structures: Annotated[Path, typer.Argument(help="RTSTRUCT drawn in it, or a mask volume (.mha, .nii.gz).")],
    name: Annotated[str, typer.Argument(help="Name of the structure.")],
    recording: Annotated[Path, typer.Argument(help="Cine of the plane that will be treated; see `drivers`.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The target file; its page stands beside it.", show_default="~/cinegate/targets"),
    ] = None,
    frame: Annotated[int, typer.Option("--frame", min=0, help="Frame to which the contour is carried.")] = 0,
    surrogate: Annotated[
        bool, typer.Option("--surrogate", help="The structure is meant to be none of the plan's targets.")
    ] = False,
    patient_position: Annotated[
        str, typer.Option("--patient-position", help="HFS, HFP, FFS or FFP, for the shifts.")
    ] = "HFS",
    pixel_spacing_mm: SpacingOption = None,
    frames_per_s: RateOption = None,
    plane: PlaneOption = "",
    as_json: JsonOption = False,
) -> None:
    """Carry a target of a plan to a cine: registered rigidly, then deformed, and cut with the plane.

    Nobody has accepted the contour then, and no live session takes it: look at its page, then use `cinegate accept`.
    """
    from cinegate.plan_target import carry_from_plan, write_page
    from drivers.recordings import open_recording
    from gating.geometry.plane import ImagePlane
    from gating.targets.target_file import write_targets

    opened = open_recording(recording, pixel_spacing_mm, plane=plane, frames_per_s=frames_per_s)
    with progress("registering", shown=not as_json):
        made = carry_from_plan(
            volume, structures, name, opened, frame=frame, surrogate=surrogate, patient_position=patient_position
        )
    out = out or output_folder("targets", f"{opened.name}_{name}.json")
    page = out.with_suffix(".html")
    write_targets(out, [made.target])
    write_page(made, opened.frames[frame], ImagePlane.of(opened), page)
    if as_json:
        print_json(
            {
                "target": name,
                "out": str(out),
                "page": str(page),
                "quality": msgspec.to_builtins(made.carried.quality),
                "doubts": made.carried.doubts,
                "shift_lps_mm": made.carried.shift_lps_mm,
                "couch_iec_mm": made.couch_iec_mm,
                "isocentre_iec_mm": made.isocentre_iec_mm,
            }
        )
        return
    for doubt in made.carried.doubts:
        console.print(Text.assemble(("in doubt:", "yellow"), f" {doubt}"))
    x, y, z = made.couch_iec_mm
    findings.print(f"{name}: carried to frame {frame} of {opened.name}, written to {out}", highlight=False)
    findings.print(
        f"couch shift back X {x:+.1f} Y {y:+.1f} Z {z:+.1f} mm (IEC 61217, {patient_position})", highlight=False
    )
    next_steps(f"xdg-open {page}", f"cinegate accept {out} --operator NAME")


@app.command()
def accept(
    target: Annotated[Path, typer.Argument(help="Target file that `cinegate from-plan` made.")],
    operator: Annotated[str, typer.Option("--operator", help="Who has looked at the contour; goes into the log.")],
    why: Annotated[str, typer.Option("--why", help="Why it is accepted in spite of doubts.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Accept contours that were carried over from a plan, in the name of a person who has looked at them.

    A contour in doubt needs a reason. Without acceptance a live session refuses it.
    """
    from cinegate.plan_target import accept as accept_targets

    names = accept_targets(target, operator, why)
    if as_json:
        print_json({"accepted": names, "operator": operator})
        return
    findings.print(f"{', '.join(names)}: accepted by {operator}", highlight=False)
    next_steps(f"cinegate live SOURCE --target {target}")
