"""What the Set up page makes of a drawing: contours to be refused, rules for organs at risk, the next commands."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from cinegate.console.setup_plan import Drawn, Plan, Shown, drawn_targets, first_crossing, next_commands, plan_config
from gating.errors import TargetError
from gating.geometry.contours import contour_from_mask
from gating.settings.config import ConfigError
from gating.settings.rules import AvoidanceRule, BoundaryRule, ExcursionRule, Margins

SHAPE = (40, 60)
SQUARE = ((10.0, 10.0), (20.0, 10.0), (20.0, 20.0), (10.0, 20.0))
BOW_TIE = ((10.0, 10.0), (20.0, 20.0), (20.0, 10.0), (10.0, 20.0))


def drawn(name: str = "target", points=SQUARE, **changes) -> Drawn:
    return Drawn(name=name, points_px=points, **changes)


def plan(*structures: Drawn, **changes) -> Plan:
    return Plan(shown=Shown(recording="one.npz"), frame=0, structures=structures or (drawn(),), **changes)


@pytest.mark.parametrize(
    ("structures", "sentence"),
    [
        ([], "no target has been drawn; at least one is needed"),
        ([drawn(organ=True)], "no target has been drawn; at least one is needed"),
        ([drawn(points=SQUARE[:2])], "target has 2 points; a contour needs 3 or more"),
        (
            [drawn(points=((1, 1), (60, 1), (60, 9)))],
            "target leaves the image of 60 columns and 40 rows at (60.0, 1.0)",
        ),
        ([drawn(points=BOW_TIE)], "the line from (10.0, 10.0) meets the line from (20.0, 10.0)"),
        ([drawn(points=((1.2, 1.2), (1.4, 1.2), (1.4, 1.4)))], "target encloses no pixel centre; draw it larger"),
        ([drawn(), drawn()], "two structures are named target; names must differ"),
        ([drawn(" ")], "structure 1 is named ' '; 1 to 64 plain characters are needed"),
        ([drawn("a\nb")], r"structure 1 is named 'a\nb'"),
    ],
    ids=["none", "organs alone", "two points", "outside", "crossing", "tiny", "same name", "blank", "line break"],
)
def test_a_drawing_that_cannot_be_used_is_refused_in_a_sentence(structures, sentence):
    shown = Plan(shown=Shown(recording="one.npz"), frame=0, structures=tuple(structures))
    with pytest.raises(TargetError) as error:
        drawn_targets(shown, SHAPE)
    assert sentence in str(error.value)


def test_what_was_drawn_becomes_targets_of_the_plane():
    shown = Shown(recording="one.npz", plane="coronal")
    (target,) = drawn_targets(Plan(shown=shown, frame=3, structures=(drawn("GTV"),)), SHAPE)
    assert (target.name, target.plane, target.contour_px.tolist()) == ("GTV", "coronal", [list(p) for p in SQUARE])


def test_edges_that_touch_do_not_cross():
    touching = np.array([(0, 0), (10, 0), (10, 10), (5, 0), (0, 10)], float)
    assert first_crossing(touching) is None


def test_the_parts_of_a_mask_may_be_joined_by_bridges():
    rows, columns = np.indices(SHAPE)
    two = (np.hypot(rows - 12, columns - 12) < 5) | (np.hypot(rows - 25, columns - 40) < 6)
    points = tuple((float(x), float(y)) for x, y in contour_from_mask(two))
    assert first_crossing(np.array(points)) is not None
    assert drawn_targets(plan(drawn(points=points, from_mask=True)), SHAPE)


@pytest.mark.parametrize("preset", ["respiratory", "breath_hold", "exhale"])
def test_margins_hold_wherever_a_preset_has_some(preset):
    margins = Margins(superior_mm=6.0)
    gating = plan_config(plan(preset=preset, margins=margins, max_out_fraction=0.2)).gating
    own = [rule for rule in gating.rules if isinstance(rule, BoundaryRule)]
    assert (gating.margins, gating.max_out_fraction) == (margins, 0.2)
    assert [(rule.margins, rule.max_out_fraction) for rule in own] == [(margins, 0.2)] * len(own)


def test_a_preset_keeps_its_own_margins_and_rules():
    gating = plan_config(plan(preset="exception")).gating
    assert isinstance(gating.rules[0], ExcursionRule)
    assert plan_config(plan(preset="exhale")).gating.margins.superior_mm == 4.0


def test_each_organ_at_risk_stays_away_from_each_target():
    structures = drawn("GTV"), drawn("duodenum", organ=True), drawn("node")
    rules = plan_config(plan(*structures, margins=Margins(left_mm=5.0))).gating.rules
    avoided = [(rule.structure, rule.target) for rule in rules if isinstance(rule, AvoidanceRule)]
    assert avoided == [("duodenum", "GTV"), ("duodenum", "node")]
    assert {rule.margins.left_mm for rule in rules if isinstance(rule, AvoidanceRule)} == {5.0}


def test_a_margin_that_disarms_a_safeguard_is_refused():
    with pytest.raises(ConfigError, match=r"gating.margins.superior_mm = 12: .* safe is at most 10"):
        plan_config(plan(margins=Margins(superior_mm=12.0)))


@pytest.mark.parametrize(
    "wrong",
    [
        b'{"shown": {"recording": "a"}, "frame": -1, "structures": []}',
        b'{"shown": {"recording": "a"}, "frame": 0, "structures": [{"name": "a", "points_px": [[1, 1e9]]}]}',
        b'{"shown": {"recording": "a", "plane": "skewed"}, "frame": 0, "structures": []}',
        b'{"shown": {"recording": "a"}, "frame": 0, "structures": [], "more": 1}',
    ],
    ids=["frame", "coordinate", "plane", "unknown field"],
)
def test_a_plan_out_of_bounds_is_not_read(wrong):
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(wrong, type=Plan)


def test_the_next_commands_can_be_pasted_into_a_shell():
    shown = Shown(recording="x", plane="coronal", pixel_spacing_mm=1.5)
    run, console = next_commands(
        Plan(shown=shown, frame=0, structures=()), Path("/data/our patient.npz"), Path("/s/a"), "dr_who"
    )
    assert run.startswith("cinegate run '/data/our patient.npz' --pixel-spacing-mm 1.5 --plane coronal --target /s/a/t")
    assert console == f"{run} --console"


def test_after_images_of_a_source_the_next_command_is_a_live_session():
    (live,) = next_commands(
        plan(source="phantom", options=("seed=3", "trace_axes=[1, 2]")), Path("look.npz"), Path("/s/a"), "dr_who"
    )
    assert live.startswith("cinegate live phantom -o seed=3 -o 'trace_axes=[1, 2]' --target /s/a/targets.json")
    assert live.endswith("--config /s/a/config.toml --console --operator dr_who")
