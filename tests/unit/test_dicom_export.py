"""DICOM made of a session log: valid, stored by a real server, and read back without our own code."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import highdicom
import msgspec
import numpy as np
import pydicom
import pynetdicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import RTPlanStorage, RTStructureSetStorage

from cinegate.exports.dicom.cine import cine, frame_numbers
from cinegate.exports.dicom.identity import Identity, IdentityError, identify
from cinegate.exports.dicom.motion import motion_report
from cinegate.exports.dicom.study import Study
from cinegate.exports.dicom.write import parse_peer, send_dicom, write_dicom
from cinegate.exports.session import ExportedSession, open_session
from cinegate.verbs import main
from drivers.errors import Unavailable
from drivers.formats.dicom import read_dicom_file
from gating.analysis.motion import motion_from_session
from gating.messages import CineFrame
from gating.session.log import SessionError
from gating.session.log_writer import SessionWriter
from gating.wire.codec import encode_frame
from gating.wire.pixels import content_hash
from tests import dicom_files
from tests.orthanc import orthanc
from tests.patience import reserved_ports
from tests.unit.session_bench import FRAMES, estimate, make_frame, reference, target_centre, write_session

OBJECTS = {
    "cine_sagittal": "MultiframeGrayscaleWordSCImage",
    "structures": "RTStructureSet",
    "motion": "Comprehensive3DSR",
    "report": "EncapsulatedPDF",
}
"""Every object, and what the validator takes it for."""
FRAME_OF_REFERENCE = highdicom.UID()


def patient_file(path: Path, **attributes: Any) -> Path:
    """A plan of a patient, or an image of one if it has a modality of its own."""
    made = dicom_files.empty(RTPlanStorage)
    fields = {
        "PatientID": "P-17",
        "PatientName": "Doe^Jo",
        "PatientBirthDate": "19700102",
        "PatientSex": "O",
        "Modality": "RTPLAN",
        "RTPlanLabel": "LIVER",
        "FrameOfReferenceUID": FRAME_OF_REFERENCE,
    }
    for keyword, value in {**fields, **attributes}.items():
        setattr(made, keyword, value)
    made.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> ExportedSession:
    return open_session(write_session(tmp_path_factory.mktemp("session") / "s1.mcap"))


@pytest.fixture(scope="module")
def files(session: ExportedSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One export for all tests, because a report takes seconds to make."""
    folder = tmp_path_factory.mktemp("dicom")
    plan, image = (patient_file(folder / f"{name}.dcm") for name in ("plan", "image"))
    identity = identify(session, patient_from=plan, cine_from=image)
    written = write_dicom(session, folder / "out", identity)
    return {path.stem: path for path in written}


@pytest.fixture(scope="module")
def made(files: dict[str, Path]) -> dict[str, Dataset]:
    return {name: pydicom.dcmread(path) for name, path in files.items()}


@pytest.fixture(scope="module")
def groups(files: dict[str, Path]) -> Any:
    return highdicom.sr.srread(files["motion"]).content


@pytest.fixture(scope="module")
def tracked(groups: Any) -> list[Any]:
    """The groups of the tracked frames, in order."""
    return list(groups.get_planar_roi_measurement_groups())


@pytest.mark.parametrize("name", OBJECTS)
def test_every_object_is_valid(name: str, files: dict[str, Path]) -> None:
    found = validated(files[name])
    assert OBJECTS[name] in found
    assert [line for line in found if line.startswith(("Error", "Abort"))] == []


@pytest.mark.parametrize("name", OBJECTS)
def test_every_object_is_of_the_plans_patient(name: str, made: dict[str, Dataset]) -> None:
    one = made[name]
    patient = (one.PatientID, one.PatientName, one.PatientBirthDate, one.PatientSex)
    assert patient == ("P-17", "Doe^Jo", "19700102", "O")
    assert one.StudyInstanceUID == made["motion"].StudyInstanceUID
    assert one.SeriesDescription.startswith("PHANTOM: ")


def test_the_cine_holds_every_frame_with_its_moment(made: dict[str, Dataset]) -> None:
    cine = made["cine_sagittal"]
    expected = np.stack([make_frame(number, 0).pixels for number in range(FRAMES)])
    np.testing.assert_array_equal(cine.pixel_array, expected)
    np.testing.assert_allclose(np.cumsum(cine.FrameTimeVector), 125.0 * np.arange(FRAMES), atol=1e-3)
    stamps = [
        datetime.strptime(group.FrameContentSequence[0].FrameReferenceDateTime, "%Y%m%d%H%M%S.%f%z")
        for group in cine.PerFrameFunctionalGroupsSequence
    ]
    assert [(at - stamps[0]).total_seconds() for at in stamps] == [0.125 * number for number in range(FRAMES)]


