"""The bands of the rules in the motion trace of the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from gating.geometry.contours import mask_from_contour
from gating.geometry.plane import ImagePlane
from gating.report.figures import motion_figure
from gating.report.gate_band import gate_bands
from gating.report.html import render
from gating.report.summary import summarise_data
from gating.session.summary_data import read_data
from gating.settings.config import GatingSettings
from gating.settings.rules import BoundaryRule, BreathHoldRule, CentreRule, ExcursionRule, Margins, OverlapRule
from gating.settings.three_d import ThreeDSettings
from tests.unit.session_bench import reference, write_session

MARGINS_6_MM = Margins(**dict.fromkeys(Margins.__struct_fields__, 6.0))
TENTH_OUT = "boundary, 10 % out"


@pytest.mark.parametrize("axis", ["si", "ap"])
def test_the_gate_band_is_where_the_moved_target_reaches_the_limit(axis: str) -> None:
    """Brute force: move the target in 0.05 mm steps over masks of an eighth of a pixel."""
    plane = ImagePlane((2.0, 2.0), np.array([0, 1.0, 0]), np.array([0, 0, -1.0]), np.zeros(3))
    learned = reference()
    bands = {band.axis: band for band in gate_bands("GTV", {"GTV": learned}, plane, GatingSettings())}
    low, high = bands[axis].low_mm, bands[axis].high_mm
    fine = 8
    allowed = mask_from_contour(np.array(learned.boundary_px) * fine, (64 * fine, 64 * fine))
    direction = np.array([0.0, -1.0]) if axis == "si" else np.array([-1.0, 0.0])
    steps = np.arange(0, 12, 0.05)
    for sign, found in ((1, high), (-1, -low)):
        for step in steps:
            moved = (np.array(learned.contour_px) + sign * step / 2.0 * direction) * fine
            target = mask_from_contour(moved, allowed.shape)
            if 1 - (target & allowed).sum() / target.sum() > 0.10:
                break
        assert found == pytest.approx(step, abs=0.2)


BANDS = [
    (CentreRule(si_mm=4, shift_lps_mm=(0, -2, 9)), "centre", (5, 13)),
    (BoundaryRule(margins=MARGINS_6_MM, max_out_fraction=0.0), "boundary, 0 % out", (-6, 6)),
    (BoundaryRule(margins=MARGINS_6_MM, max_out_fraction=0.0, shift_lps_mm=(0, 0, -8)), "boundary, 0 % out", (-14, -2)),
    (BoundaryRule(max_out_fraction=1.0), "boundary, 100 % out", (np.nan, np.nan)),
    (OverlapRule(min_overlap=1.0), "overlap, 100 % of area", (0, 0)),
    (ExcursionRule(distance_mm=3, duration_s=5), "excursion, 5 s", (-3, 3)),
    (BreathHoldRule(reproducibility_mm=2.5), "breath-hold", (-2.5, 2.5)),
]


@pytest.mark.parametrize(("rule", "name", "band_mm"), BANDS)
def test_the_band_of_a_rule_is_where_it_objects(rule, name, band_mm) -> None:
    plane = ImagePlane((2.0, 2.0), np.array([0, 1.0, 0]), np.array([0, 0, -1.0]), np.zeros(3))
    found = gate_bands("GTV", {"GTV": reference()}, plane, GatingSettings(rules=(rule,)))
    band = next(one for one in found if one.axis == "si")
    assert band.name == name
    assert (band.low_mm, band.high_mm) == pytest.approx(band_mm, abs=0.5, nan_ok=True)


def test_every_active_rule_has_its_band_in_the_plot(tmp_path: Path) -> None:
    data = read_data(write_session(tmp_path / "s1.mcap"))
    gating = GatingSettings(rules=(BoundaryRule(), CentreRule(si_mm=4, shift_lps_mm=(0, 0, 9))))
    shapes = motion_figure(data, summarise_data(data), gating)["layout"]["shapes"]
    lines = [shape for shape in shapes if shape["type"] == "line" and shape["yref"] == "y1"]
    found = {(one["label"]["text"], round(one["y0"], 1)) for one in lines}
    assert found == {("centre", 5.0), ("centre", 13.0), (TENTH_OUT, -5.5), (TENTH_OUT, 5.5)}
    assert len({one["line"]["dash"] for one in lines}) == 2


def session_in_3d(path: Path):
    """The session, as decided in 3D: LR is estimated within 2 mm, the other axes are known within 0.5 mm."""
    data = read_data(write_session(path))
    whole = {"displacement_mm": (1.0, -2.0, 3.0), "bound_mm": (2.0, 0.5, 0.5)}
    estimates = [replace(one, **whole) for one in data.estimates["GTV"]]
    estimates[7] = replace(estimates[7], bound_mm=None)
    data.estimates["GTV"] = estimates
    return data


IN_3D = GatingSettings(rules=(CentreRule(lr_mm=3, ap_mm=3, si_mm=4),), three_d=ThreeDSettings(on=True))


def test_in_3d_each_line_has_the_area_within_its_bound_behind_it(tmp_path: Path) -> None:
    data = session_in_3d(tmp_path / "s1.mcap")
    figure = motion_figure(data, summarise_data(data), IN_3D)
    areas = {one["yaxis"]: one["y"] for one in figure["data"] if one.get("fill") == "toself"}
    reach = {axis: {value for value in y if value is not None} for axis, y in areas.items()}
    assert reach == {"y": {2.5, 3.5}, "y2": {1.5, 2.5}, "y3": {-1.0, 3.0}}
    assert areas["y"].count(None) == 2, "one shape before the frame without a bound, and one after it"


def test_in_3d_the_axis_that_the_plane_does_not_show_has_its_band(tmp_path: Path) -> None:
    plane = ImagePlane((2.0, 2.0), np.array([0, 1.0, 0]), np.array([0, 0, -1.0]), np.zeros(3))
    bands = {band.axis: band for band in gate_bands("GTV", {"GTV": reference()}, plane, IN_3D)}
    assert (bands["lr"].low_mm, bands["lr"].high_mm) == pytest.approx((-3, 3), abs=0.1)


def test_the_report_says_how_many_frames_were_held_for_the_bound_alone(tmp_path: Path) -> None:
    data = session_in_3d(tmp_path / "s1.mcap")
    header = data.header
    assert header is not None
    data.header = replace(header, config_toml="[gating.three_d]\non = true\n")
    summary = summarise_data(data)
    summary = replace(summary, reasons={"position_uncertain": 5, "in_window": 15}, frames_decided=20)
    assert "5 of 20 decided frames were held (25.0 %)" in render(data, summary)


def test_targets_with_the_same_band_share_its_lines(tmp_path: Path) -> None:
    data = read_data(write_session(tmp_path / "s1.mcap"))
    data.references["nodes"] = replace(reference(), target="nodes")
    gating = GatingSettings(rules=(CentreRule(si_mm=4),))
    shapes = motion_figure(data, summarise_data(data), gating)["layout"]["shapes"]
    names = [shape["label"]["text"] for shape in shapes if shape["type"] == "line" and shape["yref"] == "y1"]
    assert names == ["GTV, nodes: centre"] * 2
