"""The two sides of a comparison: when each held the beam, and where each saw the target."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gating.errors import CinegateError
from gating.geometry.contours import contour_centroid
from gating.geometry.plane import ImagePlane
from gating.messages import GateState
from gating.session.log import SessionError
from gating.session.summary_data import SessionData, read_data

Outline = NDArray[np.float64]
"""(n, 2) of (x, y), px."""
TIMES: Final = ("time_s", "time")
COLUMNS: Final = (*TIMES, "state", "x_mm", "y_mm", "z_mm", "outline_px")
STATES: Final = {
    **dict.fromkeys(("on", "beam_on", "beam on", "1", "true"), False),
    **dict.fromkeys(("hold", "off", "beam_hold", "beam hold", "0", "false"), True),
}
"""Whether a word means hold."""


class ShadowError(CinegateError, ValueError):
    """Two systems cannot be compared; the text is one sentence."""


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """What one system said, row by row.

    Attributes
    ----------
    name
        Of the log or file.
    t_s
        (n,) seconds on the system's own clock, strictly increasing.
    hold
        (n,) whether it held the beam, from a row to the next; None if it does not say.
    position_mm
        (n, 3) LPS, of the target's centre; NaN where it is not known.
    frames, reasons
        (n,) number of the frame, and reason of the decision; empty for a vendor.
    outlines
        Outline of the target by the number of the row.
    """

    name: str
    t_s: NDArray[np.float64]
    hold: NDArray[np.bool_] | None
    position_mm: NDArray[np.float64]
    frames: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    reasons: tuple[str, ...] = ()
    outlines: Mapping[int, Outline] = field(default_factory=dict)

    @property
    def interval_s(self) -> float:
        """Median time from a row to the next."""
        return float(np.median(np.diff(self.t_s)))

    @property
    def located(self) -> NDArray[np.bool_]:
        """(n,) where the target's centre is known."""
        return np.asarray(np.isfinite(self.position_mm).all(axis=1))


def side_of_session(data: SessionData, target: str = "") -> Side:
    """Return what our engine decided in a session, by the acquisition of its frames, in seconds since 1970.

    Raises
    ------
    ShadowError
        If the log holds no decided frames, or does not say when it was recorded.
    """
    said = data.metadata.get("wall_minus_monotonic_ns", "")
    decided = [number for number in data.outcomes if number in data.frames]
    if not said.lstrip("-").isdecimal() or len(decided) < 2:
        raise ShadowError(f"{data.path.name}: {len(decided)} decided frames with a known time; 2 or more are needed")
    decided.sort(key=lambda number: data.frames[number].acquired_on_publish_clock_ns)
    t_s = [(data.frames[number].acquired_on_publish_clock_ns + int(said)) / 1e9 for number in decided]
    name = target or next(iter(data.estimates), "")
    seen = {one.frame_sequence: one for one in data.estimates.get(name, []) if one.status == "tracked"}
    nowhere = (math.nan,) * 3
    return make_side(
        data.path.name,
        t_s,
        [data.outcomes[number].command.state is GateState.HOLD for number in decided],
        [seen[number].position_mm if number in seen else nowhere for number in decided],
        frames=decided,
        reasons=[data.outcomes[number].command.reason for number in decided],
        outlines=[np.array(seen[number].contour_px) if number in seen else None for number in decided],
    )


def read_vendor(path: Path, plane: ImagePlane | None = None) -> Side:
    """Return what a clinical system said: a CSV of its states, its frame files, or another session log.

    Parameters
    ----------
    path
        A `.csv` (`read_rows`), a folder of the 1.5 T system's `.bin` frames, or a session log.
    plane
        The plane of our frames, in which outlines lie that are given in px.

    Raises
    ------
    ShadowError, SessionError
        If the file cannot be used; one sentence.
    OSError
        If it cannot be read.
    """
    if path.is_dir():
        return _read_frames(path)
    if path.suffix == ".mcap":
        return side_of_session(read_data(path))
    if path.suffix == ".csv":
        whole = path.read_text(encoding="utf-8-sig").rpartition("\n")[0]  # a row may just be being written
        return read_rows(path.name, whole.splitlines(), plane)
    raise ShadowError(f"{path}: a .csv, a session log (.mcap) or a folder of .bin frames is needed")


