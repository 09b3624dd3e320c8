"""`cinegate itv`: the margins that a motion requires in an ITV plan, a mid-position plan and a gated plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.table import Table

from cinegate.settings import load_config
from cinegate.verbs.app import CommandError, app, findings, print_json, tell_assumed_times
from cinegate.verbs.options import (
    BoxOption,
    ConfigOption,
    JsonOption,
    MaskOption,
    RateOption,
    SkipOption,
    SpacingOption,
    TrackerOption,
)
from cinegate.verbs.progress import counted, progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gating.analysis.margin_recipe import MarginRecipe
    from gating.analysis.margins import GatedVersusItv, PlaneAreas
    from gating.analysis.motion import GatedMotion
    from gating.analysis.uncertainty import Arm
    from gating.geometry.plane import ImagePlane

    Case = tuple[GatedMotion, NDArray[np.floating[Any]], ImagePlane]


ARMS: Final[tuple[Arm, ...]] = ("ungated", "gated")


@app.command()
def itv(
    session: Annotated[
        Path, typer.Argument(help="Session log (.mcap) with its own beam, or recording or trace to gate by --config.")
    ],
    table: Annotated[
        Path | None, typer.Option("--table", help="Uncertainties (TOML); by default a table of assumptions.")
    ] = None,
    save_table: Annotated[
        Path | None, typer.Option("--save-table", help="Write the table in use, to fill in the site's values.")
    ] = None,
    isodose: Annotated[float, typer.Option("--isodose", min=50, max=99, help="Prescription isodose, %.")] = 95.0,
    penumbra: Annotated[str, typer.Option("--penumbra", help="water (3.2), lung (6.4), or 1 SD in mm.")] = "water",
    fractions: Annotated[
        int | None, typer.Option("--fractions", min=1, max=40, help="Number of fractions; many if not given.")
    ] = None,
    dimensions: Annotated[int, typer.Option("--dimensions", min=1, max=3, help="Directions of the errors.")] = 3,
    latency_ms: Annotated[
        float, typer.Option("--latency-ms", min=0, max=2000, help="From acquisition to beam on or off, if unknown.")
    ] = 250.0,
    target_box: BoxOption = None,
    target_mask: MaskOption = None,
    config: ConfigOption = None,
    tracker: TrackerOption = None,
    pixel_spacing_mm: SpacingOption = None,
    frames_per_s: RateOption = None,
    skip_frames: SkipOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare gating on an MR-linac with an ITV on a conventional linac for one patient's motion: margins, PTVs.

    The ITV is that of ten phases at the beginning of the session; the rest is treated. This is arithmetic on the motion
    in one plane, not advice for a treatment.
    """
    from gating.analysis.margins import gated_versus_itv, plane_areas
    from gating.analysis.uncertainty import default_table, read_table, table_toml
    from gating.geometry.contours import equivalent_radius_mm

    recipe = _recipe(isodose, penumbra, fractions, dimensions)
    if session.suffix == ".mcap":
        with progress(f"reading {session.name}", shown=not as_json):
            cases = _logged(session)
    else:
        boxed = {"target_box": target_box, "target_mask": target_mask, "pixel_spacing_mm": pixel_spacing_mm}
        boxed |= {"frames_per_s": frames_per_s, "skip_frames": skip_frames, "shown": not as_json}
        cases = [_simulated(session, load_config(config, tracker), latency_ms, boxed)]
    found = []
    for motion, contour_px, plane in counted(cases, "comparing margins", len(cases), shown=not as_json):
        used = read_table(table) if table is not None else default_table(max(plane.spacing_mm))
        radius_mm = equivalent_radius_mm(contour_px, plane.spacing_mm)
        # A simulated or confirmed beam is late already: its residual motion includes the latency.
        extra_ms = latency_ms if motion.beam_known_by == "commanded" else 0.0
        compared = gated_versus_itv(motion, radius_mm, used, recipe=recipe, latency_ms=extra_ms)
        found.append((motion, compared, plane_areas(motion, contour_px, plane)))
        if save_table is not None:
            save_table.write_text(table_toml(used), encoding="utf-8")
    if as_json:
        import msgspec

        targets = [
            {**msgspec.to_builtins(one), "areas": msgspec.to_builtins(areas), "beam_known_by": motion.beam_known_by}
            for motion, one, areas in found
        ]
        print_json({"session": str(session), "targets": targets})
        return
    tell_assumed_times(assumed=any(motion.times_assumed for motion, _, _ in found))
    for motion, one, areas in found:
        _print(one, areas, motion.beam_known_by)
    findings.print(_uncertainties(found[0][1], found[0][0].beam_known_by))


