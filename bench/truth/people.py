"""Whose anatomy the scenes show: two stills of each person, outlines of targets in them, all in mm.

A still is the mean of the ten frames of a recording that are most like one frame, resampled to 1 mm: the anatomy of
one phase, with little of the recording's noise. The second still is the phase that differs most, aligned at the target:
what through-plane motion brings into the slice. Ripples that move with the anatomy are part of a still.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Points = NDArray[np.float64]

DATA: Final = Path(os.environ.get("CINEGATE_DATA", Path(__file__).parents[3] / "shared" / "data"))
ALIKE: Final = 10
OUTLINE_POINTS: Final = 160
HEART_MM_PER_PX: Final = 2.6
"""The recording does not say; with this a chest has a usual width."""


@dataclass(frozen=True, slots=True)
class Person:
    """Someone whose recording gives the stills.

    Attributes
    ----------
    recording
        File (`.npz`) or case folder below the shared data.
    organ
        Outline of an organ in the first frame, (x, y) mm, joined by a smooth curve.
    region
        Ellipse with texture, as a tumour would be outlined: x, y, rx, ry in mm.
    small
        Centres (x, y) of bright or dark details, mm.
    back_mm
        Column at which the sliding organs meet the back, which stays.
    """

    recording: str
    organ: tuple[tuple[float, float], ...]
    region: tuple[float, float, float, float]
    small: tuple[tuple[float, float], ...]
    back_mm: float


PEOPLE: Final[dict[str, Person]] = {
    "KS81": Person(
        "liver_cine/KS81_1.npz",
        ((92, 100), (112, 87), (135, 86), (160, 98), (185, 118), (205, 140), (206, 170), (200, 190), (180, 198),
         (150, 212), (120, 220), (95, 212), (80, 190), (75, 160), (78, 125)),
        (146, 146, 22, 18), ((142, 165), (190, 165), (105, 170)), 212,
    ),
    "QN76": Person(
        "liver_cine/QN76_1.npz",
        ((85, 105), (105, 85), (130, 82), (160, 90), (190, 112), (205, 130), (195, 165), (185, 180), (155, 195),
         (120, 207), (95, 198), (75, 180), (70, 150), (72, 125)),
        (140, 140, 20, 18), ((127, 113), (165, 48), (128, 157)), 212,
    ),
    "II29": Person(
        "liver_cine/II29_1.npz",
        ((95, 120), (125, 113), (155, 118), (185, 135), (208, 155), (203, 180), (195, 200), (165, 200), (140, 210),
         (110, 215), (90, 200), (80, 170), (80, 140)),
        (160, 165, 20, 18), ((138, 158), (147, 95), (133, 215)), 214,
    ),
    "CS31": Person(
        "liver_cine/CS31_2.npz",
        ((158, 170), (180, 150), (210, 140), (228, 150), (232, 200), (245, 235), (235, 260), (210, 252), (185, 240),
         (165, 215), (155, 190)),
        (205, 210, 22, 24), ((195, 168), (175, 173), (214, 209)), 270,
    ),
    "ETH3L": Person(
        "labelled/ETH3L",
        ((82, 212), (100, 184), (125, 175), (150, 182), (172, 200), (185, 225), (180, 250), (150, 258), (105, 258),
         (84, 245)),
        (152, 118, 22, 22), ((157, 140), (127, 93), (146, 222)), 196,
    ),
    "FMLP": Person(
        "heart_liver_60fps/lowres_highsnr_FMLP_900.npz",
        ((135, 247), (165, 240), (200, 250), (225, 262), (238, 290), (228, 322), (180, 332), (140, 320), (125, 285)),
        (185, 275, 24, 20), ((183, 221), (274, 252), (186, 86)), 330,
    ),
    "M1": Person(
        "labelled/RT_M1_033",
        ((70, 76), (85, 63), (110, 61), (130, 75), (140, 100), (130, 120), (105, 118), (82, 105)),
        (105, 90, 22, 16), ((62, 55), (70, 105)), 160,
    ),
    "M4": Person(
        "labelled/RT_M4_395",
        ((62, 62), (80, 53), (100, 60), (115, 80), (121, 100), (115, 113), (95, 106), (70, 90)),
        (90, 80, 18, 15), ((60, 92), (52, 78)), 140,
    ),
    "TONGUE": Person(
        "labelled/TONGUE3T",
        ((68, 175), (80, 160), (100, 152), (122, 160), (130, 180), (125, 205), (100, 210), (78, 200)),
        (100, 180, 20, 18), ((62, 205), (46, 122)), 140,
    ),
}  # fmt: skip
TRUNKS: Final = ("KS81", "QN76", "II29", "CS31", "ETH3L", "FMLP")
TONGUES: Final = ("M1", "M4", "TONGUE")


@dataclass(frozen=True, slots=True)
class Stills:
    """Two phases of one person at 1 mm, with a 99th percentile of 1: that of the first frame, and the farthest one."""

    first: Image
    farthest: Image


@cache
def stills_of(name: str) -> Stills:
    """Return the stills of a person of `PEOPLE`."""
    frames, spacing_mm = _frames_of(DATA / PEOPLE[name].recording)
    likeness = _likeness(frames, 0)
    phases = []
    for index in (0, int(np.argmin(likeness))):
        alike = np.argsort(-_likeness(frames, index))[:ALIKE]
        mean = frames[np.sort(alike)].mean(axis=0).astype(np.float32)
        still = cv2.resize(mean, None, fx=spacing_mm, fy=spacing_mm, interpolation=cv2.INTER_CUBIC)
        phases.append(np.clip(still / np.percentile(still, 99), 0.0, None).astype(np.float32))
    return Stills(phases[0], phases[1])


def _frames_of(recording: Path) -> tuple[NDArray[Any], float]:
    if recording.suffix == ".npz":
        with np.load(recording) as arrays:
            spacing = float(arrays["pixel_spacing_mm"][0]) if "pixel_spacing_mm" in arrays else HEART_MM_PER_PX
            return arrays["frames"], spacing
    from cinegate.cases import read_cases

    case = next(read_cases(recording))
    return case.frames, case.pixel_spacing_mm[0]


def _likeness(frames: NDArray[Any], index: int) -> NDArray[np.float32]:
    """Return the correlation of every frame with one, at half the resolution."""
    half = (frames.shape[2] // 2, frames.shape[1] // 2)
    small = [cv2.resize(one.astype(np.float32), half, interpolation=cv2.INTER_AREA).ravel() for one in frames]
    rows = np.stack(small)
    rows -= rows.mean(axis=1, keepdims=True)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows @ rows[index], np.float32)


def outline_mm(name: str, target: str, rng: np.random.Generator) -> Points:
    """Return a target's outline in the first still, (n, 2) of (x, y) mm: `organ`, `region`, or one of the `small`."""
    person = PEOPLE[name]
    if target == "organ":
        return smooth_outline(np.array(person.organ, float))
    angle = np.linspace(0.0, 2.0 * np.pi, OUTLINE_POINTS, endpoint=False)
    if target == "region":
        x, y, rx, ry = person.region
        radius = 1.0 + 0.12 * np.sin(3 * angle + rng.uniform(0, 6))
    elif target == "small":
        x, y = person.small[rng.integers(len(person.small))]
        rx, ry = rng.uniform(4.0, 6.0, 2)
        radius = np.ones_like(angle)
    else:
        raise ValueError(f"target: {target!r} is unknown; known are organ, region, small")
    return np.stack([x + rx * radius * np.cos(angle), y + ry * radius * np.sin(angle)], axis=1)


def smooth_outline(corners: Points) -> Points:
    """Return `OUTLINE_POINTS` points of a smooth closed curve through corners, by length of its chords."""
    from scipy.interpolate import CubicSpline

    closed = np.vstack([corners, corners[:1]])
    length = np.r_[0.0, np.cumsum(np.hypot(*np.diff(closed, axis=0).T))]
    curve = CubicSpline(length, closed, bc_type="periodic")
    return np.asarray(curve(np.linspace(0.0, length[-1], OUTLINE_POINTS, endpoint=False)), np.float64)
