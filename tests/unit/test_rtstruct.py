"""Targets from structure sets and mask volumes, cut by a cine plane; analytic bodies are the oracle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from drivers.errors import BadRecording
from drivers.recordings import open_recording
from drivers.recordings.mask_volume import read_volume_mask
from drivers.recordings.masks import read_target_mask
from drivers.recordings.rtstruct import read_structure
from tests.dicom_files import image, put, structure_set

CENTRE_MM = np.array([12.0, -20.0, 35.0])
RADII_MM = np.array([14.0, 18.0, 22.0])
FRAME = "1.2.3.40000001"


@dataclass(frozen=True)
class Plane:
    image_orientation: tuple[float, ...]
    image_position_mm: tuple[float, ...]
    shape: tuple[int, int] = (80, 72)
    pixel_spacing_mm: tuple[float, float] = (1.5, 1.25)
    frame_of_reference: str = FRAME

    def centres(self):
        columns, rows = np.reshape(self.image_orientation, (2, 3))
        i, j = np.mgrid[: self.shape[0], : self.shape[1]]
        return (
            np.array(self.image_position_mm)
            + i[..., None] * self.pixel_spacing_mm[0] * rows
            + j[..., None] * self.pixel_spacing_mm[1] * columns
        )


SAGITTAL = Plane((0, 1, 0, 0, 0, -1), (12.0, -65.0, 95.0))
CORONAL = Plane((1, 0, 0, 0, 0, -1), (-33.0, -20.0, 95.0))
TRANSVERSAL = Plane((1, 0, 0, 0, 1, 0), (-33.0, -80.0, 35.0))
OBLIQUE = Plane((0, 0.8, 0.6, 0, 0.6, -0.8), (13.0, -90.0, 65.0))


def ellipse(z_mm: float, scale: float = 1.0, points: int = 120) -> list[float]:
    height = (z_mm - CENTRE_MM[2]) / RADII_MM[2]
    radius = scale * np.sqrt(max(0.0, 1 - height**2))
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    x, y = CENTRE_MM[0] + radius * RADII_MM[0] * np.cos(angle), CENTRE_MM[1] + radius * RADII_MM[1] * np.sin(angle)
    return np.stack([x, y, np.full(points, z_mm)], axis=1).round(4).ravel().tolist()


def body(gap_mm: float) -> list[list[float]]:
    heights = np.arange(-RADII_MM[2] + gap_mm / 2, RADII_MM[2], gap_mm)
    return [ellipse(float(CENTRE_MM[2] + height)) for height in heights]


def analytic(plane: Plane):
    return (((plane.centres() - CENTRE_MM) / RADII_MM) ** 2).sum(axis=-1) < 1


def overlap(one, other) -> float:
    return 2 * (one & other).sum() / (one.sum() + other.sum())


@pytest.mark.parametrize(
    "plane",
    [
        pytest.param(SAGITTAL, id="sag"),
        pytest.param(CORONAL, id="cor"),
        pytest.param(TRANSVERSAL, id="tra"),
        pytest.param(OBLIQUE, id="oblique"),
    ],
)
@pytest.mark.parametrize(("gap_mm", "least_dsc"), [(2.0, 0.985), (4.0, 0.97)])
def test_an_ellipsoid_is_cut_as_the_formula_says(tmp_path: Path, plane: Plane, gap_mm: float, least_dsc: float) -> None:
    structure = read_structure(structure_set(tmp_path / "s.dcm", {"GTVp": body(gap_mm)}), "GTVp")
    mask, truth = structure.mask_in(plane), analytic(plane)
    assert truth.sum() > 300
    assert overlap(mask, truth) > least_dsc
    np.testing.assert_allclose(np.argwhere(mask).mean(axis=0), np.argwhere(truth).mean(axis=0), atol=0.35)


def test_a_plane_that_misses_the_structure_cuts_no_pixel(tmp_path: Path) -> None:
    structure = read_structure(structure_set(tmp_path / "s.dcm", {"GTVp": body(3.0)}), "GTVp")
    assert not structure.mask_in(Plane((0, 1, 0, 0, 0, -1), (60.0, -65.0, 95.0))).any()


def test_a_hole_remains_a_hole(tmp_path: Path) -> None:
    outlines = [*body(3.0), *(ellipse(float(z), 0.4) for z in np.arange(35 - 22 + 1.5, 35 + 22, 3.0))]
    mask = read_structure(structure_set(tmp_path / "s.dcm", {"Liver-GTV": outlines}), "Liver-GTV").mask_in(TRANSVERSAL)
    inner = (((TRANSVERSAL.centres() - CENTRE_MM) / (0.4 * RADII_MM))[..., :2] ** 2).sum(axis=-1) < 0.8
    assert not mask[inner].any()
    assert mask.any()


def test_one_contour_is_a_slab_of_five_millimetres(tmp_path: Path) -> None:
    structure = read_structure(structure_set(tmp_path / "s.dcm", {"GTVp": [ellipse(35.0)]}), "GTVp")
    rows = np.flatnonzero(structure.mask_in(SAGITTAL).any(axis=1))
    heights_mm = SAGITTAL.image_position_mm[2] - rows * SAGITTAL.pixel_spacing_mm[0]
    assert np.abs(heights_mm - 35.0).max() <= 2.5


def test_names_are_found_whatever_their_case(tmp_path: Path) -> None:
    file = structure_set(tmp_path / "s.dcm", {"GTVp": body(4.0), "SpinalCord": body(6.0)})
    assert read_structure(file, "gtvP").name == "GTVp"


@pytest.mark.parametrize(
    ("structures", "kind", "sentence"),
    [
        pytest.param(
            {"CTVp": [ellipse(35.0)], "Liver": []},
            "CLOSED_PLANAR",
            "there is no structure 'GTVp'; it holds CTVp, Liver",
            id="missing",
        ),
        pytest.param({"GTVP": [], "gtvp": []}, "CLOSED_PLANAR", "structure 'GTVp' is present 2 times", id="ambiguous"),
        pytest.param({"GTVp": []}, "CLOSED_PLANAR", "structure 'GTVp' has 0 contours; 1 to 4096", id="no contours"),
        pytest.param({"GTVp": [ellipse(35.0)]}, "POINT", "a contour of type 'POINT'; CLOSED_PLANAR", id="point"),
        pytest.param(
            {"GTVp": [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]}, "CLOSED_PLANAR", "a contour of 6 values", id="two points"
        ),
        pytest.param({}, "CLOSED_PLANAR", "it holds none", id="empty set"),
    ],
)
def test_a_structure_that_cannot_be_used_is_refused_in_a_sentence(
    tmp_path: Path, structures, kind: str, sentence: str
) -> None:
    with pytest.raises(BadRecording, match=sentence):
        read_structure(structure_set(tmp_path / "s.dcm", structures, kind), "GTVp")


def test_a_contour_out_of_its_plane_or_without_area_is_refused(tmp_path: Path) -> None:
    bent = ellipse(35.0)
    bent[2] += 3.0
    for outline, sentence in ((bent, "leaves its plane"), ([0.0, 0, 0, 1, 1, 1, 2, 2, 2], "enclose no area")):
        structure = read_structure(structure_set(tmp_path / "s.dcm", {"GTVp": [outline]}), "GTVp")
        with pytest.raises(BadRecording, match=sentence):
            structure.mask_in(SAGITTAL)


def test_a_file_that_is_no_structure_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "noise.dcm").write_bytes(b"noise")
    with pytest.raises(BadRecording, match="not a readable RTSTRUCT"):
        read_structure(tmp_path / "noise.dcm", "GTVp")


@pytest.mark.parametrize("suffix", [".mha", ".nii.gz"])
def test_a_mask_volume_is_cut_with_its_own_orientation(tmp_path: Path, suffix: str) -> None:
    z, y, x = np.mgrid[:60, :50, :45].astype(float)
    points = np.stack([x * 1.2 - 15, -(y * 1.0) + 5, z * 1.1 + 2], axis=-1)
    voxels = (((points - CENTRE_MM) / RADII_MM) ** 2).sum(axis=-1) < 1
    image = SimpleITK.GetImageFromArray(voxels.astype(np.uint8))
    image.SetSpacing((1.2, 1.0, 1.1))
    image.SetOrigin((-15.0, 5.0, 2.0))
    image.SetDirection((1, 0, 0, 0, -1, 0, 0, 0, 1))
    SimpleITK.WriteImage(image, str(tmp_path / f"mask{suffix}"))
    for plane in (SAGITTAL, CORONAL, TRANSVERSAL, OBLIQUE):
        assert overlap(read_volume_mask(tmp_path / f"mask{suffix}", plane), analytic(plane)) > 0.95


def test_a_target_is_named_by_its_file_and_structure(tmp_path: Path) -> None:
    file = structure_set(tmp_path / "plan.dcm", {"GTVp": body(3.0)})
    named = Path(f"{file}:GTVp")
    np.testing.assert_array_equal(read_target_mask(named, SAGITTAL), read_structure(file, "GTVp").mask_in(SAGITTAL))
    with pytest.raises(BadRecording, match="the cine plane, which is unknown without a recording"):
        read_target_mask(named, None)


def test_a_structure_in_another_frame_of_reference_is_refused(tmp_path: Path) -> None:
    """The cine is a folder of DICOM images here, which name their frame of reference."""
    for index in range(3):
        put(tmp_path / f"{index}.dcm", image(index, FrameOfReferenceUID=FRAME))
    cine = open_recording(tmp_path)
    same = structure_set(tmp_path / "same.rt", {"GTVp": body(3.0)})
    assert read_structure(same, "GTVp").mask_in(cine).shape == cine.shape
    other = structure_set(tmp_path / "other.rt", {"GTVp": body(3.0)}, frame_of_reference="1.2.3.40000002")
    sentence = "'GTVp': its FrameOfReferenceUID ends in 40000002, that of the cine in 40000001; .* registered"
    with pytest.raises(BadRecording, match=sentence):
        read_structure(other, "GTVp").mask_in(cine)


def test_a_cine_of_two_frames_of_reference_is_refused(tmp_path: Path) -> None:
    for index in range(3):
        put(tmp_path / f"{index}.dcm", image(index, FrameOfReferenceUID=f"1.2.3.{index // 2}"))
    with pytest.raises(BadRecording, match="frame of reference is not the one that the stream began with"):
        open_recording(tmp_path)


def test_a_cine_without_a_frame_of_reference_takes_any_structure(tmp_path: Path) -> None:
    file = structure_set(tmp_path / "plan.dcm", {"GTVp": body(3.0)})
    unsaid = replace(SAGITTAL, frame_of_reference="")
    np.testing.assert_array_equal(
        read_structure(file, "GTVp").mask_in(unsaid), read_structure(file, "GTVp").mask_in(SAGITTAL)
    )


def test_a_mask_drawn_in_the_image_is_taken_as_it_is(tmp_path: Path) -> None:
    drawn = np.zeros((80, 72), np.uint8)
    drawn[20:30, 15:25] = 1
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(drawn), str(tmp_path / "mask.mha"))
    np.testing.assert_array_equal(read_target_mask(tmp_path / "mask.mha", SAGITTAL), drawn > 0)
