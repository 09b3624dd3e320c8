"""From pixels to patient coordinates."""

from __future__ import annotations

import pytest

from gating.geometry.plane import ImagePlane
from tests.factories import stream

MARGINS = {"left": 1.0, "right": 2.0, "posterior": 3.0, "anterior": 4.0, "superior": 5.0, "inferior": 6.0}


def plane(orientation, spacing=(2.0, 1.0), position=(10.0, 20.0, 30.0)):
    info = stream(image_orientation=orientation, pixel_spacing_mm=spacing, image_position_mm=position)
    return ImagePlane.of(info)


def test_a_sagittal_pixel_lands_behind_and_below_the_corner():
    assert plane((0, 1, 0, 0, 0, -1)).to_lps_mm(3, 4) == (10.0, 23.0, 22.0)


def test_the_axes_that_a_plane_shows_are_named():
    assert set(plane((0, 1, 0, 0, 0, -1)).shown_axes()) == {"ap", "si"}
    assert set(plane((1, 0, 0, 0, 0, -1)).shown_axes()) == {"lr", "si"}
    assert set(plane((1, 0, 0, 0, 1, 0)).shown_axes()) == {"lr", "ap"}


def test_margins_follow_the_patient_not_the_image():
    assert plane((0, 1, 0, 0, 0, -1), (1.0, 1.0)).margins_px(**MARGINS) == (4.0, 3.0, 5.0, 6.0)
    assert plane((0, -1, 0, 0, 0, 1), (1.0, 1.0)).margins_px(**MARGINS) == (3.0, 4.0, 6.0, 5.0)
    assert plane((1, 0, 0, 0, 0, -1), (2.0, 0.5)).margins_px(**MARGINS) == (4.0, 2.0, 2.5, 3.0)


def test_an_invalid_orientation_is_refused():
    with pytest.raises(ValueError, match="two orthogonal unit vectors"):
        plane((0, 1, 0, 0, 1, 0))
