"""The functions of a smooth deformation: their energy, their independence, and what costs nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RBFInterpolator

from gating.tracking.bending import AFFINE, BendingModes

LOW, HIGH, CENTRE, LENGTH_PX = np.array([20.0, 30.0]), np.array([110.0, 200.0]), np.array([65.0, 115.0]), 40.0
CONTROL = np.stack(np.meshgrid(np.linspace(20, 110, 5), np.linspace(30, 200, 9)), axis=-1).reshape(-1, 2)
"""About 30 squares over a box of 90 x 170 px."""
SIDES = st.floats(6.0, 250.0)


def modes(count: int = 10) -> BendingModes:
    return BendingModes(LOW, HIGH, CENTRE, LENGTH_PX, count)


def integral_of_curvature(functions: BendingModes, step: float = 0.02) -> np.ndarray:
    """Integral of the squared second derivatives, in units of the length, over a plane much wider than the box."""
    axis = np.linspace(-9.0, 9.0, 181)
    places = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    right, down = np.array([step, 0.0]), np.array([0.0, step])

    def at(offset: np.ndarray) -> np.ndarray:
        return functions.at(CENTRE + LENGTH_PX * (places + offset))

    here = at(0.0 * right)
    xx, yy = ((at(one) - 2.0 * here + at(-one)) / step**2 for one in (right, down))
    xy = (at(right + down) - at(right - down) - at(down - right) + at(-right - down)) / (4.0 * step**2)
    return np.asarray((xx**2 + 2.0 * xy**2 + yy**2).sum(axis=0) * (axis[1] - axis[0]) ** 2)


@given(SIDES, SIDES, st.integers(0, 10))
@settings(max_examples=15, deadline=None)
def test_energies_ascend_from_0_for_the_affine_functions(width, height, count):
    high = LOW + np.array([width, height])
    energies = BendingModes(LOW, high, (LOW + high) / 2.0, np.sqrt(width * height) / 2.0, count).energies
    assert energies[:AFFINE].tolist() == [0.0, 0.0, 0.0]
    assert len(energies) == AFFINE + count
    assert (np.diff(energies[AFFINE:]) >= -1e-9).all()
    assert (energies[AFFINE:] > 0).all()


def test_the_energy_is_that_of_a_bent_plate_but_for_its_unit():
    energies = 8.0 * np.pi * len(CONTROL) * modes(4).energies[AFFINE:]
    np.testing.assert_allclose(integral_of_curvature(modes(4))[AFFINE:], energies, rtol=0.06)


def test_a_warp_is_the_spline_through_its_values_at_the_control_points():
    warps = modes().at(CONTROL)[:, AFFINE:]
    spline = RBFInterpolator((CONTROL - CENTRE) / LENGTH_PX, warps, kernel="thin_plate_spline", degree=1)
    places = np.random.default_rng(0).uniform(LOW - 40.0, HIGH + 40.0, (60, 2))
    np.testing.assert_allclose(modes().at(places)[:, AFFINE:], spline((places - CENTRE) / LENGTH_PX), atol=1e-9)


def test_warps_are_orthonormal_over_the_control_points():
    functions = modes().at(CONTROL)
    products = functions.T @ functions / len(CONTROL)
    np.testing.assert_allclose(products[AFFINE:, AFFINE:], np.eye(10), atol=1e-9)
    np.testing.assert_allclose(products[:AFFINE, AFFINE:], 0.0, atol=1e-9)


def test_the_affine_functions_are_1_and_the_coordinates_from_the_centre():
    places = np.array([[65.0, 115.0], [105.0, 115.0], [65.0, 35.0]])
    np.testing.assert_allclose(modes(0).at(places), [[1, 0, 0], [1, 1, 0], [1, 0, -2]])


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_the_functions_do_not_depend_on_the_size_of_a_pixel(factor):
    other = BendingModes(factor * LOW, factor * HIGH, factor * CENTRE, factor * LENGTH_PX, 10)
    places = np.random.default_rng(1).uniform(LOW, HIGH, (20, 2))
    np.testing.assert_allclose(other.energies, modes().energies, rtol=1e-6)
    np.testing.assert_allclose(np.abs(other.at(factor * places)), np.abs(modes().at(places)), atol=1e-6)
