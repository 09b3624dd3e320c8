"""`cinegate phantom`: a test plan whose dose is a formula, and the sessions of a synthetic population."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cinegate.verbs.app import app, findings, next_steps, print_json
from cinegate.verbs.options import JsonOption

phantom_app = typer.Typer(
    help="Phantoms: a test plan in a water cylinder, or the sessions of synthetic patients.", no_args_is_help=True
)
app.add_typer(phantom_app, name="phantom")


@phantom_app.callback()
def _phantom() -> None:
    """Make a test plan in a water cylinder, or the sessions of synthetic patients."""


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


@phantom_app.command()
def cohort(
    out: Annotated[Path, typer.Option("--out", help="New folder for logs, truth.json and labels.csv.")],
    patients: Annotated[int, typer.Option("--patients", min=1, max=100_000)] = 20,
    fractions: Annotated[int, typer.Option("--fractions", min=1, max=40, help="Of each patient.")] = 5,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Another seed, other patients.")] = 1,
    population: Annotated[
        Path | None, typer.Option("--population", help="Motion and strategies (TOML), in place of the defaults.")
    ] = None,
    duration_s: Annotated[float | None, typer.Option("--duration-s", help="Of each session; 60 by default.")] = None,
    layout: Annotated[
        Literal["logs", "trackrad"], typer.Option("--layout", help="Session logs, or labelled TrackRAD2025 cases.")
    ] = "logs",
    processes: Annotated[
        int | None, typer.Option("--processes", min=1, help="At once; one for each processor by default.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make the sessions of synthetic patients whose systematic and random errors, drift and breathing are known.

    Each log is the engine's own, in process: it can be reported, verified, replayed and indexed. `truth.json` says what
    was planted.
    """
    from cinegate.synthetic_cohort import make_cohort
    from cinegate.verbs.progress import progress
    from drivers.phantom.population import read_population

    given: dict[str, float] = {"patients": patients, "fractions": fractions, "seed": seed}
    if duration_s is not None:
        given["duration_s"] = duration_s
    wanted = read_population(population, given)
    with progress("making sessions", patients * fractions, shown=not as_json) as step:
        made = make_cohort(wanted, out, layout, processes=processes, made=step)
    if as_json:
        print_json({"folder": str(out), "sessions": len(made.files), "planted": made.planted})
        return
    findings.print(f"{len(made.files)} sessions of {patients} patients in {out}", highlight=False)
    for axis, one in made.planted.items():
        findings.print(
            f"{axis}: Sigma {one['systematic_mm']:.2f} mm planted, {_known(one['sample_systematic_mm'])} in this "
            f"sample; sigma {one['random_mm']:.2f} mm planted, {_known(one['sample_random_mm'])} in this sample",
            highlight=False,
        )
    next_steps(f"cinegate sessions list {out}")


def _known(mm: float | None) -> str:
    from gating.analysis.unknown import number

    return f"{number(mm, 2)} mm"
