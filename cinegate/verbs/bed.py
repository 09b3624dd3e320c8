"""`cinegate bed`: biologically effective dose, isotoxic scaling, MAESTRO's size criteria. Arithmetic, not advice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cinegate.verbs.app import CommandError, app, print_json
from cinegate.verbs.options import JsonOption

if TYPE_CHECKING:
    from gating.analysis.bed import OrganAtRisk

ABLATIVE_BED_GY: Final = 100.0
"""BED (alpha/beta 10 Gy) that MAESTRO requires: Hoegen et al. 2022, doi:10.1186/s13014-022-02033-2."""


@app.command()
def bed(
    fractions: Annotated[int, typer.Option("--fractions", min=1, max=100)],
    dose_gy: Annotated[float, typer.Option("--dose-gy", min=0, max=100, help="Dose per fraction, to the isodose.")],
    isodose: Annotated[
        float, typer.Option("--isodose", min=1, max=100, help="Isodose of the prescription, % of the maximum.")
    ] = 100.0,
    alpha_beta_gy: Annotated[float, typer.Option("--alpha-beta-gy", help="Of the tumour.")] = 10.0,
    late_alpha_beta_gy: Annotated[float, typer.Option("--late-alpha-beta-gy", help="Of late-responding tissue.")] = 3.0,
    goal_gy: Annotated[float, typer.Option("--goal-gy", min=0.1, help="Required BED.")] = ABLATIVE_BED_GY,
    organ: Annotated[
        list[str] | None,
        typer.Option("--organ", help="NAME:DOSE:LIMIT, planned and allowed Gy per fraction; may be repeated."),
    ] = None,
    organ_dose_gy: Annotated[
        float | None, typer.Option("--organ-dose-gy", help="Planned dose per fraction to one organ at risk.")
    ] = None,
    organ_limit_gy: Annotated[
        float | None, typer.Option("--organ-limit-gy", help="Limit of that organ's dose per fraction.")
    ] = None,
    diameters_cm: Annotated[
        str | None, typer.Option("--diameters-cm", help="Liver metastases, to check against MAESTRO's size criteria.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show BED = n d (1 + d / (alpha/beta)), whether it reaches a goal, and the dose at the organs' limits."""
    from gating.analysis.bed import MOST_GY, bed_gy, dose_for_bed_gy, isotoxic, maestro_objection, maximum_gy

    tumour_gy, most_gy = bed_gy(fractions, dose_gy, alpha_beta_gy), maximum_gy(dose_gy, isodose / 100)
    goal_dose_gy = dose_for_bed_gy(goal_gy, fractions, alpha_beta_gy)
    found: dict[str, Any] = {
        "fractions": fractions,
        "dose_gy": dose_gy,
        "isodose_percent": isodose,
        "bed_gy": tumour_gy,
        "maximum_gy": most_gy,
        "maximum_bed_gy": bed_gy(fractions, most_gy, alpha_beta_gy),
        "late_bed_gy": bed_gy(fractions, dose_gy, late_alpha_beta_gy),
        "goal_gy": goal_gy,
        "goal_reached": tumour_gy >= goal_gy,
        "dose_for_goal_gy": goal_dose_gy if goal_dose_gy <= MOST_GY else None,
        "caution": _caution(dose_gy, most_gy),
    }
    if organs := _organs(organ, organ_dose_gy, organ_limit_gy):
        scaled_gy, limited_by = isotoxic(dose_gy, organs, isodose / 100)
        scaled_bed_gy = bed_gy(fractions, scaled_gy, alpha_beta_gy)
        found |= {
            "isotoxic_dose_gy": scaled_gy,
            "isotoxic_bed_gy": scaled_bed_gy,
            "isotoxic_goal_reached": scaled_bed_gy >= goal_gy,
            "isotoxic_limited_by": limited_by,
        }
    if diameters_cm is not None:
        objection = maestro_objection(_diameters(diameters_cm))
        found |= {"maestro_within": not objection, "maestro_objection": objection}
    if as_json:
        print_json(found)
        return
    for line in _lines(found, alpha_beta_gy, late_alpha_beta_gy):
        typer.echo(line)


