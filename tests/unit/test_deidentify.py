"""Copies without identity: what was planted is gone, and what a session decided follows from its copy as before."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pydicom
import pytest
from typer.testing import CliRunner

from cinegate.deidentify.dicom import DicomCleaner
from cinegate.deidentify.identities import DeidentifyError, Identities, Patient
from cinegate.deidentify.log import copy_log
from cinegate.deidentify.messages import RAW_STAMP, STAMPS, MessageCleaner, Moved
from cinegate.deidentify.settings import without_identity
from cinegate.exports.dicom.cine import cine
from cinegate.exports.dicom.identity import identify
from cinegate.exports.dicom.structures import structure_set
from cinegate.exports.dicom.study import Study
from cinegate.exports.session import open_session
from cinegate.verbs import register_verbs
from cinegate.verbs.app import app
from drivers.errors import Unavailable
from drivers.recordings import open_recording
from gating.analysis.verification import verify_session
from gating.messages import TOPICS, CineFrame, Event, SessionHeader, StreamInfo, TargetReference
from gating.session.chain_check import check_chain
from gating.session.log import read_session
from gating.settings.config import Config, SecuritySettings, parse_past_config, to_toml
from gating.settings.rules import PredictionSettings
from tests import planted
from tests.message_examples import PLANTED, example
from tests.unit.session_bench import write_session

register_verbs()
PATIENT = Patient(b"k" * 32, "smith")


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("in")
    (folder / "smith").mkdir()
    planted.write_log(folder / "smith" / "smith_20260225.mcap")
    planted.write_npz(folder / "smith" / "smith.npz")
    planted.write_dicom(folder / "smith" / "smith.dcm")
    (folder / "smith" / "smith_20260225.plain").unlink()
    return folder


@pytest.fixture(scope="module")
def shared(originals, tmp_path_factory) -> tuple[Path, Path]:
    out, link = tmp_path_factory.mktemp("out"), tmp_path_factory.mktemp("links") / "study.json"
    said = CliRunner().invoke(app, ["deidentify", str(originals), str(out), "--link", str(link), "--json"])
    assert (said.exit_code, json.loads(said.stdout)["left_out"]) == (0, [])
    return out, link


def the(folder: Path, suffix: str) -> Path:
    (found,) = folder.rglob(f"*{suffix}")
    return found


def test_every_planted_identifier_can_be_found_in_the_originals(originals):
    assert set(planted.IN_LOG + planted.IN_NPZ + planted.IN_DICOM) <= set(planted.survivors(originals))


def test_none_of_the_planted_identifiers_survives(shared):
    assert planted.survivors(shared[0]) == []


def test_the_decisions_of_a_copied_session_follow_again(originals, shared):
    before, after = verify_session(the(originals, ".mcap")), verify_session(the(shared[0], ".mcap"))
    assert (before.differences, after.differences, after.first_difference) == (0, 0, "")
    assert msgspec.to_builtins(before) == msgspec.to_builtins(after)


def test_a_copied_log_has_a_chain_of_its_own_and_says_what_it_is(originals, shared):
    original, copy = the(originals, ".mcap"), the(shared[0], ".mcap")
    chain = check_chain(copy)
    assert (chain.broken, chain.no_end, chain.signer) == ("", "", "")
    head = head_of(copy)
    assert head["deidentified_by"].startswith("cinegate ")
    assert len(head["deidentified_copy_of"]) == 128
    assert chain.copy_of == head["deidentified_copy_of"]
    assert check_chain(original).digest not in head.values()


def test_wall_and_monotonic_times_of_a_copied_log_move_together(originals, shared):
    before, after = head_of(the(originals, ".mcap")), head_of(the(shared[0], ".mcap"))
    moved_ns = int(after["wall_time_ns"]) - int(before["wall_time_ns"])
    assert -11 * 366 * 86_400e9 < moved_ns < -364 * 86_400e9
    assert moved_ns % 1_000_000_000 == 0
    clocks_ns = stamps(the(shared[0], ".mcap"))[0] - stamps(the(originals, ".mcap"))[0]
    offsets = (int(head["wall_minus_monotonic_ns"]) for head in (after, before))
    assert int.__sub__(*offsets) == moved_ns - clocks_ns
    assert np.array_equal(np.diff(stamps(the(shared[0], ".mcap"))), np.diff(stamps(the(originals, ".mcap"))))


def test_every_file_of_a_patient_moves_by_the_same_time(originals, shared):
    logs = [int(head_of(the(folder, ".mcap"))["wall_time_ns"]) for folder in (originals, shared[0])]
    recordings = [int(open_recording(the(folder, ".npz")).stamps_ns[0]) for folder in (originals, shared[0])]
    moments = [pydicom.dcmread(the(folder, ".dcm")) for folder in (originals, shared[0])]
    days = [np.datetime64(f"{one.StudyDate[:4]}-{one.StudyDate[4:6]}-{one.StudyDate[6:]}") for one in moments]
    times = [sum(int(one.StudyTime[at : at + 2]) * 60 ** (2 - at // 2) for at in (0, 2, 4)) for one in moments]
    moved_s = int((days[1] - days[0]).astype(int)) * 86_400 + times[1] - times[0]
    assert logs[1] - logs[0] == recordings[1] - recordings[0] == moved_s * 1_000_000_000


def test_a_copied_recording_has_the_same_pixels_and_intervals(originals, shared):
    before, after = open_recording(the(originals, ".npz")), open_recording(the(shared[0], ".npz"))
    assert all(np.array_equal(before.frames[index], after.frames[index]) for index in range(4))
    assert np.array_equal(np.diff(before.stamps_ns), np.diff(after.stamps_ns))
    assert (after.description, after.name[:10]) == ("", "recording-")


def test_a_copied_image_keeps_pixels_and_geometry_and_says_so(originals, shared):
    before, after = pydicom.dcmread(the(originals, ".dcm")), pydicom.dcmread(the(shared[0], ".dcm"))
    assert (after.PixelData, after.PixelSpacing) == (before.PixelData, before.PixelSpacing)
    assert (after.PatientIdentityRemoved, after.LongitudinalTemporalInformationModified) == ("YES", "MODIFIED")
    assert [code.CodeValue for code in after.DeidentificationMethodCodeSequence] == ["113100", "113107"]
    assert after.PatientID == the(shared[0], ".dcm").parent.name
    assert after.SOPInstanceUID == after.file_meta.MediaStorageSOPInstanceUID != before.SOPInstanceUID
    assert after.ReferencedImageSequence[0].ReferencedSOPClassUID == before.SOPClassUID


def test_the_frame_of_reference_is_the_same_in_recording_and_image(originals, shared):
    assert open_recording(the(shared[0], ".npz")).frame_of_reference == str(
        pydicom.dcmread(the(shared[0], ".dcm")).SeriesInstanceUID
    )


def test_the_link_table_is_for_its_owner_alone_and_leads_back(originals, shared):
    out, link = shared
    assert stat.S_IMODE(link.stat().st_mode) == 0o600
    table = json.loads(link.read_text())
    assert list(table["patients"].items()) == [(next(out.iterdir()).name, "smith")]
    assert {Path(one["original"]).name for one in table["files"]} == {path.name for path in originals.rglob("s*.*")}


def test_a_patient_has_one_pseudonym_by_each_link_table(tmp_path):
    first, second = Identities(tmp_path / "a.json"), Identities(tmp_path / "b.json")
    first.save()
    again = Identities(tmp_path / "a.json")
    assert first.patient("smith").pseudonym == again.patient("smith").pseudonym
    assert first.patient("smith").shift_ns == again.patient("smith").shift_ns
    assert first.patient("smith").pseudonym != second.patient("smith").pseudonym
    assert first.patient("smith").shift_ns != first.patient("jones").shift_ns


def test_a_link_table_that_others_may_read_is_refused(tmp_path):
    link = tmp_path / "a.json"
    Identities(link).save()
    link.chmod(0o644)
    with pytest.raises(DeidentifyError, match=r"may be read by others \(mode 644\)"):
        Identities(link)


def test_what_the_user_allows_stays(originals, tmp_path):
    copy_log(the(originals, ".mcap"), tmp_path / "a.mcap", PATIENT, keep_texts=True, keep_target_names=True)
    said = [message for _, _, message in read_session(tmp_path / "a.mcap")]
    assert any(isinstance(one, StreamInfo) and planted.IN_LOG[2] in one.description for one in said)
    assert any(isinstance(one, Event) and planted.IN_LOG[18] in one.text for one in said)
    assert planted.IN_LOG[0].encode() in (tmp_path / "a.mcap").read_bytes()


def test_settings_keep_their_numbers_and_their_hash(originals, shared):
    headers = [
        message
        for folder in (originals, shared[0])
        for _, _, message in read_session(the(folder, ".mcap"))
        if isinstance(message, SessionHeader)
    ]
    assert headers[1].overrides == ["health.max_still_s: removed"]
    assert "max_still_s = 3600.0" in headers[1].config_toml
    assert headers[0].config_hash != headers[1].config_hash


def test_choices_of_settings_stay_and_free_texts_go():
    toml = to_toml(Config(prediction=PredictionSettings(method="ridge"), security=SecuritySettings(keys="/home/x")))
    kept = parse_past_config(without_identity(toml, str, str).toml, "kept")
    assert (kept.prediction.method, kept.tracker, kept.security.keys) == ("ridge", "template", "removed")
    assert kept.safety == Config().safety


@pytest.mark.parametrize("kind", TOPICS)
def test_no_text_of_any_message_survives(kind):
    planted_message = example(kind)
    cleaner = MessageCleaner(PATIENT, Moved(0, 0), keep_texts=False, keep_target_names=False)
    assert PLANTED in repr(planted_message)
    if kind is SessionHeader:
        planted_message = msgspec.structs.replace(planted_message, config_toml="")
    assert PLANTED not in repr(cleaner.clean(planted_message))


@pytest.mark.parametrize(("carried", "accepted_by"), [("", ""), ("Zz of a plan", ""), ("Zz of a plan", "Zz")])
def test_a_carried_contour_stays_accepted_or_not(carried, accepted_by):
    cleaner = MessageCleaner(PATIENT, Moved(0, 0), keep_texts=False, keep_target_names=False)
    message = msgspec.structs.replace(example(TargetReference), carried=carried, accepted_by=accepted_by)
    cleaned = cleaner.clean(message)
    assert (bool(cleaned.carried), bool(cleaned.accepted_by)) == (bool(carried), bool(accepted_by))
    assert "Zz" not in cleaned.carried + cleaned.accepted_by


@pytest.mark.parametrize("kind", TOPICS)
def test_every_stamp_of_a_message_moves(kind):
    durations = {"acquired_uncertainty_ns", "moment_uncertainty_ns", "nominal_interval_ns"}
    assert {name for name in kind.__struct_fields__ if name.endswith("_ns")} <= STAMPS | {RAW_STAMP} | durations


def test_a_log_whose_chain_is_broken_is_not_copied(originals, tmp_path):
    data = bytearray(the(originals, ".mcap").read_bytes())
    data[data.index(b"disarm") + 1] ^= 1
    (tmp_path / "a.mcap").write_bytes(data)
    with pytest.raises(DeidentifyError, match=r"seal \d+ does not match .*; a copy would hide"):
        copy_log(tmp_path / "a.mcap", tmp_path / "b.mcap", PATIENT)


def test_the_copy_of_a_log_that_was_cut_has_no_end_either(originals, tmp_path):
    data = the(originals, ".mcap").read_bytes()
    (tmp_path / "a.mcap").write_bytes(data[: len(data) // 2])
    assert copy_log(tmp_path / "a.mcap", tmp_path / "b.mcap", PATIENT).torn
    assert check_chain(tmp_path / "b.mcap").no_end.startswith("no end: cut after")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("smith.txt", "is neither a session log nor a recording nor DICOM"),
        ("burnt.dcm", "BurnedInAnnotation is YES"),
        ("report.dcm", "which is not copied: its content may name the patient"),
        ("text.npz", "look as if text were burnt into them"),
    ],
)
def test_what_may_name_the_patient_all_the_same_is_not_copied(name, reason, tmp_path):
    (tmp_path / "in").mkdir()
    write_doubtful(tmp_path / "in" / name)
    arguments = [str(tmp_path / "in"), str(tmp_path / "out"), "--link", str(tmp_path / "l.json"), "--json"]
    said = CliRunner().invoke(app, ["deidentify", *arguments])
    assert said.exit_code == 3
    (left,) = json.loads(said.stdout)["left_out"]
    assert reason in left["why"]
    assert not list((tmp_path / "out").rglob("*.*"))


def test_no_pixels_but_those_of_the_image_itself_are_copied(tmp_path):
    nested = pydicom.Dataset()
    nested.add_new("PixelData", "OW", b"SMITH JOHN")
    nested.add_new("FloatPixelData", "OF", b"SMITH JO")
    attributes = {"ReferencedImageSequence": [nested], "ExtendedOffsetTable": b"SMITH JO"}
    planted.write_dicom(tmp_path / "a.dcm", **attributes)
    DicomCleaner(PATIENT).copy(tmp_path / "a.dcm", tmp_path / "b.dcm")
    assert (tmp_path / "a.dcm").read_bytes().count(b"SMITH") >= 3
    assert b"SMITH" not in (tmp_path / "b.dcm").read_bytes()


def test_bits_that_are_not_part_of_a_pixel_are_cleared(tmp_path):
    planted.write_dicom(tmp_path / "a.dcm")
    image = pydicom.dcmread(tmp_path / "a.dcm")
    values = np.full((image.Rows, image.Columns), 0x123A, "<u2")
    image.PixelData, image.BitsStored, image.HighBit, image.PixelRepresentation = values.tobytes(), 12, 15, 0
    image.save_as(tmp_path / "a.dcm")
    DicomCleaner(PATIENT).copy(tmp_path / "a.dcm", tmp_path / "b.dcm")
    copied = np.frombuffer(pydicom.dcmread(tmp_path / "b.dcm").PixelData, "<u2")
    assert set(copied.tolist()) == {0x1230}


def test_a_damaged_image_is_left_out_and_the_next_one_copied(tmp_path):
    (tmp_path / "in").mkdir()
    planted.write_dicom(tmp_path / "in" / "b.dcm")
    whole = (tmp_path / "in" / "b.dcm").read_bytes()
    at = whole.index(b"\x28\x00\x10\x00US") + 4
    (tmp_path / "in" / "a.dcm").write_bytes(whole[:at] + b"\x4c\xe5" + whole[at + 2 :])
    arguments = [str(tmp_path / "in"), str(tmp_path / "out"), "--link", str(tmp_path / "l.json"), "--json"]
    said = CliRunner().invoke(app, ["deidentify", *arguments])
    (left,) = json.loads(said.stdout)["left_out"]
    assert left["why"].startswith("is no readable DICOM file: ")
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 1


def test_copied_objects_of_a_session_are_valid_dicom(tmp_path):
    session = open_session(write_session(tmp_path / "a.mcap"))
    study = Study.of(session, identify(session, patient_id="4711", patient_name="Smith^John"))
    cines = {"sagittal": cine(study, "sagittal", 1)}
    structures = structure_set(study, cines, 2)
    structures.StructureSetLabel = structures.StructureSetROISequence[0].ROIName = "Smith's"
    for name, made in (("cine", cines["sagittal"]), ("structures", structures)):
        made.save_as(tmp_path / name, enforce_file_format=True)
        DicomCleaner(PATIENT).copy(tmp_path / name, tmp_path / f"{name}.dcm")
        assert not {b"4711", b"Smith"} & set(re.findall(b"4711|Smith", (tmp_path / f"{name}.dcm").read_bytes()))
        validator = Path(sys.executable).with_name("dciodvfy")
        said = subprocess.run([validator, tmp_path / f"{name}.dcm"], capture_output=True, text=True, check=False)
        assert [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")] == []


def test_without_the_table_of_the_profile_no_dicom_is_copied(monkeypatch):
    monkeypatch.setitem(sys.modules, "dicomanonymizer", None)
    with pytest.raises(Unavailable, match=r"de-identifying DICOM needs the extra archive .*; install it with: "):
        DicomCleaner(PATIENT)


def test_images_of_two_patients_in_one_folder_are_not_mixed(tmp_path):
    (tmp_path / "in").mkdir()
    planted.write_dicom(tmp_path / "in" / "a.dcm")
    planted.write_dicom(tmp_path / "in" / "b.dcm", PatientID="another")
    arguments = [str(tmp_path / "in"), str(tmp_path / "out"), "--link", str(tmp_path / "l.json"), "--json"]
    outcome = json.loads(CliRunner().invoke(app, ["deidentify", *arguments]).stdout)
    assert (outcome["dicom"], [Path(left["path"]).name for left in outcome["left_out"]]) == (1, ["b.dcm"])


@pytest.mark.parametrize(
    ("out", "link", "reason"),
    [
        ("in/out", "l.json", "a place apart from IN"),
        ("out", "out/l.json", "a place that is not shared with them"),
        (".", "l.json", "a place apart from IN"),
    ],
)
def test_copies_originals_and_link_table_lie_apart(out, link, reason, tmp_path):
    (tmp_path / "in").mkdir()
    said = CliRunner().invoke(
        app, ["deidentify", str(tmp_path / "in"), str(tmp_path / out), "--link", str(tmp_path / link)]
    )
    assert reason in str(said.exception)
    assert list(tmp_path.iterdir()) == [tmp_path / "in"]


def write_doubtful(path: Path) -> None:
    if path.name == "burnt.dcm":
        planted.write_dicom(path, BurnedInAnnotation="YES")
    elif path.name == "report.dcm":
        planted.write_dicom(path, SOPClassUID=pydicom.uid.ComprehensiveSRStorage)
    elif path.name == "text.npz":
        import cv2

        image = np.zeros((64, 128), np.uint8)
        cv2.putText(image, "SMITH 1961", (4, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1)
        np.savez(path, frames=np.stack([image, image]), t_s=np.arange(2.0), pixel_spacing_mm=np.ones(2))
    else:
        path.write_text("smith")


def head_of(log: Path) -> dict[str, str]:
    reader = read_session(log)
    for _ in reader:
        pass
    return reader.raw.metadata


def stamps(log: Path) -> list[int]:
    return [one.header.published_ns for _, _, one in read_session(log) if isinstance(one, CineFrame)]
