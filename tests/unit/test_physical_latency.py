"""Physical latency from logs of a camera and a scintillator, against simulations whose latency is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gating.latency.physical import (
    PhysicalLog,
    PhysicalLogError,
    crossings,
    fit_sine,
    phase_latency_ms,
    read_physical_log,
)
from gating.latency.published_chain import sum_chain
from gating.report.latency_page import latency_page

PERIOD_S = 4.0


def motion(t_s):
    return 10.0 * np.sin(2 * np.pi * t_s / PERIOD_S + 0.4)


def gated(off_ms: float, on_ms: float, *, rate_hz: float = 1000.0, seconds: float = 40.0) -> PhysicalLog:
    """A phantom gated below 0 mm, whose beam follows with separate delays for off and on."""
    t_s = np.arange(0, seconds, 1 / rate_hz)
    beam_on = np.where(motion(t_s - on_ms / 1e3) < 0, motion(t_s - off_ms / 1e3) < 0, False)
    late_on, late_off = motion(t_s - on_ms / 1e3) < 0, motion(t_s - off_ms / 1e3) < 0
    rising = np.cos(2 * np.pi * t_s / PERIOD_S + 0.4) > 0
    return PhysicalLog(t_s, motion(t_s), np.where(rising, late_off, late_on) if off_ms != on_ms else beam_on)


@pytest.mark.parametrize(("off_ms", "on_ms"), [(50, 50), (120, 300), (243, 340)])
def test_beam_off_and_beam_on_latency_are_found_apart(off_ms: float, on_ms: float) -> None:
    found = crossings(gated(off_ms, on_ms), 0.0)
    for beam, truth in (("off", off_ms), ("on", on_ms)):
        taken = [one.latency_ms for one in found if one.beam == beam]
        assert len(taken) >= 8
        assert np.median(taken) == pytest.approx(truth, abs=2)


@pytest.mark.parametrize("rate_hz", [29.71, 119.31])
def test_a_coarse_camera_does_not_lengthen_the_latency(rate_hz: float) -> None:
    """The camera's phase goes round within 25 periods of the phantom."""
    t_s = np.arange(0, 400, 1 / rate_hz)
    found = crossings(PhysicalLog(t_s, motion(t_s), motion(t_s - 0.18) < 0), 0.0)
    late_ms = np.array([one.latency_ms for one in found])
    assert len(found) > 150
    assert late_ms.mean() == pytest.approx(180, abs=1)
    assert np.all(np.abs(late_ms - 180) <= [one.half_sample_ms + 0.5 for one in found])


def test_a_level_that_is_never_crossed_is_an_error() -> None:
    with pytest.raises(PhysicalLogError, match=r"level 11 mm is never crossed: position_mm is -\d.* to \d"):
        crossings(gated(50, 50), 11.0)


def test_a_beam_that_never_follows_gives_no_latency() -> None:
    t_s = np.arange(0, 20, 0.01)
    assert crossings(PhysicalLog(t_s, motion(t_s), np.zeros(len(t_s), bool)), 0.0) == []


@settings(max_examples=15, deadline=None)
@given(st.floats(20, 400), st.sampled_from([4.0, 8.0, 20.0]), st.floats(0, 1), st.integers(0, 2**31))
def test_the_phase_of_a_sine_tells_the_latency_within_5_ms(
    latency_ms: float, rate_hz: float, start: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    camera_s = np.arange(0, 60, 1 / 60)
    camera = motion(camera_s) + rng.normal(0, 0.1, len(camera_s))
    known_s = start / rate_hz + np.arange(0, 60, 1 / rate_hz)
    seen = motion(known_s - latency_ms / 1e3) + rng.normal(0, 0.3, len(known_s))
    assert phase_latency_ms(camera_s, camera, known_s, seen) == pytest.approx(latency_ms, abs=5)


def test_a_sine_is_fitted_with_its_period() -> None:
    t_s = np.arange(0, 30, 0.1)
    found = fit_sine(t_s, 2 + motion(t_s))
    assert (found.amplitude, found.period_s, found.offset) == pytest.approx((10, PERIOD_S, 2), rel=1e-3)


def test_less_than_two_cycles_are_refused() -> None:
    t_s = np.arange(0, 5, 0.1)
    with pytest.raises(PhysicalLogError, match="fewer than 2 cycles"):
        fit_sine(t_s, motion(t_s), PERIOD_S)


def test_a_log_is_read_from_csv(tmp_path: Path) -> None:
    path = tmp_path / "camera.csv"
    path.write_text("t_s,position_mm,beam\n0,1.5,0\n0.01,1.25,4.9\n0.02,1,5.0\n")
    log = read_physical_log(path)
    assert log.position_mm.tolist() == [1.5, 1.25, 1.0]
    assert log.beam_on.tolist() == [False, True, True]


def test_semicolons_and_decimal_commas_are_read(tmp_path: Path) -> None:
    path = tmp_path / "camera.csv"
    path.write_text("t_s; position_mm; beam\n0;1,5;0\n0,01;1,25;4,9\n0,02;1;5.0\n")
    log = read_physical_log(path)
    assert log.t_s.tolist() == [0.0, 0.01, 0.02]
    assert log.position_mm.tolist() == [1.5, 1.25, 1.0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("t_s,beam\n0,1\n", "position_mm is missing", id="no position"),
        pytest.param("t_s,position_mm,beam\n0,1,1\n", "1 lines", id="one line"),
        pytest.param("t_s,position_mm,beam\n0,1,1\n1,x,1\n2,1,1\n", "line 3: position_mm is 'x'", id="text"),
        pytest.param("t_s,position_mm,beam\n0,1,1\n2,1,1\n1,1,1\n", "line 4: t_s is 1", id="not increasing"),
        pytest.param("t_s,position_mm,beam\n0,1,1\n1,nan,1\n2,1,1\n", "position_mm is 'nan'", id="nan"),
    ],
)
def test_an_invalid_log_is_refused_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "camera.csv"
    path.write_text(text)
    with pytest.raises(PhysicalLogError, match=says):
        read_physical_log(path)


def test_the_page_has_a_chart_where_something_was_measured() -> None:
    chains = [sum_chain(8.0, beam) for beam in ("off", "on")]
    assert 'id="physical"' in latency_page("camera.csv", {"off": [180.0, 190.0], "on": []}, chains)


@pytest.mark.parametrize("physical", [{}, {"off": [], "on": []}])
def test_the_page_has_no_empty_chart(physical: dict[str, list[float]]) -> None:
    page = latency_page("", physical, [sum_chain(8.0, "off")])
    assert "plotly" not in page
    assert "Whole chain, beam off" in page
