"""`cinegate phantom plan`: a test plan whose dose is a formula, as DICOM."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cinegate.verbs.app import app, findings, next_steps, print_json
from cinegate.verbs.options import JsonOption

phantom_app = typer.Typer(help="Phantoms: a test plan in a water cylinder.", no_args_is_help=True)
app.add_typer(phantom_app, name="phantom")


@phantom_app.callback()
def _phantom() -> None:
    """Make a test plan in a water cylinder."""


@phantom_app.command()
def plan(
    out: Annotated[Path, typer.Argument(help="Folder for plan, structures and doses.")],
    radius_mm: Annotated[float, typer.Option("--radius-mm", min=3, max=60, help="Of the target, a sphere.")] = 15.0,
    margin_mm: Annotated[float, typer.Option("--margin-mm", min=0, max=20, help="From GTV to PTV.")] = 5.0,
    aperture_mm: Annotated[
        float, typer.Option("--aperture-mm", min=0, max=20, help="From PTV to the edge of the beams.")
    ] = 5.0,
    penumbra_mm: Annotated[
        float, typer.Option("--penumbra-mm", min=0.5, max=20, help="1 SD; 3.2 in water, 6.4 in lung.")
    ] = 3.2,
    beams: Annotated[int, typer.Option("--beams", min=1, max=36, help="At even angles.")] = 7,
    prescribed_gy: Annotated[
        float, typer.Option("--prescribed-gy", min=0.1, max=200, help="To 95 % of the PTV.")
    ] = 45.0,
    fractions: Annotated[int, typer.Option("--fractions", min=1, max=100)] = 3,
    spacing_mm: Annotated[float, typer.Option("--spacing-mm", min=0.5, max=10, help="Of the dose grid.")] = 2.5,
    as_json: JsonOption = False,
) -> None:
    """Write RTPLAN, RTSTRUCT and RTDOSE (of the plan and of each beam): conformal beams with an analytic penumbra.

    The target's centre is the isocentre. The dose is a formula, so what motion does to it can be known.
    """
    import msgspec

    from drivers.phantom.water_plan import WaterPlan
    from drivers.plans.writing import PlanFiles

    given = {
        "target_radius_mm": radius_mm, "margin_mm": margin_mm, "aperture_mm": aperture_mm, "penumbra_mm": penumbra_mm,
        "beams": beams, "prescribed_gy": prescribed_gy, "fractions": fractions, "spacing_mm": spacing_mm,
    }  # fmt: skip
    files = PlanFiles(msgspec.convert(given, WaterPlan)).write(out)
    if as_json:
        print_json({"files": [str(path) for path in files], "plan": given})
        return
    findings.print("\n".join(map(str, files)), highlight=False)
    next_steps(
        f"cinegate dose LOG --dose {out}/dose.dcm --structures {out}/structures.dcm --plan {out}/plan.dcm --target GTV"
    )