def read_rows(name: str, lines: Iterable[str], plane: ImagePlane | None = None) -> Side:
    """Return what the rows of a CSV say.

    The columns, with a head: `time_s` (a number) or `time` (ISO 8601 with zone); `state` (on or hold), the target's
    centre `x_mm`, `y_mm`, `z_mm` (LPS), or its outline, `outline_px` ("x y x y ..." in px of our image). A state lasts
    until the next row.

    Raises
    ------
    ShadowError
        One sentence that names the line, the column and the value.
    """
    reader = csv.DictReader(lines)
    known = set(reader.fieldnames or ())
    if not known & set(TIMES) or not known & set(COLUMNS[2:]) or known - set(COLUMNS):
        raise ShadowError(f"{name}: columns are {', '.join(sorted(known))[:200]}; known are {', '.join(COLUMNS)}")
    t_s, hold, positions, outlines = [], [], [], []
    for number, row in enumerate(reader, start=2):
        try:
            t_s.append(_time_s(row))
            if "state" in known:
                hold.append(STATES[row["state"].strip().lower()])
            outline = _outline(row.get("outline_px") or "")
            outlines.append(outline)
            positions.append(_position_mm(row, outline, plane))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ShadowError(f"{name}, line {number}: {error}, in {str(row)[:200]}") from None
    return make_side(name, t_s, hold if "state" in known else None, positions, outlines=outlines)


def _time_s(row: Mapping[str, str]) -> float:
    if "time_s" in row:
        time_s = float(row["time_s"])
    else:
        moment = datetime.fromisoformat(row["time"])
        if moment.tzinfo is None:
            raise ValueError("the time has no zone")
        time_s = moment.timestamp()
    if not abs(time_s) < 1e11:
        raise ValueError(f"the time is {time_s}; seconds are needed")
    return time_s


def _position_mm(row: Mapping[str, str], outline: Outline | None, plane: ImagePlane | None) -> tuple[float, ...]:
    if row.get("x_mm") or row.get("y_mm") or row.get("z_mm"):
        return tuple(float(row.get(axis) or 0.0) for axis in ("x_mm", "y_mm", "z_mm"))
    if outline is not None and plane is not None:
        return plane.to_lps_mm(*contour_centroid(outline))
    return (math.nan,) * 3


def _outline(text: str) -> Outline | None:
    if not text.strip():
        return None
    outline = np.array([float(number) for number in text.split()], float)
    if outline.size < 6 or outline.size % 2 or not np.isfinite(outline).all():
        raise ValueError(f"outline_px has {outline.size} numbers; 3 or more finite points are needed")
    return outline.reshape(-1, 2)


def _read_frames(folder: Path) -> Side:
    """Return where the 1.5 T system saw its target; its frame files do not say whether it held the beam."""
    from drivers.errors import BadFrame
    from drivers.formats.unity import read_unity

    found = []
    for path in sorted(folder.glob("*.bin")):
        try:
            found.append(read_unity(path))
        except BadFrame as error:
            raise ShadowError(f"{path}: {error}") from None
    found.sort(key=lambda one: one.frame.acquired_ns)
    nowhere = (math.nan,) * 3
    contours = [one.target_contour_px() for one in found]
    return make_side(
        folder.name,
        [one.frame.acquired_ns / 1e9 for one in found],
        None,
        [one.centroid_mm or nowhere for one in found],
        outlines=[None if contour is None else contour.astype(float) for contour in contours],
    )


def make_side(
    name: str,
    t_s: list[float],
    hold: list[bool] | None,
    positions: list[tuple[float, ...]],
    *,
    outlines: list[Outline | None],
    frames: list[int] | None = None,
    reasons: list[str] | None = None,
) -> Side:
    """Return a side of its rows. Raises `ShadowError` if they are fewer than 2, or not in order of time."""
    times = np.array(t_s, float)
    if len(times) < 2 or not (np.diff(times) > 0).all():
        back = int(np.argmax(np.diff(times) <= 0)) + 1 if len(times) > 1 else 0
        raise ShadowError(f"{name}: {len(times)} rows, row {back} not later than that before; 2 or more are needed")
    return Side(
        name,
        times,
        None if hold is None else np.array(hold, bool),
        np.array(positions, float).reshape(-1, 3),
        np.array(frames or [], np.int64),
        tuple(reasons or ()),
        {row: outline for row, outline in enumerate(outlines) if outline is not None},
    )


def read_session_side(path: Path) -> tuple[SessionData, Side]:
    """Return a session with our side of it. Raises `ShadowError`, `SessionError`, `OSError`."""
    data = read_data(path)
    if not data.frames:
        raise SessionError(f"{path.name} holds no frames")
    return data, side_of_session(data)