def _recipe(isodose: float, penumbra: str, fractions: int | None, dimensions: int) -> MarginRecipe:
    import msgspec

    from gating.analysis.margin_recipe import PENUMBRA_MM, MarginRecipe

    try:
        penumbra_mm = PENUMBRA_MM.get(penumbra) or float(penumbra)
        given = {"isodose": isodose / 100, "penumbra_mm": penumbra_mm, "fractions": fractions, "dimensions": dimensions}
        return msgspec.convert(given, MarginRecipe)
    except ValueError:
        raise CommandError(f"--penumbra is {penumbra!r}; water, lung, or 0 to 20 mm is needed") from None


def _logged(log: Path) -> list[Case]:
    import numpy as np

    from gating.analysis.motion import motion_from_session
    from gating.geometry.plane import ImagePlane
    from gating.session.summary_data import read_data

    data = read_data(log)
    geometry = data.stream or next(iter(data.frames.values()), None)
    motions = motion_from_session(data)
    if not motions or geometry is None:
        raise CommandError(f"{log} holds no tracked target")
    plane = ImagePlane.of(geometry)
    return [(m, np.array(data.references[m.target].contour_px, np.float32), plane) for m in motions]


def _simulated(path: Path, config: Any, latency_ms: float, boxed: dict[str, Any]) -> Case:
    from cinegate.verbs.following import followed_session
    from gating.analysis.replay_tracking import gated_motion
    from gating.geometry.plane import ImagePlane

    followed = followed_session(path, config, **boxed)
    motion = gated_motion(followed, config, latency_ms=latency_ms)
    return motion, followed.specs[0].contour_px, ImagePlane.of(followed.stream)


def _print(one: GatedVersusItv, areas: PlaneAreas, known_by: str) -> None:
    head = (
        f"{one.target}: equivalent radius {one.radius_mm:.1f} mm, duty cycle {100 * one.duty_cycle:.0f} % ({known_by})"
    )
    rows = Table("mm", *(axis.axis for axis in one.axes), title=head, title_justify="left")
    for label, field in (
        ("range of the whole motion", "motion_mm"),
        ("range of the ten phases: ITV", "itv_motion_mm"),
        ("beyond the ITV, mean", "beyond_itv_mm"),
        ("beyond the ITV, SD", "beyond_itv_sd_mm"),
        ("baseline since the ten phases", "baseline_mm"),
        ("SD of the whole motion", "free_sd_mm"),
        ("SD in the gate", "gated_sd_mm"),
        ("mean position in the gate", "gated_offset_mm"),
        ("latency x speed, 1 SD", "latency_sd_mm"),
        ("margin: ITV (half the range + recipe)", "itv_margin_mm"),
        ("margin: mid-position", "mid_position_margin_mm"),
        ("margin: gated", "gated_margin_mm"),
    ):
        rows.add_row(label, *(f"{getattr(axis, field):.1f}" for axis in one.axes))
    findings.print(rows)
    phases = f"mean of {one.breaths} breaths" if one.breaths else "no breaths: whole range"
    findings.print(
        f"recipe: {one.recipe.in_words()}; ITV from the first {one.before_s:.0f} s ({phases})", highlight=False
    )
    if still := [axis.axis for axis in one.axes if axis.motion_mm == 0]:
        findings.print(f"no motion is known along {', '.join(still)}: a plane shows two axes only")
    findings.print(
        f"in the plane: target {areas.target_mm2 / 100:.1f} cm2, ITV (union over the motion) {areas.itv_mm2 / 100:.1f} "
        f"cm2, union while the beam was on {areas.gated_mm2 / 100:.1f} cm2",
        highlight=False,
    )
    findings.print(
        f"PTV as an ellipsoid: ITV {one.itv_ptv_cm3:.0f} cm3, mid-position {one.mid_position_ptv_cm3:.0f} cm3, gated "
        f"{one.gated_ptv_cm3:.0f} cm3; gated / ITV {one.gated_over_itv:.2f}",
        highlight=False,
    )


def _uncertainties(one: GatedVersusItv, known_by: str) -> Table:
    """Return the uncertainties of each arm, 1 SD in mm; a dash where an arm does not suffer from one."""
    rows = Table(
        "uncertainty, 1 SD, mm",
        "kind",
        "ITV",
        "gated",
        "source",
        title="uncertainties of each arm",
        title_justify="left",
    )
    for row in one.table:
        cells = [f"{row.sd_mm:.2f}" if row.affects(arm) else "-" for arm in ARMS]
        rows.add_row(row.name, row.kind, *cells, row.source)
    if known_by == "commanded":
        late = " / ".join(f"{axis.latency_sd_mm:.2f}" for axis in one.axes)
        rows.add_row(
            "latency x speed, LR / AP / SI", "intrafraction", "-", late, "this session, where the gate changed"
        )
    else:
        rows.add_row("latency x speed", "intrafraction", "-", "", f"in the residual motion: the beam is {known_by}")
    for kind in ("systematic", "random", "intrafraction"):
        rows.add_row(f"all {kind}", kind, *(f"{one.arms[arm][kind]:.2f}" for arm in ARMS), "root of the squares")
    return rows
