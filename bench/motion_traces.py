"""Recorded motion in the sagittal plane, from traces and from tracks of cine recordings, as a scanner samples it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Trace = tuple[NDArray[np.float64], NDArray[np.float64]]


def read_trace(path: Path) -> Trace:
    """Return times (samples,) in s and positions (samples, axes) in mm, without axes that do not move."""
    from drivers.recordings.traces import read_trace as read

    if path.name.endswith("_reference_track.csv"):
        return read_track(path)
    trace = read(path)
    position = np.stack([trace.lr_mm, trace.ap_mm, trace.si_mm], axis=1)[trace.valid]
    return trace.t_s[trace.valid], position[:, np.ptp(position, axis=0) > 0]


def read_track(path: Path) -> Trace:
    """Return times and positions (AP, SI) of a target in a recording, from its reference track."""
    with np.load(path.with_name(path.name.replace("_reference_track.csv", ".npz"))) as recording:
        row_mm, column_mm = recording["pixel_spacing_mm"]
    table = np.genfromtxt(path, delimiter=",", comments="#")
    return table[:, 1], np.stack([table[:, 2] * column_mm, -table[:, 3] * row_mm], axis=1)


def motion_files(data: Path) -> list[Path]:
    """Return every trace and every reference track in a folder of recordings."""
    return [*sorted((data / "traces").iterdir()), *sorted((data / "liver_cine").glob("*_reference_track.csv"))]


def sampled(trace: Trace, rate_hz: float) -> Trace:
    """Return the samples that a scanner of this rate would take, none of them invented; 0: all."""
    t_s, position = trace
    if not rate_hz or rate_hz * float(np.median(np.diff(t_s))) >= 1.0:
        return trace
    taken = np.unique(np.searchsorted(t_s, np.arange(t_s[0], t_s[-1], 1.0 / rate_hz) - 1e-9))
    return t_s[taken], position[taken]


@dataclass(frozen=True)
class MotionPlane:
    """Motion along AP and SI."""

    name: str
    t_s: NDArray[np.float64]
    position_mm: NDArray[np.float64]
    """(samples, 2), as the scanner sampled it."""
    truth: Trace
    """The same motion, as it was recorded."""

    @property
    def mostly_mm(self) -> NDArray[np.float64]:
        """Where the target mostly is, which with breathing is the end of exhale: the middle of the densest samples."""
        away = np.linalg.norm(self.position_mm[:, None] - self.position_mm[None], axis=2)
        crowded = int(np.argmax((away <= 1.5).sum(axis=1)))
        middle: NDArray[np.float64] = self.position_mm[away[crowded] <= 1.5].mean(axis=0)
        return middle

    def at(self, t_s: float) -> NDArray[np.float64]:
        """Return where the target truly is."""
        known_s, known = self.truth
        return np.array([np.interp(t_s, known_s, axis) for axis in known.T])

    def sampled(self, rate_hz: float) -> MotionPlane:
        """Return the motion as a scanner of this rate would sample it; 0: as it is."""
        t_s, position = sampled(self.truth, rate_hz)
        return replace(self, t_s=t_s, position_mm=position)


def motion_planes(data: Path) -> Iterator[MotionPlane]:
    """Yield the motion of every trace in 3D, and of every reference track."""
    from drivers.recordings.traces import read_trace as read

    for path in motion_files(data):
        if path.name.endswith("_reference_track.csv"):
            trace = read_track(path)
        else:
            found = read(path)
            position = np.stack([found.ap_mm, found.si_mm], axis=1)[found.valid]
            if not np.ptp(position, axis=0).all():
                continue
            trace = found.t_s[found.valid], position
        yield MotionPlane(trace_name(path), *trace, trace)


def trace_name(path: Path) -> str:
    """Return what a table calls a trace."""
    names = {
        "201205101519": "marker UAC",
        "201205181211": "marker LAC",
        "PT01": "RPM surrogate",
        "Prostate": "prostate",
    }
    for start, name in names.items():
        if path.name.startswith(start):
            return name
    if path.name.endswith("_reference_track.csv"):
        return f"liver cine {path.name[:6]}"
    words = re.sub(r"_robot|70s|Traj", "", path.stem).replace("_", " ")
    return re.sub(r"(?<=[a-z])(?=[A-Z0-9])", " ", words).lower()