def test_the_cine_can_be_replayed(files: dict[str, Path]) -> None:
    frames = read_dicom_file(files["cine_sagittal"])
    assert frames[9].acquired_ns - frames[0].acquired_ns == 9 * 125_000_000
    assert frames[9].geometry.pixel_spacing_mm == (2.0, 2.0)


@pytest.mark.parametrize("name", ["GTV", "GTV boundary"])
def test_contours_come_back_where_they_were_drawn(name: str, made: dict[str, Dataset]) -> None:
    structures, cine = made["structures"], made["cine_sagittal"]
    number = next(roi.ROINumber for roi in structures.StructureSetROISequence if roi.ROIName == name)
    contour = next(roi for roi in structures.ROIContourSequence if roi.ReferencedROINumber == number).ContourSequence[0]
    points_mm = np.array(contour.ContourData, float).reshape(-1, 3)
    frame = cine.PerFrameFunctionalGroupsSequence[contour.ContourImageSequence[0].ReferencedFrameNumber - 1]
    along = np.array(frame.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    away_mm = points_mm - np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
    drawn_px = reference().contour_px if name == "GTV" else reference().boundary_px
    np.testing.assert_allclose(away_mm @ along.T, 2.0 * np.array(drawn_px), atol=0.1)


def test_references_of_the_structure_set_resolve(made: dict[str, Dataset]) -> None:
    structures, cine = made["structures"], made["cine_sagittal"]
    drawn_in = structures.ReferencedFrameOfReferenceSequence[0]
    series = drawn_in.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == cine.SeriesInstanceUID
    images = [series.ContourImageSequence[0]]
    images += [roi.ContourSequence[0].ContourImageSequence[0] for roi in structures.ROIContourSequence]
    assert {image.ReferencedSOPInstanceUID for image in images} == {cine.SOPInstanceUID}
    frames_of_reference = {drawn_in.FrameOfReferenceUID, cine.FrameOfReferenceUID}
    frames_of_reference |= {roi.ReferencedFrameOfReferenceUID for roi in structures.StructureSetROISequence}
    assert frames_of_reference == {str(FRAME_OF_REFERENCE)}


def measured(group: Any) -> dict[str, float]:
    return {one.name.value: one.value for one in group.get_measurements()}


def said(group: Any) -> dict[str, str]:
    return {one.name.value: one.value.meaning for one in group.get_qualitative_evaluations()}


def test_beam_comes_back_within_a_millisecond(groups: Any, session: ExportedSession) -> None:
    periods = [
        measured(group)
        for group in groups.get_image_measurement_groups()
        if str(group.tracking_identifier).startswith("beam")
    ]
    began_ns = session.data.frames[0].acquired_on_publish_clock_ns
    expected_s = [((begin - began_ns) / 1e9, (end - begin) / 1e9) for begin, end in session.data.confirmed_on]
    assert len(expected_s) > 1
    found_s = [(one["beam_begin_s"], one["beam_length_s"]) for one in periods]
    np.testing.assert_allclose(found_s, expected_s, atol=1e-3)


def test_a_simulated_beam_is_never_taken_for_a_real_one(groups: Any) -> None:
    found = groups.get_image_measurement_groups()
    words = [said(group) for group in found if str(group.tracking_identifier).startswith("beam")]
    assert {(one["beam_known_by"], one["beam_kind"]) for one in words} == {("confirmed", "simulated")}


def test_motion_and_decisions_come_back_frame_by_frame(tracked: list[Any]) -> None:
    assert len(tracked) == FRAMES
    (x, y), (x0, y0), one = target_centre(5), reference().centre_px, estimate(5)
    numbers = measured(tracked[5])
    assert (numbers["ap_mm"], numbers["si_mm"]) == pytest.approx((2 * (x - x0), -2 * (y - y0)), abs=1e-5)
    assert numbers["out_fraction"] == pytest.approx(one.target_out_fraction, abs=1e-5)
    words = said(tracked[5])
    assert (words["gate"], words["reason"]) == (one.gate, one.reason.replace("_", " "))


def test_tracked_contours_lie_in_the_patient(tracked: list[Any]) -> None:
    region = tracked[5].roi
    assert region.frame_of_reference_uid == FRAME_OF_REFERENCE
    x, y = np.array(estimate(5).contour_px).T
    np.testing.assert_allclose(region.value[:-1], np.stack([0 * x, 2 * x, -2 * y], axis=1), atol=0.1)


def test_the_report_is_a_pdf_of_its_length(made: dict[str, Dataset]) -> None:
    document = made["report"]
    pdf = document.EncapsulatedDocument[: document.EncapsulatedDocumentLength]
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")


def validated(path: Path) -> list[str]:
    """What the validator says of a file."""
    validator = Path(sys.executable).with_name("dciodvfy")
    done = subprocess.run([validator, path], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines()


def study_of(path: Path, frames: list[CineFrame]) -> Study:
    """A session that holds nothing but frames."""
    writer = SessionWriter(path, "s1", "monotonic:test")
    writer.open()
    for frame in frames:
        writer.write(list(encode_frame(frame)), frame.header.published_ns)
    writer.close()
    found = open_session(path)
    return Study.of(found, identify(found, patient_id="P1"))


def frame_of(number: int, dtype: str, side: int = 9, plane: str = "sagittal") -> CineFrame:
    pixels = np.random.default_rng(number).uniform(0, 200, (side, side)).astype(dtype)
    plain = make_frame(number, 10**9 * (number + 1)).header
    fields = {"dtype": dtype, "shape": (side, side), "plane": plane, "content_hash": content_hash(pixels)}
    return CineFrame(msgspec.structs.replace(plain, **fields), pixels)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_cine_of_any_pixels_is_valid(dtype: str, tmp_path: Path) -> None:
    frames = [frame_of(number, dtype) for number in range(3)]
    made = cine(study_of(tmp_path / "log.mcap", frames), "sagittal", 1)
    made.save_as(tmp_path / "cine.dcm", enforce_file_format=True)
    assert [line for line in validated(tmp_path / "cine.dcm") if line.startswith(("Error", "Abort"))] == []
    expected = np.stack([frame.pixels for frame in frames])
    found = pydicom.dcmread(tmp_path / "cine.dcm").pixel_array
    if dtype == "float32":  # one scale for all: what is told apart in 16 bits stays in proportion
        found = expected.min() + found * (np.ptp(expected) / 65535)
    np.testing.assert_allclose(found, expected, atol=2e-3 if dtype == "float32" else 0)


def test_frames_of_two_sizes_are_refused(tmp_path: Path) -> None:
    study = study_of(tmp_path / "log.mcap", [frame_of(0, "uint16"), frame_of(1, "uint16", side=10)])
    with pytest.raises(SessionError, match=r"shape changes from \(9, 9\) to \(10, 10\) at frame 1"):
        cine(study, "sagittal", 1)


def test_each_plane_is_an_image_of_its_own(tmp_path: Path) -> None:
    frames = [frame_of(number, "uint16", plane=("sagittal", "coronal")[number % 2]) for number in range(4)]
    study = study_of(tmp_path / "log.mcap", frames)
    found = cine(study, "coronal", 2)
    np.testing.assert_array_equal(found.pixel_array, [frames[1].pixels, frames[3].pixels])
    assert frame_numbers(study, "coronal") == {1: 1, 3: 2}


def test_a_target_that_was_not_found_has_no_place(session: ExportedSession, tmp_path: Path) -> None:
    seen = session.data.estimates["GTV"]
    lost = msgspec.structs.replace(seen[1], status="lost", contour_px=[], reason="target_not_matched")
    data = replace(session.data, estimates={"GTV": [seen[0], lost]})
    motions = {"GTV": motion_from_session(data)[0]}
    study = Study.of(replace(session, data=data, motions=motions), Identity(patient_id="P1"))
    made = motion_report(study, {"sagittal": cine(study, "sagittal", 1)}, 2)
    made.save_as(tmp_path / "motion.dcm", enforce_file_format=True)
    assert [line for line in validated(tmp_path / "motion.dcm") if line.startswith("Error")] == []
    found = highdicom.sr.srread(tmp_path / "motion.dcm").content.get_image_measurement_groups()
    group = next(one for one in found if one.tracking_identifier == "GTV")
    assert not {"lr_mm", "ap_mm", "si_mm"} & set(measured(group))
    assert (said(group)["status"], said(group)["reason"]) == ("lost", "target not matched")
    assert group.source_images[0].referenced_frame_numbers == [2]


def test_nobody_is_invented(session: ExportedSession) -> None:
    with pytest.raises(IdentityError, match="PatientID is not known"):
        identify(session)
    only_given = identify(session, patient_id="P1")
    assert (only_given.patient_name, only_given.birth_date, only_given.sex) == ("", "", "")


def test_a_patient_needs_an_identifier_that_dicom_can_hold(session: ExportedSession) -> None:
    with pytest.raises(IdentityError, match=r"PatientID is 'PPP.*at most 64 characters"):
        identify(session, patient_id="P" * 65)


def test_what_a_plan_says_in_no_known_form_is_unknown(session: ExportedSession, tmp_path: Path) -> None:
    plan = patient_file(tmp_path / "plan.dcm", PatientBirthDate="1970", PatientSex="X")
    found = identify(session, patient_from=plan)
    assert (found.birth_date, found.sex) == ("", "")


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        ({"PatientID": "P-18"}, "PatientID is 'P-17', and 'P-18' in the image of the cine"),
        ({"FrameOfReferenceUID": "1.2.3.99"}, "FrameOfReferenceUID of the plan ends in"),
    ],
    ids=["patient", "frame of reference"],
)
def test_a_plan_of_another_cine_is_refused(
    image: dict[str, str], sentence: str, session: ExportedSession, tmp_path: Path
) -> None:
    plan, cine = patient_file(tmp_path / "plan.dcm"), patient_file(tmp_path / "image.dcm", **image)
    with pytest.raises(IdentityError, match=sentence):
        identify(session, patient_from=plan, cine_from=cine)


