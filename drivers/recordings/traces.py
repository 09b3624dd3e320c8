"""Recorded motion, as text: Varian RPM (`.vxp`), tables with named columns, robot trajectories.

All are returned in patient axes (LPS), in mm: left, superior and posterior are positive.

- `.vxp` (VXP 1.6): one amplitude, in cm (`Scale_factor` 10 turns it into mm), of a block on the chest or belly. The
  block rises with inhalation, towards the anterior, so the amplitude becomes motion along -AP. A sample with a negative
  `validflag` is invalid.
- Tables (`.csv`, `.txt`) whose first line names the columns: a time, and LR, SI or AP in patient axes as above, or x, y
  and z in those of a tracking camera; other columns are left alone. The file does not say how the camera stood relative
  to the patient: `axes` assigns each column to a patient axis. Fields are separated by semicolons, tabs, commas or
  blanks; decimal commas are read. External markers (`Frame;Timestamp;x;y;z`, in ms and mm) are such a table. An
  all-zero row ends the file and is dropped, as is a row whose time stamp is not later than the one before.
- `.txt` without a header: time in s; LR, SI and AP in mm; three rotations, which are ignored. The signs are not
  defined. In liver traces SI and AP have opposite signs (r = -0.92 and -0.94), and the liver moves inferior and
  anterior at inhale. So AP is taken as positive towards the anterior, and inverted here. That is an inference, not part
  of the format.
"""

from __future__ import annotations

import os
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
_NAME: Final = re.compile(r"(?P<name>t|time|timestamp|lr|si|ap|x|y|z)[ _]*[\[(]?(?P<unit>ms|s|mm|cm)?[\])]?")
"""Name of a column with its unit, in lower case: `t_s`, `Time (ms)`, `SI [mm]`."""
_TIMES: Final = {"t": "s", "time": "s", "timestamp": "ms"}
"""Names of the time, and its unit where the column has none."""
_PER_S: Final = {"s": 1.0, "ms": 1e3}
_HEADER_NEEDED: Final = (
    "a header with a time (t_s, time_ms; Timestamp is in ms) and lr, si or ap (mm, LPS), or x, y and z (mm) is needed"
)
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


def read_trace(path: str | os.PathLike[str], axes: tuple[str, str, str] = ("+lr", "+si", "+ap")) -> MotionTrace:
    """Read a motion trace, whose format follows from its suffix.

    Parameters
    ----------
    path
        A `.vxp`, `.csv` or `.txt` file.
    axes
        Patient axis of the columns x, y and z, with its sign, for example ("+lr", "-ap", "+si").

    Raises
    ------
    BadRecording
        One sentence that names the file, the line, the value and what is needed.
    """
    file = Path(path)
    if sorted(axis[-2:] for axis in axes) != ["ap", "lr", "si"] or not all(map(_AXES.fullmatch, axes)):
        raise BadRecording(f"{file}: axes is {axes}; lr, si and ap are needed, once each, after + or -")
    if file.suffix.lower() not in (".vxp", ".csv", ".txt"):
        raise BadRecording(f"{file}: {file.suffix or 'no suffix'} is not a motion trace; .vxp, .csv and .txt are")
    try:
        text = read_bounded(file, MAX_BYTES).decode("utf-8-sig")
    except BadFrame as error:
        raise BadRecording(f"{file}: {error}") from None
    except UnicodeDecodeError:
        raise BadRecording(f"{file}: it is not a text file (UTF-8)") from None
    return _read_vxp(file, text) if file.suffix.lower() == ".vxp" else _read_table(file, text, axes)


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


def _read_table(path: Path, text: str, axes: tuple[str, str, str]) -> MotionTrace:
    """Read a table whose header names the columns, or a robot trajectory, which has none."""
    lines = [(at, line) for at, line in enumerate(text.splitlines(), start=1) if line.strip()]
    delimiter = _delimiter(lines[0][1]) if lines else None
    rows = [(at, [field.strip('" ') for field in line.split(delimiter)]) for at, line in lines]
    if not rows or all(map(_is_number, rows[0][1])):
        if path.suffix.lower() == ".csv":
            raise BadRecording(f"{path}: line 1 is {lines[0][1][:60] if lines else ''!r}; {_HEADER_NEEDED}")
        return _read_robot(path, [[_number(path, at, field) for field in fields] for at, fields in rows])
    columns = _Columns.of(path, rows[0][1], axes)
    needed = columns.needed
    table = [
        [_number(path, at, fields[column] if column < len(fields) else "") for column in needed]
        for at, fields in rows[1:]
    ]
    return columns.trace(path, _table(path, table))


@dataclass(frozen=True, slots=True)
class _Columns:
    """Which columns of a table hold what."""

    time: int
    per_s: float
    axes: dict[str, tuple[int, float]]
    """Column and factor to mm of each patient axis that the table holds."""

    @classmethod
    def of(cls, path: Path, header: list[str], axes: tuple[str, str, str]) -> _Columns:
        named = {
            found["name"]: (at, found["unit"])
            for at, name in enumerate(header)
            if (found := _NAME.fullmatch(name.lower()))
        }
        time = next((name for name in _TIMES if name in named), None)
        camera = dict(zip("xyz", axes, strict=True)) if set("xyz") <= named.keys() else {}
        given = {name: f"+{name}" for name in ("lr", "si", "ap") if name in named} or camera
        if time is None or not given:
            raise BadRecording(f"{path}: line 1 is {';'.join(header)[:60]!r}; {_HEADER_NEEDED}")
        at, unit = named[time]
        placed = {
            axis[-2:]: (named[name][0], (-1 if axis[0] == "-" else 1) * (10.0 if named[name][1] == "cm" else 1.0))
            for name, axis in given.items()
        }
        return cls(at, _PER_S[unit or _TIMES[time]], placed)

    @property
    def needed(self) -> list[int]:
        """Columns to read: the time, then those of the axes."""
        return [self.time, *(column for column, _ in self.axes.values())]

    def trace(self, path: Path, table: NDArray[np.float64]) -> MotionTrace:
        """Return the trace of a table of the needed columns, without a last row of zeros."""
        table = table[:-1] if len(table) > 1 and not table[-1].any() else table
        zeros = np.zeros(len(table))
        moved = {axis: factor * table[:, at] for at, (axis, (_, factor)) in enumerate(self.axes.items(), start=1)}
        lr, si, ap = (moved.get(axis, zeros) for axis in ("lr", "si", "ap"))
        return _trace(path, table[:, 0] / self.per_s, lr, si, ap, np.ones(len(table), np.bool_))


def _delimiter(line: str) -> str | None:
    """Return what separates the fields; None for blanks. A comma may be a decimal one, unless there are points too."""
    for delimiter in (";", "\t"):
        if delimiter in line:
            return delimiter
    return "," if "," in line and ("." in line or " " not in line.strip() or any(map(str.isalpha, line))) else None


def _read_robot(path: Path, rows: list[list[float]]) -> MotionTrace:
    table = _table(path, rows)
    if table.shape[1] not in (4, 7):
        raise BadRecording(f"{path}: rows have {table.shape[1]} values; time, LR, SI, AP and 3 rotations are needed")
    return _trace(path, table[:, 0], table[:, 1], table[:, 2], -table[:, 3], np.ones(len(table), np.bool_))


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def _number(path: Path, line: int, text: str) -> float:
    try:
        number = float(text.replace(",", "."))
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
