"""`cinegate bed`: biologically effective dose, isotoxic scaling, MAESTRO's size criteria. Arithmetic, not advice."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from cinegate.verbs.app import CommandError, app, print_json
from cinegate.verbs.options import JsonOption

ABLATIVE_BED_GY: Final = 100.0
"""BED (alpha/beta 10 Gy) that MAESTRO requires: Hoegen et al. 2022, doi:10.1186/s13014-022-02033-2."""


@app.command()
def bed(
    fractions: Annotated[int, typer.Option("--fractions", min=1, max=100)],
    dose_gy: Annotated[float, typer.Option("--dose-gy", min=0, max=100, help="Dose per fraction.")],
    alpha_beta_gy: Annotated[float, typer.Option("--alpha-beta-gy", help="Of the tumour.")] = 10.0,
    late_alpha_beta_gy: Annotated[float, typer.Option("--late-alpha-beta-gy", help="Of late-responding tissue.")] = 3.0,
    goal_gy: Annotated[float, typer.Option("--goal-gy", min=0.1, help="Required BED.")] = ABLATIVE_BED_GY,
    organ_dose_gy: Annotated[
        float | None, typer.Option("--organ-dose-gy", help="Planned dose per fraction to an organ at risk.")
    ] = None,
    organ_limit_gy: Annotated[
        float | None, typer.Option("--organ-limit-gy", help="Limit of the organ's dose per fraction.")
    ] = None,
    diameters_cm: Annotated[
        str | None, typer.Option("--diameters-cm", help="Liver metastases, to check against MAESTRO's size criteria.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show BED = n d (1 + d / (alpha/beta)), whether it reaches a goal, and the dose at an organ's limit."""
    from gating.analysis.bed import bed_gy, dose_for_bed_gy, isotoxic_dose_gy, maestro_objection

    tumour_gy = bed_gy(fractions, dose_gy, alpha_beta_gy)
    found: dict[str, Any] = {
        "fractions": fractions,
        "dose_gy": dose_gy,
        "bed_gy": tumour_gy,
        "late_bed_gy": bed_gy(fractions, dose_gy, late_alpha_beta_gy),
        "goal_gy": goal_gy,
        "goal_reached": tumour_gy >= goal_gy,
        "dose_for_goal_gy": dose_for_bed_gy(goal_gy, fractions, alpha_beta_gy),
    }
    if (organ_dose_gy is None) != (organ_limit_gy is None):
        raise CommandError("--organ-dose-gy and --organ-limit-gy are needed together")
    if organ_dose_gy is not None and organ_limit_gy is not None:
        scaled_gy = isotoxic_dose_gy(dose_gy, organ_dose_gy, organ_limit_gy)
        scaled_bed_gy = bed_gy(fractions, scaled_gy, alpha_beta_gy)
        found |= {
            "isotoxic_dose_gy": scaled_gy,
            "isotoxic_bed_gy": scaled_bed_gy,
            "isotoxic_goal_reached": scaled_bed_gy >= goal_gy,
        }
    if diameters_cm is not None:
        objection = maestro_objection(_diameters(diameters_cm))
        found |= {"maestro_within": not objection, "maestro_objection": objection}
    if as_json:
        print_json(found)
        return
    for line in _lines(found, alpha_beta_gy, late_alpha_beta_gy):
        typer.echo(line)


def _lines(found: dict[str, Any], alpha_beta_gy: float, late_gy: float) -> list[str]:
    fractions, goal_gy = found["fractions"], found["goal_gy"]

    def reached(is_reached: bool) -> str:
        return f"{goal_gy:g} Gy {'reached' if is_reached else 'not reached'}"

    lines = [
        f"{fractions} x {found['dose_gy']:g} Gy: BED {found['bed_gy']:.1f} Gy (alpha/beta {alpha_beta_gy:g} Gy), "
        f"{found['late_bed_gy']:.1f} Gy (alpha/beta {late_gy:g} Gy); {reached(found['goal_reached'])}; "
        f"{fractions} x {found['dose_for_goal_gy']:.2f} Gy would reach it"
    ]
    if "isotoxic_dose_gy" in found:
        lines.append(
            f"organ at its limit: {fractions} x {found['isotoxic_dose_gy']:.2f} Gy, "
            f"BED {found['isotoxic_bed_gy']:.1f} Gy; {reached(found['isotoxic_goal_reached'])}"
        )
    if "maestro_within" in found:
        lines.append(f"MAESTRO size criteria: {found['maestro_objection'] or 'within'}")
    return lines


def _diameters(text: str) -> list[float]:
    try:
        diameters = [float(part) for part in text.split(",")]
    except ValueError:
        diameters = []
    if not diameters or not all(0 < one < 50 for one in diameters):
        raise CommandError(f"--diameters-cm is {text!r}; numbers between 0 and 50, separated by commas, are needed")
    return diameters