def test_an_image_of_another_series_is_refused(session: ExportedSession, tmp_path: Path) -> None:
    declared = replace(session, data=replace(session.data, origins=["MRL, 0123456789abcdef"]))
    with pytest.raises(IdentityError, match="the session's images are of 0123456789abcdef"):
        identify(declared, cine_from=patient_file(tmp_path / "image.dcm"))


def test_a_plan_that_was_not_treated_is_refused(session: ExportedSession, tmp_path: Path) -> None:
    settings = '[[sites]]\nname = "one"\ntarget = "one.npz"\nplan = "LUNG"\n'
    header = msgspec.structs.replace(session.data.header, config_toml=settings)
    treated = replace(session, data=replace(session.data, header=header))
    with pytest.raises(IdentityError, match="RTPlanLabel is 'LIVER', and the session treated LUNG"):
        identify(treated, patient_from=patient_file(tmp_path / "plan.dcm"))


def test_a_file_that_is_no_dicom_is_refused(session: ExportedSession, tmp_path: Path) -> None:
    (tmp_path / "plan.txt").write_text("LIVER")
    with pytest.raises(Unavailable, match="not readable DICOM"):
        identify(session, patient_from=tmp_path / "plan.txt")


@pytest.mark.parametrize("text", ["ORTHANC", "ORTHANC@host", "A@host:0", "A@host:70000", f"{'A' * 17}@host:104"])
def test_a_server_needs_title_host_and_port(text: str) -> None:
    with pytest.raises(IdentityError, match="AE@HOST:PORT is needed"):
        parse_peer(text)


