"""`cinegate dose`: what dose the structures of a plan received in a session, planned beside delivered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.table import Table

from cinegate.verbs.app import CommandError, app, console, findings, next_steps, print_json
from cinegate.verbs.options import JsonOption
from cinegate.verbs.report import LogArgument

if TYPE_CHECKING:
    from drivers.plans.dicom import Identity
    from gating.delivered.assessment import Assessment
    from gating.delivered.deliveries import DosePlan
    from gating.delivered.dvh import StructurePoints


VOLUMES: Final = (".mha", ".nrrd", ".nii.gz")
"""Formats for `--save`."""


@app.command()
def dose(
    log: LogArgument,
    doses: Annotated[
        list[Path], typer.Option("--dose", help="RTDOSE of the plan; or, repeated, of each beam or control point.")
    ],
    structures: Annotated[Path, typer.Option("--structures", help="RTSTRUCT in the same frame of reference.")],
    plan: Annotated[
        Path | None, typer.Option("--plan", help="RTPLAN: prescription, order and monitor units of the beams.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", help="Structure that was tracked; by default the one of the log's name.")
    ] = None,
    tracked: Annotated[
        str | None, typer.Option("--tracked", help="Structure of the log whose motion counts, if there are several.")
    ] = None,
    structure: Annotated[
        list[str] | None, typer.Option("--structure", help="Another structure to assess; all by default.")
    ] = None,
    prescribed_gy: Annotated[
        float | None, typer.Option("--prescribed-gy", min=0.01, help="For V100; by default that of the plan.")
    ] = None,
    dose_rate: Annotated[
        float | None,
        typer.Option("--dose-rate", min=1, max=10_000, help="MU/min: the session may deliver a part of the plan."),
    ] = None,
    later_ms: Annotated[
        float, typer.Option("--later-ms", min=0, max=2000, help="Latency of a machine that a simulated line lacks.")
    ] = 0.0,
    table: Annotated[
        Path | None, typer.Option("--table", help="Uncertainties (TOML) of `cinegate itv`, for the Monte Carlo.")
    ] = None,
    latency_sd_ms: Annotated[
        float | None, typer.Option("--latency-sd-ms", min=0, max=1000, help="1 SD of when the beam was on.")
    ] = None,
    samples: Annotated[int, typer.Option("--samples", min=0, max=10_000, help="Of the Monte Carlo; 0: none.")] = 100,
    save: Annotated[Path | None, typer.Option("--save", help="Gated dose on the grid: .mha, .nrrd or .nii.gz.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="HTML file; beside the log by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Move the planned dose with the target as the log saw it move, and show planned beside delivered.

    Gated as it was, without gating, and with an ITV made from the first 30 s. What the figures leave out is printed
    beside them.
    """
    from cinegate.plans import read_planned
    from gating.delivered.assessment import Question, assess
    from gating.delivered.motion import structure_motion, tracked_structures
    from gating.delivered.page import write_dose_page
    from gating.delivered.spread import LATENCY_SD_MS, position_errors
    from gating.session.summary_data import read_data

    if save is not None and not save.name.endswith(VOLUMES):
        raise CommandError(f"--save is {save.name!r}; a file that ends in {', '.join(VOLUMES)} is needed")
    planned = read_planned(doses, plan)
    data = read_data(log)
    name = _tracked(tracked, tracked_structures(data), log)
    chosen = _target(structures, target, name)
    points = _points(structures, chosen, structure, planned.identities)
    motion = structure_motion(data, name)
    pixel_mm = max((data.stream or next(iter(data.frames.values()))).pixel_spacing_mm)
    question = Question(
        target=chosen,
        tracked=name,
        prescribed_gy=prescribed_gy if prescribed_gy is not None else planned.prescribed_gy,
        errors=_errors(table) if table is not None else position_errors(pixel_mm),
        latency_sd_ms=LATENCY_SD_MS if latency_sd_ms is None else latency_sd_ms,
        later_ms=later_ms,
        dose_rate_mu_min=dose_rate,
        samples=samples,
    )
    found = assess(planned.plan, points, motion, question)
    html = log.with_suffix(".dose.html") if out is None else out
    write_dose_page(html, found, log.name)
    if save is not None:
        _save(save, planned.plan, motion, question)
    if as_json:
        import msgspec

        print_json({**msgspec.to_builtins(found), "log": str(log), "page": str(html)})
        return
    _print(found)
    findings.print(f"page: {html}", highlight=False)
    next_steps(f"cinegate itv {log}", f"cinegate report {log}")


def _tracked(asked: str | None, followed: list[str], log: Path) -> str:
    if not followed:
        raise CommandError(f"{log} holds no tracked target")
    if asked is None and len(followed) > 1:
        raise CommandError(f"{log} follows {', '.join(followed)}; give one of them with --tracked")
    return followed[0] if asked is None else asked


def _target(structures: Path, asked: str | None, tracked: str) -> str:
    """Return the name of the target, as the structure set spells it."""
    from drivers.plans.structures import known_structures

    known = known_structures(structures)
    wanted = tracked if asked is None else asked
    for name in known:
        if name.casefold() == wanted.casefold():
            return name
    raise CommandError(
        f"{structures}: there is no structure {wanted!r}; it holds {', '.join(sorted(known)) or 'none'}"
        + ("; say with --target which of them was tracked" if asked is None else "")
    )


def _points(
    structures: Path, target: str, asked: list[str] | None, identities: Sequence[Identity]
) -> list[StructurePoints]:
    """Return the structures to assess, filled with points; the target is among them."""
    from cinegate.plans import read_points
    from drivers.errors import BadPlan, BadRecording
    from drivers.plans.dicom import check_belong_together
    from drivers.plans.structures import known_structures, structure_set_identity

    check_belong_together([*identities, structure_set_identity(structures)])
    found = []
    for name in dict.fromkeys([target, *(known_structures(structures) if asked is None else asked)]):
        try:
            found.append(read_points(structures, name))
        except (BadPlan, BadRecording) as error:
            if asked is None and name != target:
                console.print(f"left out: {error}", highlight=False)
                continue
            raise
    return found


def _errors(table: Path) -> Any:
    from gating.analysis.uncertainty import read_table

    return read_table(table)


def _save(path: Path, plan: DosePlan, motion: Any, question: Any) -> None:
    import SimpleITK

    from gating.delivered.deliveries import gated_timeline, part_kernels, received
    from gating.delivered.dose_cloud import whole
    from gating.settings.private_file import private_file

    kernels = part_kernels(plan, gated_timeline(motion, question.later_ms), question.dose_rate_mu_min)
    image: Any = SimpleITK.GetImageFromArray(received(plan, kernels, whole(plan.parts[0])))
    image.CopyInformation(plan.grid)
    SimpleITK.WriteImage(image, str(private_file(path)))


def _print(found: Assessment) -> None:
    from gating.delivered.page import COLUMNS, DELIVERY_COLUMNS, delivery_rows, rows

    prescribed = "" if found.prescribed_gy is None else f", {found.prescribed_gy:g} Gy prescribed"
    doses = Table(*COLUMNS, title=f"{found.target}{prescribed}, beam {found.beam_known_by}", title_justify="left")
    for row in rows(found.structures):
        doses.add_row(*row)
    findings.print(doses)
    deliveries = Table(*DELIVERY_COLUMNS)
    for row in delivery_rows(found):
        deliveries.add_row(*row)
    findings.print(deliveries)
    for name, why in found.not_delivered.items():
        findings.print(f"{name}: {why}", highlight=False)
    for sentence in found.left_out:
        findings.print(f"left out: {sentence}", highlight=False)
