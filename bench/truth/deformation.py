"""A smooth, invertible motion of the whole picture, and points carried by it exactly.

The motion is a backward displacement v: the frame shows at x what the still shows at x - v(x). A point p of the still
is therefore seen where x = p + v(x), which is solved to `PRECISION_PX`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Points = NDArray[np.float64]

PRECISION_PX: Final = 0.002
ROUNDS: Final = 60
SLIDE_PX: Final = 3.0
"""Scale of the layer in which the organs slide along the back. It begins 4 times as far behind the target."""
PLATEAU, FALL_OFF = 1.1, 2.2
"""The target is deformed as a whole up to 1.1 times its radius, and what is beyond 2.2 not at all."""


@dataclass(frozen=True, slots=True)
class Pose:
    """The state of the anatomy in one frame.

    Attributes
    ----------
    si_mm, ap_mm
        Displacement of the organs around the target.
    compression, expansion
        The target's loss of height, and gain of depth (AP), as fractions.
    rotation_rad
        Of the target about its centre.
    ripple
        Factor of the random deformation.
    beat
        Factor of the heart's pull.
    """

    si_mm: float
    ap_mm: float
    compression: float = 0.0
    expansion: float = 0.0
    rotation_rad: float = 0.0
    ripple: float = 0.0
    beat: float = 0.0


class Deformation:
    """The motion of one scene on a grid of `shape` pixels of 1 mm.

    Parameters
    ----------
    shape
        (rows, columns) of the frames.
    outline
        (n, 2) the target at rest.
    back_px
        Column where the back begins, which stays still; farther behind where the target reaches up to it.
    held
        Fraction of the SI and AP motion around it that the target does not share.
    ripple_mm, ripple_scale_px, beat_mm
        Standard deviation and correlation length of the random deformation; the heart's pull at the target's top.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        outline: Points,
        *,
        back_px: float,
        held: float,
        ripple_mm: float,
        ripple_scale_px: float,
        beat_mm: float,
        reach_mm: float,
        rng: np.random.Generator,
    ) -> None:
        low, high = outline.min(axis=0), outline.max(axis=0)
        self._centre, self._radii = (low + high) / 2.0, (high - low) / 2.0
        self._back_px, self._held = max(back_px, float(high[0]) + 4.0 * SLIDE_PX), held
        width = 1.8 * abs(held) * reach_mm / float(self._radii.min())
        self._fall_off = max(FALL_OFF, PLATEAU + width)
        self._ripple = ripple_mm * _smooth_field(shape, ripple_scale_px, rng)
        rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
        away = np.hypot((columns - self._centre[0]) / 30.0, (rows - low[1]) / 30.0)
        self._beat = (beat_mm * np.exp(-(away**2))).astype(np.float32)
        self._grid = columns, rows

    def frame_maps(self, pose: Pose) -> tuple[Field, Field]:
        """Return for every pixel of the frame the column and row of the still that it shows."""
        columns, rows = self._grid
        dx, dy = self._displacement(columns, rows, pose, self._ripple, self._beat)
        return columns - dx, rows - dy

    def carried(self, points: Points, pose: Pose) -> Points:
        """Return where points (x, y) of the still are seen.

        Raises
        ------
        ValueError
            If the motion folds there, so that no single place shows them.
        """
        seen = points + np.array([pose.ap_mm, pose.si_mm]) * (1.0 - self._held)
        for _ in range(ROUNDS):
            x, y = seen.T.astype(np.float32)
            sampled = [cv2.remap(f, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).ravel() for f in
                       (*self._ripple, self._beat)]  # fmt: skip
            dx, dy = self._displacement(x, y, pose, np.stack(sampled[:2]), sampled[2])
            step = points + np.stack([dx, dy], axis=1) - seen
            seen = seen + step
            if float(np.abs(step).max()) < PRECISION_PX:
                return seen
        raise ValueError(f"deformation: points do not settle ({np.abs(step).max():.3f} px); the motion folds there")

    def _displacement(self, x: Field, y: Field, pose: Pose, ripple: Field, beat: Field) -> tuple[Field, Field]:
        sliding = 1.0 / (1.0 + np.exp((x - np.float32(self._back_px)) / np.float32(SLIDE_PX)))
        soft = 1.0 / (1.0 + np.exp((x - np.float32(self._back_px + 4.0 * SLIDE_PX)) / np.float32(2.0 * SLIDE_PX)))
        share = 1.0 - self._held
        qx = x - np.float32(self._centre[0] + share * pose.ap_mm)
        qy = y - np.float32(self._centre[1] + share * pose.si_mm)
        inside = self._inside(qx, qy)
        linear = _backward(pose)
        dx = pose.ap_mm * (soft - self._held * inside) + inside * (linear[0, 0] * qx + linear[0, 1] * qy)
        dy = pose.si_mm * (sliding - self._held * inside) + inside * (linear[1, 0] * qx + linear[1, 1] * qy)
        dx += pose.ripple * sliding * ripple[0]
        dy += sliding * (pose.ripple * ripple[1] + pose.beat * beat)
        return dx.astype(np.float32), dy.astype(np.float32)

    def _inside(self, qx: Field, qy: Field) -> Field:
        """Return 1 within the plateau, 0 beyond the fall-off, and a cosine between."""
        radius = np.sqrt((qx / np.float32(self._radii[0])) ** 2 + (qy / np.float32(self._radii[1])) ** 2)
        part = np.clip((radius - np.float32(PLATEAU)) / np.float32(self._fall_off - PLATEAU), 0.0, 1.0)
        return np.asarray(0.5 + 0.5 * np.cos(np.float32(np.pi) * part), np.float32)


def _backward(pose: Pose) -> NDArray[np.float64]:
    """Return I - F^-1, where F turns, compresses along SI and expands along AP."""
    cosine, sine = np.cos(pose.rotation_rad), np.sin(pose.rotation_rad)
    forward = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([1.0 + pose.expansion, 1.0 - pose.compression])
    return np.asarray(np.eye(2) - np.linalg.inv(forward))


def _smooth_field(shape: tuple[int, int], scale_px: float, rng: np.random.Generator) -> Field:
    """Return a smooth random field of unit standard deviation, (2, rows, columns): along x first."""
    white = rng.standard_normal((2, *shape)).astype(np.float32)
    field = np.stack([cv2.GaussianBlur(one, (0, 0), scale_px) for one in white])
    return np.asarray(field / field.std(), np.float32)