@pytest.mark.deadlines
def test_a_real_server_stores_all_of_it(tmp_path: Path, files: dict[str, Path], made: dict[str, Dataset]) -> None:
    with orthanc(tmp_path) as server:
        send_dicom(list(files.values()), parse_peer(f"ORTHANC@127.0.0.1:{server.dicom}"))
        stored = [server.answer(f"/instances/{one}/tags?simplify") for one in server.answer("/instances")]
        studies = server.answer("/studies")
    assert {one["SOPInstanceUID"] for one in stored} == {one.SOPInstanceUID for one in made.values()}
    assert {one["PatientID"] for one in stored} == {"P-17"}
    assert len(studies) == 1


@pytest.mark.deadlines
def test_nothing_is_written_for_a_server_that_is_not_there(
    session: ExportedSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--dicom", str(tmp_path / "out"), "--patient-id", "P1", "--send"]
    with reserved_ports() as (port,):
        command = ["cinegate", "export", str(session.data.path), *arguments, f"A@127.0.0.1:{port}"]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as left:
            main()
    assert left.value.code == 2
    assert f"DICOM server A at 127.0.0.1:{port} cannot be reached: Connection refused" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.deadlines
def test_a_server_that_does_not_store_is_named(files: dict[str, Path]) -> None:
    full = pynetdicom.AE()
    full.add_supported_context(RTStructureSetStorage)
    with reserved_ports() as (port,):
        server = full.start_server(
            ("127.0.0.1", port), block=False, evt_handlers=[(pynetdicom.evt.EVT_C_STORE, lambda _: 0xA700)]
        )
        try:
            with pytest.raises(Unavailable, match=r"did not store structures\.dcm: status 0xA700"):
                send_dicom([files["structures"]], parse_peer(f"FULL@127.0.0.1:{port}"))
        finally:
            server.shutdown()
