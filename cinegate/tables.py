"""What tracking came to, as a table of one row a frame."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from cinegate.cases import mask_grid
from drivers.errors import Unavailable
from gating.analysis.definitions import duty_cycle
from gating.analysis.motion import beam_intervals, span_of
from gating.decision.reasons import GateReason
from gating.evaluation.masks import write_masks
from gating.geometry.contours import mask_from_contour
from gating.geometry.plane import ImagePlane
from gating.messages import Event, GateCommand, TargetEstimate
from gating.settings.private_file import private_file

if TYPE_CHECKING:
    import pandas

    from drivers.recordings import Recording

TRACK: Final = np.dtype(
    [
        ("frame", np.int64),
        ("t_s", np.float64),
        ("x_px", np.float64),
        ("y_px", np.float64),
        ("si_mm", np.float64),
        ("ap_mm", np.float64),
        ("confidence", np.float64),
        ("status", "U16"),
        ("target_out_fraction", np.float64),
        ("gate", "U8"),
        ("reason", "U32"),
    ]
)
"""Columns of a track, see `Track.table`."""
_NAMES: Final = tuple(TRACK.fields or ())
_DECIMALS: Final = {"t_s": 6}
"""In a CSV file; 4 where none are named."""


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One target through a recording.

    Attributes
    ----------
    recording : Recording
    table : structured array, (frames,)
        `frame`; `t_s` (acquisition, s); `x_px`, `y_px` (target centre); `si_mm`, `ap_mm` (patient position, LPS; NaN
        where the plane does not show the axis); `confidence` (0 to 1); `status`; `target_out_fraction` (0 to 1);
        `gate` (on or hold); `reason`. What is not known of a frame is NaN, and its status "".
    contours_px : tuple of (n, 2) arrays
        The target's outline in every frame, (x, y) px; (0, 2) where it is not known.
    details : tuple of str
        Why a frame is not `tracked`, one sentence a frame; "" where it is.
    events : tuple of (frame, Event)
        What the engine had to say, with the frame on which it said it.
    """

    recording: Recording
    table: NDArray[np.void]
    contours_px: tuple[NDArray[np.float64], ...]
    details: tuple[str, ...]
    events: tuple[tuple[int, Event], ...]

    def __len__(self) -> int:
        return len(self.table)

    @property
    def duty_cycle(self) -> float:
        """Duty cycle of a beam without latency, 0 to 1: the part of the time in which the gate permits beam."""
        t_s, on = self.table["t_s"], self.table["gate"] == "on"
        span_s = span_of(t_s)
        permitted_s = beam_intervals(np.append(t_s, span_s[1]), np.append(on, False), 0.0, 0.0)
        return duty_cycle(permitted_s, span_s)

    @property
    def faults(self) -> tuple[tuple[int, Event], ...]:
        """The events that latched the engine."""
        return tuple((frame, event) for frame, event in self.events if event.severity == "fault")

    @property
    def problem(self) -> str:
        """Why nothing could be tracked, one sentence; empty where something was."""
        said = {event.code: event.text.removeprefix("latched: ") for _, event in reversed(self.faults)}
        if GateReason.TARGET_UNUSABLE in said:
            return f"the target of {self.recording.path} cannot be learned: {said[GateReason.TARGET_UNUSABLE]}"
        if (self.table["status"] != "").any():
            return ""
        first = self.faults[0][1].code if self.faults else ""
        why = said.get(first) or f"every frame was held for {self.table['reason'][-1]}"
        return f"no frame of {self.recording.path} was tracked: {why}"

    def against_own_track(self) -> str:
        """Return how far the track lies from the one that the recording holds, in words; empty if it holds none."""
        own = self.recording.target_track_px
        if own is None:
            return ""
        tracked = self.table["status"] == "tracked"
        away_px = np.column_stack([self.table["x_px"], self.table["y_px"]]) - own
        row_mm, column_mm = self.recording.pixel_spacing_mm
        away_mm = np.hypot(column_mm * away_px[:, 0], row_mm * away_px[:, 1])[tracked]
        away_mm = away_mm[np.isfinite(away_mm)]
        if not len(away_mm):
            return "no tracked frame has a centre in the recording's own track"
        middle, most = np.percentile(away_mm, (50, 95))
        return (
            f"from the recording's own track: median {middle:.1f} mm, 95 % within {most:.1f} mm "
            f"({len(away_mm)} of {len(self)} frames)"
        )

    def to_dataframe(self) -> pandas.DataFrame:
        """Return the table as a pandas data frame. Raises `Unavailable` where pandas is not installed."""
        return dataframe(self.table)

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the table; what is not known is left empty."""
        with private_file(Path(path)).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(_NAMES)
            writer.writerows(map(_text, _NAMES, row) for row in self.table.tolist())

    def masks(self) -> NDArray[np.bool_]:
        """Return the target's masks, (frames, rows, columns); a frame that does not show it keeps the mask before."""
        masks = [np.zeros(self.recording.shape, bool)]
        for contour in self.contours_px:
            masks.append(mask_from_contour(contour, self.recording.shape) if len(contour) >= 3 else masks[-1])
        return np.stack(masks[1:])

    def write_masks(self, path: str | os.PathLike[str]) -> None:
        """Write the masks (`.mha`) with the axes of the TrackRAD2025 challenge, on the grid of the recording."""
        write_masks(Path(path), self.masks(), self.recording.pixel_spacing_mm, mask_grid(self.recording))


def track_table(
    recording: Recording, frames: Sequence[tuple[int, GateCommand, TargetEstimate | None]]
) -> NDArray[np.void]:
    """Return the rows of a track from (frame, command, estimate) of every frame."""
    shown = ImagePlane.of(recording).shown_axes()
    rows = [
        (frame, recording.stamps_ns[frame] / 1e9, *_found(estimate, shown), str(command.state), str(command.reason))
        for frame, command, estimate in frames
    ]
    return np.array(rows, TRACK)


def _found(estimate: TargetEstimate | None, shown: dict[str, int]) -> tuple[Any, ...]:
    nan = float("nan")
    if estimate is None:
        return nan, nan, nan, nan, nan, "", nan
    return (
        estimate.x_px,
        estimate.y_px,
        estimate.position_mm[2] if "si" in shown else nan,
        estimate.position_mm[1] if "ap" in shown else nan,
        estimate.confidence,
        str(estimate.status),
        estimate.target_out_fraction,
    )


def dataframe(table: NDArray[np.void]) -> pandas.DataFrame:
    """Return a structured array as a pandas data frame. Raises `Unavailable` where pandas is not installed."""
    try:
        import pandas
    except ImportError:
        install = f"{sys.executable} -m pip install pandas"
        raise Unavailable(f"to_dataframe needs pandas, which is not installed; install it with: {install}") from None
    return pandas.DataFrame.from_records(table)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return "" if np.isnan(value) else f"{value:.{_DECIMALS.get(name, 4)}f}"