def _caution(dose_gy: float, most_gy: float) -> str:
    """Return how far the linear-quadratic model can be trusted at these doses per fraction; empty if it can."""
    from gating.analysis.bed import MOST_GY, WELL_FOUNDED_GY

    if dose_gy > MOST_GY:
        return f"{dose_gy:g} Gy per fraction is beyond the linear-quadratic model ({MOST_GY:g} Gy): BED is no guide"
    if most_gy > WELL_FOUNDED_GY:
        return (
            f"up to {most_gy:.1f} Gy per fraction; the linear-quadratic model is well validated "
            f"up to {WELL_FOUNDED_GY:g} Gy"
        )
    return ""


def _lines(found: dict[str, Any], alpha_beta_gy: float, late_gy: float) -> list[str]:
    fractions, goal_gy = found["fractions"], found["goal_gy"]

    def reached(is_reached: bool) -> str:
        return f"{goal_gy:g} Gy {'reached' if is_reached else 'not reached'}"

    needed_gy = found["dose_for_goal_gy"]
    needed = "no dose within the model would reach it" if needed_gy is None else f"{needed_gy:.2f} Gy would reach it"
    lines = [
        f"{fractions} x {found['dose_gy']:g} Gy: BED {found['bed_gy']:.1f} Gy (alpha/beta {alpha_beta_gy:g} Gy), "
        f"{found['late_bed_gy']:.1f} Gy (alpha/beta {late_gy:g} Gy); {reached(found['goal_reached'])}; "
        + (needed if needed_gy is None else f"{fractions} x {needed}")
    ]
    if found["isodose_percent"] < 100:
        lines.append(
            f"prescribed to {found['isodose_percent']:g} %: {found['maximum_gy']:.2f} Gy per fraction at the maximum, "
            f"BED {found['maximum_bed_gy']:.1f} Gy there"
        )
    if "isotoxic_dose_gy" in found:
        lines.append(
            f"organs at their limits: {fractions} x {found['isotoxic_dose_gy']:.2f} Gy, "
            f"BED {found['isotoxic_bed_gy']:.1f} Gy; {reached(found['isotoxic_goal_reached'])}; "
            f"limited by {found['isotoxic_limited_by']}"
        )
    if found["caution"]:
        lines.append(found["caution"])
    if "maestro_within" in found:
        lines.append(f"MAESTRO size criteria: {found['maestro_objection'] or 'within'}")
    return lines


def _organs(named: list[str] | None, dose_gy: float | None, limit_gy: float | None) -> list[OrganAtRisk]:
    from gating.analysis.bed import OrganAtRisk

    if (dose_gy is None) != (limit_gy is None):
        raise CommandError("--organ-dose-gy and --organ-limit-gy are needed together")
    organs = []
    for text in named or ():
        name, *numbers = text.split(":")
        try:
            dose, limit = map(float, numbers)
        except ValueError:
            raise CommandError(f"--organ is {text!r}; NAME:DOSE:LIMIT in Gy per fraction is needed") from None
        organs.append(OrganAtRisk(name=name, dose_gy=dose, limit_gy=limit))
    if dose_gy is not None and limit_gy is not None:
        organs.append(OrganAtRisk(name="the organ", dose_gy=dose_gy, limit_gy=limit_gy))
    return organs


def _diameters(text: str) -> list[float]:
    try:
        diameters = [float(part) for part in text.split(",")]
    except ValueError:
        diameters = []
    if not diameters or not all(0 < one < 50 for one in diameters):
        raise CommandError(f"--diameters-cm is {text!r}; numbers between 0 and 50, separated by commas, are needed")
    return diameters
