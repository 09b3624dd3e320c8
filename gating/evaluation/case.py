"""What is scored: one recording with what is known about its target, and a tracker's results."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gating.tracking.tracker import TrackResult


@dataclass(frozen=True, slots=True)
class Case:
    """One recording and what is known about its target.

    Attributes
    ----------
    name : str
    frames : (frames, rows, columns) real numbers
        Arbitrary intensity units.
    elapsed_s : (frames,) float64
        Time since the frame before; 0 for the first.
    pixel_spacing_mm : tuple of float
        Spacing of (rows, columns).
    contour_px : (n, 2) float32
        Points (x, y) of the target in the first frame.
    labels : (frames, rows, columns) bool, optional
    track_px : (frames, 2) float64, optional
        Reference centre (x, y).
    region : str
        Scanned region as the challenge names it, or "".
    grid : Path, optional
        Image of the frames, whose geometry the written masks get.
    times_assumed : bool
        Whether `elapsed_s` follows from a rate that the recording does not hold.
    """

    name: str
    frames: NDArray[Any]
    elapsed_s: NDArray[np.float64]
    pixel_spacing_mm: tuple[float, float]
    contour_px: NDArray[np.float32]
    labels: NDArray[np.bool_] | None = None
    track_px: NDArray[np.float64] | None = None
    region: str = ""
    grid: Path | None = None
    times_assumed: bool = False


@dataclass(frozen=True, slots=True)
class CaseRun:
    """A tracker's result for every frame but the first, and how long each took.

    Attributes
    ----------
    first : int
        The first frame that is scored; those before it are given, or were the preparation.
    """

    case: Case
    results: list[TrackResult]
    seconds: NDArray[np.float64]
    started: datetime
    completed: datetime
    first: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A tracker's scores.

    Attributes
    ----------
    tracker
        Its name.
    aggregates
        Figures over all cases: means, and sums of what is counted.
    results
        One row of figures per case.
    refused
        One sentence for every case whose target cannot be tracked; its first mask is kept for all frames and scored.
    frames
        One row for every scored frame.
    prepare_frames
        Frames at the start of each case that were the preparation, and are not scored.
    """

    tracker: str
    aggregates: dict[str, float]
    results: list[dict[str, Any]]
    refused: dict[str, str]
    frames: list[dict[str, Any]]
    prepare_frames: int = 0

    def summary(self) -> dict[str, Any]:
        """Return the content of `metrics.json`."""
        return {
            "tracker": self.tracker,
            "prepare_frames": self.prepare_frames,
            "aggregates": self.aggregates,
            "results": self.results,
            "refused": self.refused,
        }
