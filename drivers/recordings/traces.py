"""Recorded motion, as text: Varian RPM (`.vxp`), external markers (`.csv`, decimal comma), robot trajectories (`.txt`).

All are returned in patient axes (LPS), in mm: left, superior and posterior are positive.

- `.vxp` (VXP 1.6): one amplitude, in cm (`Scale_factor` 10 turns it into mm), of a block on the chest or belly. The
  block rises with inhalation, towards the anterior, so the amplitude becomes motion along -AP. A sample with a negative
  `validflag` is invalid.
- `.csv`: `Frame;Timestamp;x;y;z`, in ms and mm, in the axes of the tracking camera. The file does not say how the
  camera stood relative to the patient: `axes` assigns each column to a patient axis. An all-zero row ends the file and
  is dropped, as is a row whose time stamp is not later than the one before.
- `.txt`: time in s; LR, SI and AP in mm; three rotations, which are ignored. The format does not define the signs. In
  liver traces SI and AP have opposite signs (r = -0.92 and -0.94), and the liver moves inferior and anterior at inhale.
  So AP is taken as positive towards the anterior, and inverted here. That is an inference, not part of the format.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BadFrame, BadRecording
from drivers.formats.bounded import read_bounded

if TYPE_CHECKING:
    from drivers.phantom import Trace

MAX_BYTES: Final = 32 * 2**20
MAX_MM: Final = 10_000.0
MAX_SECONDS: Final = 86_400.0
_AXES: Final = re.compile(r"[+-]?(lr|si|ap)")
_VXP_FIELDS: Final = ("amplitude", "timestamp", "validflag")


@dataclass(frozen=True, slots=True, eq=False)
class MotionTrace:
    """Motion over time. Every array has one value per sample."""

    t_s: NDArray[np.float64]
    """Times from 0, strictly increasing."""
    lr_mm: NDArray[np.float64]
    si_mm: NDArray[np.float64]
    ap_mm: NDArray[np.float64]
    valid: NDArray[np.bool_]
    dropped: int = 0
    """Number of rows dropped because their time stamps were not later than those before."""

    def __len__(self) -> int:
        return len(self.t_s)

    def for_phantom(self, scale: float = 1.0) -> Trace:
        """Return the valid samples as motion for the phantom, which interpolates between them.

        Parameters
        ----------
        scale
            Factor for all displacements, for a surrogate that moves less or more than the target.

        Raises
        ------
        BadRecording
            If fewer than two samples are valid.
        """
        from drivers.phantom import Trace

        if int(self.valid.sum()) < 2:
            raise BadRecording(f"motion trace: {int(self.valid.sum())} samples are valid; at least 2 are needed")
        lr_mm, si_mm, ap_mm = (scale * axis[self.valid] for axis in (self.lr_mm, self.si_mm, self.ap_mm))
        return Trace(t_s=self.t_s[self.valid], si_mm=si_mm, ap_mm=ap_mm, lr_mm=lr_mm)


def read_trace(path: Path, axes: tuple[str, str, str] = ("+lr", "+si", "+ap")) -> MotionTrace:
    """Read a motion trace, whose format follows from its suffix.

    Parameters
    ----------
    path
        A `.vxp`, `.csv` or `.txt` file.
    axes
        For `.csv` alone: patient axis of x, y and z, with its sign, for example ("+lr", "-ap", "+si").

    Raises
    ------
    BadRecording
        One sentence that names the file, the line, the value and what is needed.
    """
    readers = {".vxp": _read_vxp, ".csv": lambda file, text: _read_csv(file, text, axes), ".txt": _read_robot}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise BadRecording(f"{path}: {path.suffix or 'no suffix'} is not a motion trace; .vxp, .csv and .txt are")
    try:
        text = read_bounded(path, MAX_BYTES).decode("utf-8-sig")
    except BadFrame as error:
        raise BadRecording(f"{path}: {error}") from None
    except UnicodeDecodeError:
        raise BadRecording(f"{path}: it is not a text file (UTF-8)") from None
    return reader(path, text)


def _read_vxp(path: Path, text: str) -> MotionTrace:
    header_text, found, data = text.partition("[Data]")
    header = dict(line.partition("=")[::2] for line in header_text.splitlines() if "=" in line)
    layout = header.get("Data_layout", "").split(",")
    if not found or any(field not in layout for field in _VXP_FIELDS):
        raise BadRecording(f"{path}: Data_layout is {','.join(layout)[:80]!r}; {', '.join(_VXP_FIELDS)} are needed")
    columns = [layout.index(field) for field in _VXP_FIELDS]
    first_line = header_text.count("\n") + 1
    rows = [
        [_number(path, first_line + at, fields[column]) for column in columns]
        for at, line in enumerate(data.splitlines())
        if len(fields := line.split(",")) >= len(layout)
    ]
    table = _table(path, rows)
    scale = _number(path, 0, header.get("Scale_factor", "10"))
    zeros = np.zeros(len(table))
    return _trace(path, table[:, 1] / 1e3, zeros, zeros, -table[:, 0] * scale, table[:, 2] >= 0)


def _read_csv(path: Path, text: str, axes: tuple[str, str, str]) -> MotionTrace:
    if sorted(axis[-2:] for axis in axes) != ["ap", "lr", "si"] or not all(map(_AXES.fullmatch, axes)):
        raise BadRecording(f"{path}: axes is {axes}; lr, si and ap are needed, once each, after + or -")
    lines = text.splitlines()
    if not lines or [field.strip('" ') for field in lines[0].split(";")] != ["Frame", "Timestamp", "x", "y", "z"]:
        raise BadRecording(f"{path}: line 1 is {lines[0][:60] if lines else ''!r}; Frame;Timestamp;x;y;z is needed")
    rows = [
        [_number(path, at, field.replace(",", ".")) for field in line.split(";")]
        for at, line in enumerate(lines[1:], start=2)
        if line.strip()
    ]
    table = _table(path, rows)
    if len(table) and table.shape[1] != 5:
        raise BadRecording(f"{path}: rows have {table.shape[1]} values; 5 are needed")
    table = table[:-1] if len(table) > 1 and not table[-1].any() else table
    named = {axis[-2:]: (-1 if axis[0] == "-" else 1) * table[:, 2 + at] for at, axis in enumerate(axes)}
    return _trace(path, table[:, 1] / 1e3, named["lr"], named["si"], named["ap"], np.ones(len(table), np.bool_))


def _read_robot(path: Path, text: str) -> MotionTrace:
    rows = [
        [_number(path, at, field) for field in line.split()]
        for at, line in enumerate(text.splitlines(), start=1)
        if line.strip()
    ]
    table = _table(path, rows)
    if table.shape[1] not in (4, 7):
        raise BadRecording(f"{path}: rows have {table.shape[1]} values; time, LR, SI, AP and 3 rotations are needed")
    return _trace(path, table[:, 0], table[:, 1], table[:, 2], -table[:, 3], np.ones(len(table), np.bool_))


def _number(path: Path, line: int, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not abs(number) < 1e15:
        raise BadRecording(f"{path}: line {line} holds {text[:30]!r}; a number is needed")
    return number


def _table(path: Path, rows: list[list[float]]) -> NDArray[np.float64]:
    widths = {len(row) for row in rows}
    if len(rows) < 2 or len(widths) != 1:
        raise BadRecording(
            f"{path}: {len(rows)} rows of {sorted(widths)} values; 2 or more rows of one length are needed"
        )
    return np.array(rows, np.float64)


def _trace(
    path: Path, t_s: NDArray[Any], lr: NDArray[Any], si: NDArray[Any], ap: NDArray[Any], valid: NDArray[Any]
) -> MotionTrace:
    """Drop rows that go back in time. A stamp far ahead would drop all later rows, so such a trace is refused."""
    follows = t_s > np.concatenate([[-np.inf], np.maximum.accumulate(t_s)[:-1]])
    kept = np.flatnonzero(follows)
    if len(kept) < 2 or len(kept) < 0.99 * len(t_s):
        raise BadRecording(
            f"{path}: {len(t_s) - len(kept)} of {len(t_s)} time stamps do not increase; 1 % is the limit"
        )
    seconds = t_s[kept] - t_s[kept[0]]
    largest_mm = max(float(np.abs(axis[kept]).max()) for axis in (lr, si, ap))
    if not (seconds[-1] <= MAX_SECONDS and largest_mm <= MAX_MM):
        raise BadRecording(
            f"{path}: it lasts {seconds[-1]:g} s and moves to {largest_mm:g} mm; "
            f"{MAX_SECONDS:g} s and {MAX_MM:g} mm are the limits"
        )
    return MotionTrace(seconds, lr[kept], si[kept], ap[kept], valid[kept], len(t_s) - len(kept))
