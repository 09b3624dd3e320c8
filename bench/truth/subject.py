"""What a tracker is judged on: a recording, and what is known about its target in every frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gating.evaluation.case import Case


@dataclass(frozen=True, slots=True)
class Subject:
    """A recording of one person with its truth, frame by frame.

    Attributes
    ----------
    case
        The recording, as a tracker gets it.
    group
        The scenario, or the kind of the recording: one row of the table.
    person
        Whose anatomy it is, so that people can be left out.
    contours
        (n, 2) float32 each, px; empty where only a centre is known.
    outline_px
        (frames, 2) centroid of the outline; NaN where unknown.
    content_px
        (frames, 2) mean motion of what is inside, put on the first frame's centre; NaN where unknown.
    """

    case: Case
    group: str
    person: str
    contours: list[NDArray[np.float32]]
    outline_px: NDArray[np.float64]
    content_px: NDArray[np.float64]
