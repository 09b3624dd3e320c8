"""Measurements without a session: disk, clocks, read-back, a camera's log, a moving phantom's stage, an input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cinegate.qa.machine import MEASUREMENTS, Machine, read_clocks_ns
from gating.qa.figures import NotMeasuredError
from gating.qa.stage import stage_error_mm
from replay_data import session_path

STAGE = {"recording": "", "stage": "", "target_box": "", "axis": "si", "max_lag_s": 0.1}
CAMERA = {"file": "", "level_mm": 4.0, "above": 0.0, "beam": "off"}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    raw, wall = read_clocks_ns()
    return Machine(tmp_path, (raw - 10**10, wall - 10**10))


def write_csv(path: Path, header: str, *columns: np.ndarray) -> str:
    np.savetxt(path, np.column_stack(columns), delimiter=",", header=header, comments="", fmt="%.6f")
    return str(path)


def test_the_disk_has_space_and_writes(machine: Machine) -> None:
    assert MEASUREMENTS["disk_free_gb"](machine, {}) > 0
    assert MEASUREMENTS["disk_write_mb_s"](machine, {}) > 1
    assert list(machine.folder.iterdir()) == []


def test_a_wall_clock_that_runs_with_the_raw_one_shows_its_rate(machine: Machine) -> None:
    assert abs(MEASUREMENTS["clock_rate_ppm"](machine, {})) < 1000


def test_a_wall_clock_that_was_set_shows(machine: Machine) -> None:
    raw, wall = machine.began_ns
    moved = Machine(machine.folder, (raw, wall - 10**9))
    assert MEASUREMENTS["clock_rate_ppm"](moved, {}) == pytest.approx(1e5, rel=0.01)


def test_a_sleep_ends_late_by_little(machine: Machine) -> None:
    assert 0 < MEASUREMENTS["wake_up_ms"](machine, {}) < 1000


def test_the_read_back_of_the_simulated_linac_takes_its_delay(machine: Machine) -> None:
    assert 40 < MEASUREMENTS["read_back_ms"](machine, {"switch": "simulated"}) < 1000


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"switch": "serial_line", "options": ""}, "was given no settings"),
        ({"switch": "serial_line", "options": '{"port": "/dev/none"}'}, "cannot be used"),
        ({"switch": "serial_line", "options": '{"prot": "/dev/none"}'}, "member 0 of fanout"),
        ({"switch": "serial_line", "options": "/dev/none"}, "serial_line: JSON is malformed"),
        ({"switch": "carrier_pigeon", "options": "{}"}, "is unknown"),
    ],
    ids=["none", "port", "setting", "json", "driver"],
)
def test_a_driver_that_cannot_be_opened_is_not_measured(machine: Machine, parameters: dict[str, str], why: str) -> None:
    with pytest.raises(NotMeasuredError, match=why):
        MEASUREMENTS["read_back_ms"](machine, parameters)


def test_the_latency_of_a_camera_is_that_of_its_log(machine: Machine) -> None:
    t_s = np.arange(0, 20, 0.002)
    position = 4 - 4 * np.cos(2 * np.pi * t_s / 4)
    beam = np.interp(t_s - 0.18, t_s, position) < 4.0
    path = write_csv(machine.folder / "camera.csv", "t_s,position_mm,beam", t_s, position, beam.astype(float))
    assert MEASUREMENTS["camera_ms"](machine, {**CAMERA, "file": path}) == pytest.approx(180, abs=5)


def test_a_stage_and_the_tracked_cine_of_its_phantom_agree(machine: Machine) -> None:
    with np.load(session_path("free_breathing")) as recording:
        arrays = {name: recording[name] for name in recording.files if not name.startswith("target")}
        arrays |= {name: recording[name][:60] for name in ("frames", "t_s")}
        at_px, contour = recording["target_xy_px"][:60], recording["target_contour_px"][0]
    np.savez(machine.folder / "cine.npz", **arrays)
    t_s, si_mm = arrays["t_s"], -at_px[:, 1] * arrays["pixel_spacing_mm"][0]
    box = ",".join(f"{number:.1f}" for number in (*contour.min(axis=0), *np.ptp(contour, axis=0)))
    given = {**STAGE, "recording": str(machine.folder / "cine.npz"), "target_box": box}
    late = write_csv(machine.folder / "late.csv", "t_s,position_mm", t_s + 0.05, si_mm + 100)
    assert MEASUREMENTS["stage_mm"](machine, {**given, "stage": late}) < 1.0
    stretched = write_csv(machine.folder / "stretched.csv", "t_s,position_mm", t_s, 1.5 * si_mm)
    assert MEASUREMENTS["stage_mm"](machine, {**given, "stage": stretched}) > 1.0


def test_clocks_and_origins_of_stage_and_image_may_differ() -> None:
    stage_s = np.arange(0, 30, 0.01)
    stage_mm = 8 * np.sin(2 * np.pi * stage_s / 5)
    t_s = np.arange(2, 28, 0.125)
    seen = np.interp(t_s + 0.4, stage_s, stage_mm) - 55
    assert stage_error_mm(t_s, seen, stage_s, stage_mm, 1.0) < 0.01
    assert stage_error_mm(t_s, seen, stage_s, stage_mm, 0.1) > 1
    seen[50] = np.nan
    assert stage_error_mm(t_s, seen, stage_s, stage_mm, 1.0) < 0.01


@pytest.mark.parametrize(
    ("measure", "parameters", "why"),
    [
        ("given", {"value": ""}, "no value was given"),
        ("given", {"value": "0,4"}, "value is '0,4'; a number is needed"),
        ("camera_ms", CAMERA, "no file was given"),
        ("camera_ms", {**CAMERA, "file": "none.csv"}, "No such file"),
        ("stage_mm", STAGE, "no file was given"),
        ("stage_mm", {**STAGE, "stage": "none.csv"}, "No such file"),
    ],
    ids=["none", "comma", "no camera", "no camera file", "no stage", "no stage file"],
)
def test_an_input_that_is_missing_is_not_measured(machine: Machine, measure: str, parameters, why: str) -> None:
    with pytest.raises(NotMeasuredError, match=why):
        MEASUREMENTS[measure](machine, parameters)


def test_an_input_is_its_number(machine: Machine) -> None:
    assert MEASUREMENTS["given"](machine, {"value": 0.4}) == 0.4
