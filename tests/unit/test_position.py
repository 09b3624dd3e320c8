"""A position in 3D from two planes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from gating.geometry.plane import ImagePlane
from gating.targets.position_3d import PlanePosition, position_in_3d
from gating.targets.spec import TargetSpec
from gating.targets.targets import TargetSet
from tests.factories import stream

AXES = {"sagittal": (0, 1, 0, 0, 0, -1), "coronal": (1, 0, 0, 0, 0, -1), "transversal": (1, 0, 0, 0, 1, 0)}
MS = 1_000_000


def position(name: str, point: np.ndarray, at_ms: float, *, turned: float = 0.0) -> PlanePosition:
    """What a plane through (5, -7, 11) shows of a point: its projection on the plane."""
    axes = np.reshape(AXES[name], (2, 3)).astype(float)
    normal = np.cross(*axes)
    columns = np.cos(turned) * axes[0] + np.sin(turned) * normal
    plane = ImagePlane.of(stream(image_orientation=(*columns, *axes[1]), image_position_mm=(5.0, -7.0, 11.0)))
    normal = np.cross(plane.along_columns, plane.along_rows)
    away = point - plane.origin_mm
    return PlanePosition(plane, tuple(point - normal * (away @ normal)), round(at_ms * MS))


points = st.tuples(*[st.floats(-100, 100)] * 3).map(np.array)


@given(points, st.permutations(sorted(AXES)))
def test_a_point_that_stands_still_is_found_from_any_two_planes(point: np.ndarray, names: list[str]) -> None:
    found = position_in_3d(position(names[0], point, 80), position(names[1], point, 0))
    assert found is not None
    np.testing.assert_allclose(found[0], point, atol=1e-9)


def test_superior_inferior_is_the_newest_planes_and_each_axis_has_its_age() -> None:
    then, now = np.array([10.0, 20.0, 30.0]), np.array([12.0, 24.0, 36.0])
    found = position_in_3d(position("sagittal", now, 125), position("coronal", then, 0))
    assert found is not None
    position_mm, ages_ms = found
    np.testing.assert_allclose(position_mm, (10.0, 24.0, 36.0))
    assert ages_ms == (125.0, 0.0, 0.0)


def test_a_plane_that_was_seen_on_another_clock_gives_no_coordinate() -> None:
    """The clock of the source has begun anew: its age would be below 0, which no message may say."""
    point = np.array([10.0, 20.0, 30.0])
    assert position_in_3d(position("sagittal", point, 125), position("coronal", point, 9000)) is None


@given(points, points, st.floats(-0.9, 0.9), st.floats(-0.9, 0.9))
def test_oblique_planes_agree_with_a_search_for_the_nearest_point(
    now: np.ndarray, then: np.ndarray, turned: float, other_turned: float
) -> None:
    newest, other = position("sagittal", now, 80, turned=turned), position("coronal", then, 0, turned=other_turned)
    found = position_in_3d(newest, other)
    normal = np.cross(newest.plane.along_columns, newest.plane.along_rows)
    axes = np.stack([other.plane.along_columns, other.plane.along_rows])
    if found is None:
        assert abs(turned - other_turned) > 0.5
        return
    here, there = np.array(newest.position_mm), np.array(other.position_mm)
    nearest = minimize(lambda step: ((axes @ (here + step * normal - there)) ** 2).sum(), 0.0, tol=1e-12)
    np.testing.assert_allclose(found[0], here + nearest.x * normal, atol=1e-3)


def test_nearly_parallel_planes_say_nothing_of_the_axis_across_them() -> None:
    point = np.array([1.0, 2.0, 3.0])
    assert position_in_3d(position("sagittal", point, 1), position("sagittal", point, 0, turned=0.2)) is None


def test_one_plane_cannot_show_a_structure_twice() -> None:
    square = np.array([[20, 20], [40, 20], [40, 40], [20, 40]], np.float32)
    twice = [TargetSpec(name, square, "sagittal", "GTV") for name in ("a", "b")]
    with pytest.raises(ValueError, match="two of one plane name the same structure"):
        TargetSet(twice, lambda: None, None, None)  # type: ignore[arg-type, return-value]
