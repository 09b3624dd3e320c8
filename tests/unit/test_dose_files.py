"""Treatment plans as DICOM: the water plan is valid and reads back; what does not belong together is refused."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from drivers.errors import BadPlan
from drivers.phantom.water_plan import WaterPlan, depth_dose, depth_of_maximum_mm
from drivers.plans.dicom import check_belong_together
from drivers.plans.rtdose import check_same_grid, read_dose
from drivers.plans.rtplan import delivery_order, read_plan
from drivers.plans.structures import sampled_structure, structure_set_identity
from drivers.plans.writing import PlanFiles

PLAN = WaterPlan(target_radius_mm=12.0, beams=3, spacing_mm=4.0, cylinder_radius_mm=70.0, cylinder_length_mm=140.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan that no test changes."""
    made = tmp_path_factory.mktemp("plan")
    PlanFiles(PLAN).write(made)
    return made


def changed(source: Path, target: Path, **attributes: object) -> Path:
    """A copy with other attributes."""
    dataset = pydicom.dcmread(source)
    for name, value in attributes.items():
        setattr(dataset, name, value)
    dataset.save_as(target)
    return target


@pytest.mark.parametrize("name", ["plan", "structures", "dose", "dose_beam_2"])
def test_what_is_written_is_valid_dicom(folder, name):
    validator = Path(sysconfig.get_path("scripts")) / "dciodvfy"
    done = subprocess.run([validator, folder / f"{name}.dcm"], check=False, capture_output=True, text=True, timeout=60)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "Error" not in said
    assert "Warning" not in said


def test_the_dose_reads_back_as_the_formula(folder):
    dose = read_dose(folder / "dose.dcm")
    read = SimpleITK.GetArrayFromImage(dose.image)
    np.testing.assert_allclose(read, sum(PLAN.beam_grids()), atol=1e-3)
    index = dose.image.TransformPhysicalPointToIndex((8.0, -4.0, 12.0))
    points = np.array([8.0, -4.0, 12.0])
    wanted = PLAN.isocentre_gy() * sum(PLAN.beam_dose(angle, points) for angle in PLAN.angles_deg)
    assert dose.image[index] == pytest.approx(float(wanted), abs=1e-3)


def test_the_prescribed_dose_reaches_95_percent_of_the_ptv(folder):
    ptv = sampled_structure(folder / "structures.dcm", "PTV").points_mm
    received = PLAN.isocentre_gy() * sum(PLAN.beam_dose(angle, ptv) for angle in PLAN.angles_deg)
    assert np.percentile(received, 5) == pytest.approx(PLAN.prescribed_gy, rel=0.01)


def test_depth_dose_is_highest_at_the_depth_of_its_maximum():
    depths = np.linspace(0, 200, 20_001)
    assert depths[np.argmax(depth_dose(depths))] == pytest.approx(depth_of_maximum_mm(), abs=0.02)


def test_the_planes_of_a_dose_may_run_either_way_and_be_absolute(folder, tmp_path):
    plain, dataset = read_dose(folder / "dose.dcm"), pydicom.dcmread(folder / "dose.dcm")
    z = [float(v) + float(dataset.ImagePositionPatient[2]) for v in dataset.GridFrameOffsetVector]
    absolute = read_dose(changed(folder / "dose.dcm", tmp_path / "a.dcm", GridFrameOffsetVector=z))
    upside_down = read_dose(
        changed(
            folder / "dose.dcm",
            tmp_path / "d.dcm",
            PixelData=dataset.pixel_array[::-1].tobytes(),
            ImagePositionPatient=[*dataset.ImagePositionPatient[:2], z[-1]],
            GridFrameOffsetVector=[-float(v) for v in dataset.GridFrameOffsetVector],
        )
    )
    for other in (absolute, upside_down):
        assert np.allclose(other.image.GetOrigin(), plain.image.GetOrigin())
        assert np.array_equal(SimpleITK.GetArrayFromImage(other.image), SimpleITK.GetArrayFromImage(plain.image))


@pytest.mark.parametrize(
    ("attribute", "value", "sentence"),
    [
        ("DoseUnits", "RELATIVE", "DoseUnits is 'RELATIVE'"),
        ("DoseType", "ERROR", "DoseType is 'ERROR'"),
        ("DoseSummationType", "MULTI_PLAN", "DoseSummationType is 'MULTI_PLAN'"),
        ("DoseGridScaling", "0", "DoseGridScaling is 0"),
        ("GridFrameOffsetVector", [0, 4, 9], "evenly spaced"),
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0], "orthogonal"),
        ("Modality", "CT", "RTDOSE is needed"),
    ],
)
def test_a_dose_that_cannot_be_used_is_refused_in_one_sentence(folder, tmp_path, attribute, value, sentence):
    path = changed(folder / "dose.dcm", tmp_path / "bad.dcm", **{attribute: value})
    with pytest.raises(BadPlan, match=sentence) as refused:
        read_dose(path)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_no_dicom_is_refused(tmp_path):
    (tmp_path / "x.dcm").write_bytes(b"no DICOM" * 100)
    with pytest.raises(BadPlan, match="is not a readable RTPLAN"):
        read_plan(tmp_path / "x.dcm")


