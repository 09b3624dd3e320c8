"""What is measured without a session: clocks, disk, read-back of a beam driver, a camera's log, a stage, an input."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from drivers.errors import DriverError
from drivers.ports import BeamSwitch
from gating.latency.physical import PhysicalLogError, crossings, read_physical_log
from gating.messages import GateState
from gating.qa.figures import NotMeasuredError
from gating.qa.procedure import Parameter
from gating.qa.stage import read_stage, stage_error_mm

WRITE_BYTES: Final = 64 * 2**20
LONGEST_READ_BACK_S: Final = 1.0
"""A line that does not follow within this counts as this late."""
LEAST_CLOCK_S: Final = 2.0
WAKE_UPS: Final = 200

Parameters = Mapping[str, Parameter]


def read_clocks_ns() -> tuple[int, int]:
    """Return the raw monotonic clock and the wall clock, read together."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW), time.time_ns()


@dataclass(frozen=True, slots=True)
class Machine:
    """This computer during a run: where logs and results go, and what its clocks said at the beginning."""

    folder: Path
    began_ns: tuple[int, int] = field(default_factory=read_clocks_ns)


def clock_rate_ppm(machine: Machine, _: Parameters) -> float:
    """Return by how much the wall clock ran faster since the run began than the raw clock that nothing disciplines."""
    while (now := read_clocks_ns())[0] - machine.began_ns[0] < LEAST_CLOCK_S * 1e9:
        time.sleep(0.1)
    raw, wall = (b - a for a, b in zip(machine.began_ns, now, strict=True))
    return 1e6 * (wall - raw) / raw


def wake_up_ms(_: Machine, __: Parameters) -> float:
    """Return the 99th percentile of how late a sleep of 1 ms ends."""
    late = np.empty(WAKE_UPS)
    for at in range(WAKE_UPS):
        due_ns = time.monotonic_ns() + 1_000_000
        time.sleep(1e-3)
        late[at] = (time.monotonic_ns() - due_ns) / 1e6
    return float(np.percentile(late, 99))


def disk_free_gb(machine: Machine, _: Parameters) -> float:
    """Return the space for session logs."""
    return shutil.disk_usage(machine.folder).free / 1e9


def disk_write_mb_s(machine: Machine, _: Parameters) -> float:
    """Return how fast 64 MB reach the disk that takes session logs."""
    block = np.random.default_rng(1).bytes(2**20)
    with tempfile.NamedTemporaryFile(dir=machine.folder) as file:
        began_s = time.monotonic()
        for _block in range(WRITE_BYTES // len(block)):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        return WRITE_BYTES / 1e6 / (time.monotonic() - began_s)


def read_back_ms(_: Machine, parameters: Parameters) -> float:
    """Return how late a driver's line confirms: the slower of on and hold.

    The line is driven. So a driver of hardware is opened only with settings (`options`, JSON), which are to be given
    for a line with no linac on it.
    """
    from drivers.beam.fanout import Fanout, FanoutSettings

    name, options = str(parameters["switch"]), str(parameters.get("options", ""))
    if name != "simulated" and not options:
        raise NotMeasuredError(f"{name} was given no settings (options); never drive a line with a linac on it")
    try:
        settings = msgspec.json.decode(options or "{}", type=dict[str, Any])
        members = msgspec.json.encode([{"switch": name, **settings}]).decode()
        switch = Fanout(FanoutSettings(members=members))
        switch.open()
        try:
            return max(_follows_ms(switch, state) for state in (GateState.ON, GateState.HOLD))
        finally:
            switch.close()
    except (DriverError, msgspec.DecodeError) as error:
        raise NotMeasuredError(f"{name}: {error}") from None


def _follows_ms(switch: BeamSwitch, state: GateState) -> float:
    began_s = time.monotonic()
    switch.set_beam(state)
    while switch.read_back() is not state and time.monotonic() - began_s < LONGEST_READ_BACK_S:
        time.sleep(1e-3)
    return 1e3 * (time.monotonic() - began_s)


def camera_ms(_: Machine, parameters: Parameters) -> float:
    """Return the median latency in the log of a camera and a scintillator, as `cinegate latency` measures it."""
    path, level_mm, beam = _file(parameters, "file"), float(parameters["level_mm"]), str(parameters["beam"])
    try:
        log = read_physical_log(path)
        found = crossings(log, level_mm, beam_on_below=not float(parameters["above"]))
    except (OSError, PhysicalLogError) as error:
        raise NotMeasuredError(str(error)) from None
    times = [one.latency_ms for one in found if one.beam == beam]
    if not times:
        raise NotMeasuredError(f"{path}: the beam never went {beam} after the phantom had crossed {level_mm:g} mm")
    return float(np.median(times))


def stage_mm(_: Machine, parameters: Parameters) -> float:
    """Return how far the target, tracked in a recording of a moving phantom, is from where the phantom's stage was."""
    from cinegate.tracking import gate

    stage_s, stage = read_stage(_file(parameters, "stage"))
    box = str(parameters.get("target_box", ""))
    axis = {"lr": 0, "ap": 1, "si": 2}.get(str(parameters["axis"]))
    if axis is None:
        raise NotMeasuredError(f"axis is {parameters['axis']!r}; lr, ap or si is needed")
    target = tuple(float(part) for part in box.split(",")) if box else None
    rows = [
        (frame.time_s, frame.centre_mm[axis])
        for frame in gate(_file(parameters, "recording"), target)
        if frame.centre_mm is not None and frame.status == "tracked"
    ]
    t_s, seen_mm = np.array(rows, np.float64).reshape(-1, 2).T
    return stage_error_mm(t_s, seen_mm, stage_s, stage, float(parameters["max_lag_s"]))


def given(_: Machine, parameters: Parameters) -> float:
    """Return what was measured elsewhere and typed in."""
    value = parameters["value"]
    if isinstance(value, str):
        raise NotMeasuredError(f"value is {value!r}; a number is needed" if value else "no value was given")
    return value


def _file(parameters: Parameters, name: str) -> Path:
    text = str(parameters[name])
    if not text:
        raise NotMeasuredError(f"no file was given ({name})")
    return Path(text).expanduser()


MEASUREMENTS: Final[dict[str, Callable[[Machine, Parameters], float]]] = {
    "clock_rate_ppm": clock_rate_ppm,
    "wake_up_ms": wake_up_ms,
    "disk_free_gb": disk_free_gb,
    "disk_write_mb_s": disk_write_mb_s,
    "read_back_ms": read_back_ms,
    "camera_ms": camera_ms,
    "stage_mm": stage_mm,
    "given": given,
}
"""Every measurement without a session, by the name that a step gives as its `measure`."""
