"""A structure of a volume, carried to the plane of an image: known motion, and failures that must be flagged."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.registration import Kind, carried, centre_error_mm, dice, make_case
from gating.analysis.couch_shift import PATIENT_TO_IEC
from gating.registration.couch import couch_shift_iec_mm, isocentre_shift_iec_mm
from gating.registration.quality import Quality, doubts, local_agreement

GOOD = {
    "covered": 1.0, "agreement": 0.97, "contrast": 5.0, "spread_mm": 0.2, "translation_mm": 6.0, "rotation_deg": 3.0,
    "deformation_mm": 3.0, "area_ratio": 0.9,
}  # fmt: skip


def test_known_shift_rotation_and_deformation_are_found_without_doubts():
    case = make_case("right", 2)
    found = carried(case)
    assert found is not None
    assert found.doubts == ()
    assert centre_error_mm(found.mask, case.truth) < 1.0
    assert dice(found.mask, case.truth) > 0.9


@pytest.mark.parametrize("kind", ["wrong patient", "no overlap"])
def test_what_cannot_be_right_is_in_doubt(kind: Kind):
    found = carried(make_case(kind, 3))
    assert found is None or found.doubts


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("covered", 0.9), ("agreement", 0.5), ("contrast", 1.0), ("spread_mm", 3.0), ("translation_mm", 25.0),
        ("rotation_deg", 20.0), ("deformation_mm", 15.0), ("area_ratio", 0.2),
    ],
)  # fmt: skip
def test_each_measure_beyond_its_limit_or_unknown_is_a_doubt(name, value):
    assert doubts(Quality(**GOOD), "GTVp") == ()
    for beyond in (value, math.nan):
        (doubt,) = doubts(Quality(**GOOD | {name: beyond}), "GTVp")
        assert doubt.startswith(f"{name} is")


@pytest.mark.parametrize(("name", "is_target"), [("GTVp", True), ("PTV_High", True), ("ITV1", True), ("Liver", False)])
def test_a_name_that_is_no_targets_is_a_doubt_unless_it_is_meant(name, is_target):
    assert (doubts(Quality(**GOOD), name) == ()) is is_target
    assert doubts(Quality(**GOOD), name, surrogate=True) == ()


def test_inverted_contrast_agrees_and_unrelated_noise_does_not():
    random = np.random.default_rng(1)
    image, other = random.normal(size=(2, 60, 60))
    box = np.ones((60, 60), bool)
    assert local_agreement(image, -3 * image + 5, box, (2.0, 2.0)) == pytest.approx(1.0)
    assert local_agreement(image, other, box, (2.0, 2.0)) < 0.3


@pytest.mark.parametrize(
    ("patient_position", "couch_mm"),
    [("HFS", (-1, -3, 2)), ("HFP", (1, -3, -2)), ("FFS", (1, 3, 2)), ("FFP", (-1, 3, -2))],
)
def test_the_couch_takes_the_target_back_and_the_isocentre_follows_it(patient_position, couch_mm):
    shift_lps_mm = (1.0, 2.0, 3.0)
    assert couch_shift_iec_mm(shift_lps_mm, patient_position) == couch_mm
    assert isocentre_shift_iec_mm(shift_lps_mm, patient_position) == tuple(-one for one in couch_mm)


def test_every_patient_position_is_a_rotation_and_no_mirror():
    assert {np.prod(signs) for signs in PATIENT_TO_IEC.values()} == {1}
    with pytest.raises(ValueError, match="HFS, HFP, FFS or FFP is needed"):
        couch_shift_iec_mm((1, 2, 3), "HFDL")