def test_a_dose_of_another_frame_of_reference_is_refused(folder, tmp_path):
    other = changed(folder / "dose.dcm", tmp_path / "other.dcm", FrameOfReferenceUID="1.2.3.4")
    with pytest.raises(BadPlan, match="FrameOfReferenceUID of this RTSTRUCT"):
        check_belong_together([read_dose(other).identity, structure_set_identity(folder / "structures.dcm")])


def test_a_dose_of_another_patient_is_refused_without_naming_one(folder, tmp_path):
    other = changed(folder / "dose.dcm", tmp_path / "other.dcm", PatientID="SECRET-7")
    with pytest.raises(BadPlan, match="PatientID of this RTDOSE is not that of the RTPLAN") as refused:
        check_belong_together([read_plan(folder / "plan.dcm").identity, read_dose(other).identity])
    assert "SECRET-7" not in str(refused.value)
    assert "WATER-PHANTOM" not in str(refused.value)


def test_a_dose_of_another_plan_is_refused(folder, tmp_path):
    other = changed(folder / "plan.dcm", tmp_path / "other.dcm", SOPInstanceUID="1.2.3.5")
    with pytest.raises(BadPlan, match="dose of another plan"):
        delivery_order([read_dose(folder / "dose.dcm")], read_plan(other))


def test_doses_of_beams_are_delivered_in_the_order_of_the_plan(folder):
    doses = [read_dose(folder / f"dose_beam_{k}.dcm") for k in (3, 1, 2)]
    check_same_grid(doses)
    ordered = delivery_order(doses, read_plan(folder / "plan.dcm"))
    assert [one.beam for one, _ in ordered] == [1, 2, 3]
    assert [mu for _, mu in ordered] == pytest.approx([PLAN.beam_mu()] * 3, abs=1e-3)


def test_a_beam_without_its_dose_is_refused(folder):
    doses = [read_dose(folder / f"dose_beam_{k}.dcm") for k in (1, 2)]
    with pytest.raises(BadPlan, match=r"beam 3 .* the doses given are of 0 MU"):
        delivery_order(doses, read_plan(folder / "plan.dcm"))


def test_doses_of_beams_need_the_plan(folder):
    with pytest.raises(BadPlan, match="need the plan"):
        delivery_order([read_dose(folder / "dose_beam_1.dcm")], None)


def test_doses_between_control_points_are_parts_of_their_beam(folder, tmp_path):
    plan = pydicom.dcmread(folder / "plan.dcm")
    middle = Dataset()
    middle.ControlPointIndex, middle.CumulativeMetersetWeight = 1, 0.25
    del plan.BeamSequence[1:]
    first, last = plan.BeamSequence[0].ControlPointSequence
    last.ControlPointIndex = 2
    plan.BeamSequence[0].ControlPointSequence = Sequence([first, middle, last])
    plan.save_as(tmp_path / "plan.dcm")
    parts = []
    for start in (1, 0):
        dose = pydicom.dcmread(folder / "dose_beam_1.dcm")
        points = Dataset()
        points.ReferencedStartControlPointIndex, points.ReferencedStopControlPointIndex = start, start + 1
        group = dose.ReferencedRTPlanSequence[0].ReferencedFractionGroupSequence[0]
        group.ReferencedBeamSequence[0].ReferencedControlPointSequence = Sequence([points])
        dose.DoseSummationType = "CONTROL_POINT"
        dose.save_as(tmp_path / f"{start}.dcm")
        parts.append(read_dose(tmp_path / f"{start}.dcm"))
    ordered = delivery_order(parts, read_plan(tmp_path / "plan.dcm"))
    assert [one.control_points for one, _ in ordered] == [(0, 1), (1, 2)]
    assert [mu for _, mu in ordered] == pytest.approx([PLAN.beam_mu() / 4, PLAN.beam_mu() * 3 / 4], rel=1e-4)


def test_a_dose_on_another_grid_is_refused(folder, tmp_path):
    moved = changed(folder / "dose_beam_2.dcm", tmp_path / "m.dcm", ImagePositionPatient=[-67, -68, -68])
    with pytest.raises(BadPlan, match="its dose grid is not that of"):
        check_same_grid([read_dose(folder / "dose_beam_1.dcm"), read_dose(moved)])


@pytest.mark.parametrize(
    ("name", "wanted_cm3"),
    [("GTV", 4 / 3 * np.pi * 1.2**3), ("Duodenum", np.pi * 1.0**2 * 6.0)],
    ids=["sphere", "cylinder"],
)
def test_a_structure_has_the_volume_of_its_body(folder, name, wanted_cm3):
    found = sampled_structure(folder / "structures.dcm", name)
    assert found.volume_cm3 == pytest.approx(wanted_cm3, rel=0.01)
    assert len(found.points_mm) > 20_000


def test_a_water_plan_that_the_cylinder_does_not_hold_is_refused():
    with pytest.raises(ValueError, match="the beams have a radius of 70 mm"):
        WaterPlan(target_radius_mm=60.0, cylinder_radius_mm=90.0)
