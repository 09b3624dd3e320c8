"""What a Set up page asks for: structures drawn on one frame, and how to gate them. Pure: no file is touched."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import numpy as np
from msgspec import Meta, Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from drivers.sources.live import Plane
from gating.errors import TargetError
from gating.geometry.contours import mask_from_contour
from gating.settings.config import Config, GatingSettings, parse_config, require_overrides
from gating.settings.presets import read_preset
from gating.settings.rules import AvoidanceRule, BoundaryRule, Margins
from gating.targets.boundary import MAX_VERTICES
from gating.targets.spec import TargetSpec
from gating.targets.targets import MAX_TARGETS

Coordinate = Annotated[float, Meta(ge=-10_000, le=10_000)]
Name = Annotated[str, Meta(max_length=64)]
MAX_OPTIONS: Final = 64


class _Asked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Shown(_Asked, frozen=True, kw_only=True):
    """Settings of the recording that the page shows."""

    recording: Annotated[str, Meta(min_length=1, max_length=4096)]
    """Its name in the catalogue."""
    plane: Annotated[Plane, Meta(description="Plane to take from a recording of several.")] = ""
    pixel_spacing_mm: Annotated[
        Annotated[float, Meta(gt=0, le=100)] | None, Meta(description="For a recording that does not hold its own.")
    ] = None


class Drawn(_Asked, frozen=True, kw_only=True):
    """One structure as it was drawn."""

    name: Name
    points_px: Annotated[tuple[tuple[Coordinate, Coordinate], ...], Meta(max_length=MAX_VERTICES)]
    """(x, y); integer coordinates are pixel centres."""
    organ: bool = False
    """Whether it is an organ at risk, which must stay away from every target."""
    from_mask: bool = False
    """Whether it is the outline of a mask, whose parts are joined by bridges that may cross them."""


class Plan(_Asked, frozen=True, kw_only=True):
    """All that is set up."""

    shown: Shown
    frame: Annotated[int, Meta(ge=0, le=2**31)]
    """In which the structures were drawn."""
    structures: Annotated[tuple[Drawn, ...], Meta(max_length=MAX_TARGETS)]
    preset: Annotated[str, Meta(max_length=64)] = ""
    """Empty: the default settings."""
    margins: Margins | None = None
    """None: those of the preset."""
    max_out_fraction: Annotated[float, Meta(ge=0, le=1)] | None = None
    """None: that of the preset."""
    source: Annotated[str, Meta(max_length=64)] = ""
    """Of the live session that follows; empty: the recording is replayed."""
    options: Annotated[tuple[Annotated[str, Meta(max_length=4200)], ...], Meta(max_length=MAX_OPTIONS)] = ()
    """Settings of the source, each as KEY=VALUE."""


def drawn_targets(plan: Plan, shape: tuple[int, int]) -> list[TargetSpec]:
    """Return the structures as targets, in the order in which they were drawn.

    Raises
    ------
    TargetError
        One sentence that names the structure and what is wrong with it.
    """
    if all(one.organ for one in plan.structures):
        raise TargetError("no target has been drawn; at least one is needed")
    names = [one.name for one in plan.structures]
    for number, one in enumerate(plan.structures):
        if not one.name.strip() or one.name != one.name.strip() or not one.name.isprintable():
            raise TargetError(f"structure {number + 1} is named {one.name!r}; 1 to 64 plain characters are needed")
        if one.name in names[:number]:
            raise TargetError(f"two structures are named {one.name}; names must differ")
        _check_outline(one, shape)
    return [TargetSpec(one.name, _points(one), plan.shown.plane) for one in plan.structures]


def _check_outline(drawn: Drawn, shape: tuple[int, int]) -> None:
    points, (rows, columns) = _points(drawn), shape
    if len(points) < 3:
        raise TargetError(f"{drawn.name} has {len(points)} points; a contour needs 3 or more")
    outside = ((points < -0.5) | (points > (columns - 0.5, rows - 0.5))).any(axis=1)
    if outside.any():
        x, y = points[int(np.argmax(outside))]
        raise TargetError(f"{drawn.name} leaves the image of {columns} columns and {rows} rows at ({x:.1f}, {y:.1f})")
    crossing = None if drawn.from_mask else first_crossing(points)
    if crossing is not None:
        one, other = (f"({points[index][0]:.1f}, {points[index][1]:.1f})" for index in crossing)
        raise TargetError(f"{drawn.name} crosses itself: the line from {one} meets the line from {other}")
    if not mask_from_contour(points, shape).any():
        raise TargetError(f"{drawn.name} encloses no pixel centre; draw it larger")


def first_crossing(points: NDArray[np.floating]) -> tuple[int, int] | None:
    """Return two edges of a closed contour that cross, by the numbers of their first points; None if none do.

    Edges that only touch do not count as crossing. An edge crosses another if each has its ends on both sides of the
    other (Cormen et al., Introduction to Algorithms, segment intersection by orientation).
    """
    starts = np.asarray(points, np.float64)
    ends = np.roll(starts, -1, axis=0)

    def side(from_: NDArray[np.float64], to: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
        along, away = to - from_, at - from_
        sign: NDArray[np.float64] = np.sign(along[..., 0] * away[..., 1] - along[..., 1] * away[..., 0])
        return sign

    for one in range(len(starts) - 2):
        a, b, c, d = starts[one], ends[one], starts[one + 1 :], ends[one + 1 :]
        crosses = (side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)
        if crosses.any():
            return one, one + 1 + int(np.argmax(crosses))
    return None


def plan_config(plan: Plan) -> Config:
    """Return the settings of a plan. Raises `ConfigError`, also for a margin that disarms a safeguard."""
    config = parse_config(read_preset(plan.preset), plan.preset) if plan.preset else Config()
    changed = {
        name: value
        for name, value in (("margins", plan.margins), ("max_out_fraction", plan.max_out_fraction))
        if value is not None
    }
    rules = tuple(replace(rule, **changed) if isinstance(rule, BoundaryRule) else rule for rule in config.gating.rules)
    gating = replace(config.gating, rules=rules, **changed)
    return require_overrides(with_organs(replace(config, gating=gating), plan.structures))


def with_organs(config: Config, structures: Sequence[Drawn]) -> Config:
    """Return the settings with a rule for each organ at risk: it stays out of every target's contour plus margins."""
    gating: GatingSettings = config.gating
    avoided = tuple(
        AvoidanceRule(structure=organ.name, target=target.name, margins=gating.margins)
        for organ in structures
        if organ.organ
        for target in structures
        if not target.organ
    )
    return replace(config, gating=replace(gating, rules=gating.rules + avoided))


def organ_names(plan: Plan) -> set[str]:
    """Return the names of the organs at risk."""
    return {one.name for one in plan.structures if one.organ}


def next_commands(plan: Plan, recording: Path, folder: Path, operator: str) -> list[str]:
    """Return the commands that use what was saved in a folder, as they are typed in a shell."""
    files = ["--target", str(folder / "targets.json"), "--config", str(folder / "config.toml")]
    if plan.source:
        options = [word for option in plan.options for word in ("-o", option)]
        named = ["--console", *(["--operator", operator] if operator else [])]
        return [shlex.join(["cinegate", "live", plan.source, *options, *files, *named])]
    spacing_mm = plan.shown.pixel_spacing_mm
    asked = [] if spacing_mm is None else ["--pixel-spacing-mm", f"{spacing_mm:g}"]
    asked += ["--plane", plan.shown.plane] if plan.shown.plane else []
    run = ["cinegate", "run", str(recording), *asked, *files]
    return [shlex.join(run), shlex.join([*run, "--console"])]


def _points(drawn: Drawn) -> NDArray[np.float32]:
    return np.array(drawn.points_px, np.float32).reshape(-1, 2)
