"""What a plan brings to be carried to a cine: a volume as a DICOM series, and structures as mask volumes."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK

from cinegate.plan_target import carry_from_plan
from cinegate.recordings import recording_from_arrays
from drivers.errors import BadPlan, BadRecording
from drivers.plans.structures import read_solid
from drivers.plans.volume import read_volume
from tests.dicom_files import image, put, structure_set

SLICES, STEP_MM = 12, 2.5
ORIGIN_MM = np.array([-30.0, -20.0, -15.0])
SQUARE = [-5.0, -5.0, 0.0, 5.0, -5.0, 0.0, 5.0, 5.0, 0.0, -5.0, 5.0, 0.0]
FRAME_OF_REFERENCE = "1.2.3.40000001"


def voxels():
    return np.random.default_rng(3).integers(0, 4000, (SLICES, 16, 24), np.uint16)


def write_series(folder, *, skip=(), moved_mm=None, **changed):
    """A straight stack of axial slices, some left out, some moved by what `moved_mm` says of their number."""
    folder.mkdir()
    for number, pixels in enumerate(voxels()):
        if number not in skip:
            at_mm = ORIGIN_MM + np.array([0, 0, STEP_MM * number]) + (moved_mm or {}).get(number, np.zeros(3))
            fields = {
                "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "ImagePositionPatient": at_mm.round(3).tolist(),
                "InstanceNumber": SLICES - number, "FrameOfReferenceUID": FRAME_OF_REFERENCE,
            }  # fmt: skip
            put(folder / f"{SLICES - number:03}.dcm", image(number, pixels, **fields | changed))
    return folder


def at_places(count):
    """What moves the slices to some places in turn, as those of a cine."""
    return {number: np.array([0, 0, STEP_MM * (number % count - number)]) for number in range(SLICES)}


def test_a_series_becomes_the_volume_that_its_positions_say(tmp_path):
    volume, whose = read_volume(write_series(tmp_path / "ct"))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(volume), voxels())
    np.testing.assert_allclose(volume.GetOrigin(), ORIGIN_MM)
    np.testing.assert_allclose(volume.GetSpacing(), (1.5, 2.0, STEP_MM))
    assert (whose.patient, whose.frame_of_reference) == ("SECRET-ID", FRAME_OF_REFERENCE)


@pytest.mark.parametrize(
    ("spoiled", "words"),
    [
        ({"skip": (5,)}, "slices 4 and 5 are 5.00 mm apart, others 2.50 mm; is one missing"),
        ({"moved_mm": {11: np.array([0, 0, 1.0])}}, "3.50 mm apart, others 2.50 mm"),
        ({"moved_mm": {4: np.array([3.0, 0, 0])}}, "shifted within their planes"),
        ({"skip": range(1, SLICES)}, "a volume of one value each is needed"),
        ({"moved_mm": at_places(1)}, "several of its slices lie at one place, as those of a cine"),
        ({"moved_mm": at_places(2)}, "several of its slices lie at one place"),
    ],
    ids=["missing", "uneven", "sheared", "single", "cine of one plane", "cine of two planes"],
)
def test_slices_that_make_no_even_stack_are_refused(tmp_path, spoiled, words):
    with pytest.raises(BadPlan, match=words):
        read_volume(write_series(tmp_path / "ct", **spoiled))


def test_a_folder_of_two_series_is_refused(tmp_path):
    folder = write_series(tmp_path / "ct")
    put(folder / "other.dcm", image(0, voxels()[0], SeriesInstanceUID="1.2.3.9"))
    with pytest.raises(BadPlan, match="holds 2 DICOM series; a folder with one is needed"):
        read_volume(folder)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"PatientID": "ANOTHER"}, "PatientID of this RTSTRUCT is not that of the volume"),
        ({"FrameOfReferenceUID": "1.2.3.5"}, "they must first be registered to each other"),
    ],
)
def test_a_series_of_another_patient_or_place_is_refused(tmp_path, changed, words):
    folder = write_series(tmp_path / "ct", **changed)
    structure_set(tmp_path / "plan.dcm", {"GTV": [SQUARE]}, frame_of_reference=FRAME_OF_REFERENCE)
    cine = recording_from_arrays(np.zeros((2, 16, 16), np.uint16), [0.0, 0.2], 2.0)
    with pytest.raises(BadPlan, match=words):
        carry_from_plan(folder, tmp_path / "plan.dcm", "GTV", cine)


def write_mask(path, labels):
    mask = SimpleITK.GetImageFromArray(labels)
    mask.SetOrigin(ORIGIN_MM.tolist())
    mask.SetSpacing((1.5, 2.0, STEP_MM))
    mask.SetDirection((0, -1, 0, 1, 0, 0, 0, 0, 1))
    SimpleITK.WriteImage(mask, str(path))
    return path


@pytest.mark.parametrize("suffix", [".mha", ".nii.gz", ".nrrd"])
def test_a_mask_volume_is_a_structure_where_its_voxels_are(tmp_path, suffix):
    labels = np.zeros((SLICES, 16, 24), np.uint8)
    labels[4:8, 5:9, 10:14] = 1
    path = write_mask(tmp_path / f"gtv{suffix}", labels)
    solid, whose = read_solid(path, "GTV")
    image_of = SimpleITK.ReadImage(str(path))
    middle_mm = np.array(image_of.TransformContinuousIndexToPhysicalPoint((11.5, 6.5, 5.5)))
    np.testing.assert_allclose(solid.middle_mm, middle_mm, atol=1e-4)
    inside, outside = ((12, 6, 5), (13, 8, 7)), ((9, 6, 5), (14, 8, 7), (12, 6, 8))
    at_mm = np.array([image_of.TransformIndexToPhysicalPoint(index) for index in (*inside, *outside)])
    assert solid.contains(at_mm).tolist() == [True, True, False, False, False]
    assert not solid.contains(np.full((1, 3), 1e4)).any()
    assert (solid.name, whose.patient) == ("GTV", "")


@pytest.mark.parametrize(
    ("values", "words"), [((0, 0), "the mask is empty"), ((1, 3), "labels 1, 3; a mask of one structure is needed")]
)
def test_a_mask_of_none_or_several_structures_is_refused(tmp_path, values, words):
    labels = np.zeros((SLICES, 16, 24), np.uint8)
    labels[2], labels[6] = values
    with pytest.raises(BadRecording, match=words):
        read_solid(write_mask(tmp_path / "gtv.mha", labels), "GTV")
