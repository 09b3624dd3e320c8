"""Smooth deformations in the order of their bending energy: the principal warps of a thin plate.

A thin plate is held at control points on a grid around the target. The eigenvectors of its bending energy are
deformations that cost more and more energy at the same deflection; affine motions cost none. The first few describe how
an organ is bent and unevenly compressed, and leave out what only noise would ask for.

Source: F. L. Bookstein, "Principal warps: thin-plate splines and the decomposition of deformations", IEEE Trans.
Pattern Anal. Mach. Intell. 11(6), 1989, doi 10.1109/34.24792.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

AFFINE: Final = 3
"""The first functions: 1, and the two coordinates."""
CONTROL_POINTS: Final = 30


class BendingModes:
    """The affine functions and the first principal warps around a target, for any place.

    Parameters
    ----------
    low, high : (2,) float64
        Corners (x, y) of the box that the control points fill, px.
    centre : (2,) float64
        Place (x, y) where the coordinates are 0.
    length_px : float
        Unit of length of all functions.
    count : int
        Number of principal warps.

    Attributes
    ----------
    energies : (3 + count,) float64
        Bending energy of each function at a mean square of 1 over the control points; 0 for the affine ones.
    """

    def __init__(self, low: Array, high: Array, centre: Array, length_px: float, count: int) -> None:
        self._centre, self._length_px = centre, length_px
        sides = np.maximum(high - low, 1e-6)
        numbers = np.maximum(np.round(sides / np.sqrt(sides.prod() / CONTROL_POINTS)).astype(int) + 1, 4)
        axes = (np.linspace(first, last, n) for first, last, n in zip(low, high, numbers, strict=True))
        self._points = self._local(np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2))
        n = len(self._points)
        system = np.zeros((n + AFFINE, n + AFFINE))
        system[:n, :n] = _plate(self._points, self._points)
        system[:n, n:] = _affine(self._points)
        system[n:, :n] = system[:n, n:].T
        inverse = np.linalg.inv(system)
        energies, warps = np.linalg.eigh((inverse[:n, :n] + inverse[:n, :n].T) / 2.0)
        chosen = np.argsort(energies)[AFFINE : AFFINE + count]
        self._coefficients = inverse[:, :n] @ warps[:, chosen] * np.sqrt(n)
        self.energies = np.concatenate([np.zeros(AFFINE), energies[chosen]])

    def at(self, places: NDArray[Any]) -> Array:
        """Return every function, (n, 3 + count) float64, at (n, 2) places (x, y) in px."""
        local = self._local(places)
        affine = _affine(local)
        return np.column_stack([affine, np.column_stack([_plate(local, self._points), affine]) @ self._coefficients])

    def _local(self, places: NDArray[Any]) -> Array:
        local: Array = (np.asarray(places, np.float64) - self._centre) / self._length_px
        return local


def _affine(local: Array) -> Array:
    return np.column_stack([np.ones(len(local)), local])


def _plate(places: Array, points: Array) -> Array:
    """Return how a plate bends at places if it is pushed at points: r^2 log r."""
    away = (places[:, None, :] - points[None, :, :]) ** 2
    squared = away[..., 0] + away[..., 1]
    bend: Array = 0.5 * squared * np.log(np.maximum(squared, 1e-300))
    return bend
