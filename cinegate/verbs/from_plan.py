"""`cinegate from-plan`, `from-session`, `accept`: a target of a plan or a session in a cine, and who accepted it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.text import Text

from cinegate.outputs import output_folder
from cinegate.verbs.app import app, console, findings, next_steps, print_json
from cinegate.verbs.options import JsonOption, PlaneOption, RateOption, SpacingOption
from cinegate.verbs.progress import progress

if TYPE_CHECKING:
    from cinegate.plan_target import PlanTarget
    from drivers.recordings import Recording


CineArgument = Annotated[Path, typer.Argument(help="Cine of the plane that will be treated; see `drivers`.")]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="The target file; its page stands beside it.", show_default="~/cinegate/targets"),
]
FrameOption = Annotated[int, typer.Option("--frame", min=0, help="Frame to which the contour is carried.")]


@app.command("from-plan")
def from_plan(
    volume: Annotated[Path, typer.Argument(help="Folder with the DICOM series of the day, or a volume file (.mha).")],
    structures: Annotated[Path, typer.Argument(help="RTSTRUCT drawn in it, or a mask volume (.mha, .nii.gz).")],
    name: Annotated[str, typer.Argument(help="Name of the structure.")],
    recording: CineArgument,
    out: OutOption = None,
    frame: FrameOption = 0,
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
    from cinegate.plan_target import carry_from_plan
    from drivers.recordings import open_recording

    opened = open_recording(recording, pixel_spacing_mm, plane=plane, frames_per_s=frames_per_s)
    with progress("registering", shown=not as_json):
        made = carry_from_plan(
            volume, structures, name, opened, frame=frame, surrogate=surrogate, patient_position=patient_position
        )
    _tell(made, opened, frame, out, as_json=as_json, position=patient_position)


@app.command("from-session")
def from_session(
    session: Annotated[Path, typer.Argument(help="Log (.mcap) or target file (.json) of another session.")],
    name: Annotated[str, typer.Argument(help="Name of the target.")],
    recording: CineArgument,
    out: OutOption = None,
    frame: FrameOption = 0,
    pixel_spacing_mm: SpacingOption = None,
    frames_per_s: RateOption = None,
    plane: PlaneOption = "",
    as_json: JsonOption = False,
) -> None:
    """Carry a target of another session to a cine, from the image in which it was drawn there.

    Nobody has accepted the contour then, and no live session takes it: look at its page, then use `cinegate accept`.
    """
    from cinegate.plan_target import carry_from_session
    from drivers.recordings import open_recording

    opened = open_recording(recording, pixel_spacing_mm, plane=plane, frames_per_s=frames_per_s)
    with progress("registering", shown=not as_json):
        made = carry_from_session(session, name, opened, frame=frame)
    _tell(made, opened, frame, out, as_json=as_json)


def _tell(
    made: PlanTarget, opened: Recording, frame: int, out: Path | None, *, as_json: bool, position: str = ""
) -> None:
    """Write the target and its page, and tell what is to be done with them."""
    from cinegate.plan_target import write_page
    from gating.geometry.plane import ImagePlane
    from gating.targets.target_file import write_targets

    name = made.target.name
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
    findings.print(f"{name}: carried to frame {frame} of {opened.name}, written to {out}", highlight=False)
    if made.couch_iec_mm is not None:
        x, y, z = made.couch_iec_mm
        findings.print(f"couch shift back X {x:+.1f} Y {y:+.1f} Z {z:+.1f} mm (IEC 61217, {position})", highlight=False)
    next_steps(f"xdg-open {page}", f"cinegate accept {out} --operator NAME")


@app.command()
def accept(
    target: Annotated[Path, typer.Argument(help="Target file of `from-plan` or `from-session`.")],
    operator: Annotated[str, typer.Option("--operator", help="Who has looked at the contour; goes into the log.")],
    why: Annotated[str, typer.Option("--why", help="Why it is accepted in spite of doubts.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Accept contours that were carried over, in the name of a person who has looked at them.

    A contour in doubt needs a reason. Without acceptance a live session refuses it.
    """
    from cinegate.plan_target import accept as accept_targets

    names = accept_targets(target, operator, why)
    if as_json:
        print_json({"accepted": names, "operator": operator})
        return
    findings.print(f"{', '.join(names)}: accepted by {operator}", highlight=False)
    next_steps(f"cinegate live SOURCE --target {target}")
