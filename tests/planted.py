"""A session log, recordings and DICOM files in which identifiers are planted, and what of them survives elsewhere."""

from __future__ import annotations

import tomllib
import zipfile
from pathlib import Path

import numpy as np
import tomli_w
from msgspec.structs import replace
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from gating.messages import ControlRequest, Event, Heartbeat, SessionHeader
from gating.session.log import read_raw
from gating.session.log_writer import SessionWriter
from gating.settings.config import logged_hash
from gating.targets.spec import TargetSpec
from gating.wire.codec import decode, encode, encode_frame
from tests import dicom_files
from tests.engine_bench import BOX
from tests.factories import beam_status
from tests.logged_engine import LoggedEngine

WALL_NS = 1_772_000_000_123_456_789
STARTED = "2026-02-25T06:13:20+00:00"
IN_LOG = tuple(f"Zz{number:02d}Planted" for number in range(22))
IN_NPZ = ("QqDescribed", "QqSource", "QqNote")
IN_DICOM = tuple(f"Xx{number:02d}Planted" for number in range(12))


def write_log(path: Path) -> Path:
    """A session that verifies, with an identifier in every kind of text that a log can hold."""
    plain = LoggedEngine(path.with_suffix(".plain"), target=TargetSpec(IN_LOG[0], BOX, structure=IN_LOG[1]))
    plain.declare(description=f"liver of {IN_LOG[2]}", peer=f"10.1.2.3 {IN_LOG[3]}", series=IN_LOG[4])
    plain.frames(0, 8)
    plain.ask("disarm")
    plain.frames(8, 3)
    plain.log(*said())
    plain.end(why=f"stopped by {IN_LOG[5]}")
    plain.writer.close()
    details = {"clock": f"monotonic:{IN_LOG[6]}", "host": IN_LOG[7]}
    details |= {"wall_time_ns": str(WALL_NS), "wall_minus_monotonic_ns": str(WALL_NS - 10_000_000_000)}
    writer = SessionWriter(path, IN_LOG[8], "manual", details)
    writer.open()
    for topic, log_time_ns, parts in read_raw(plain.writer.path):
        message = decode(parts)
        header = message.header if topic in ("frame", "image") else message
        named = replace(header, session_id=IN_LOG[8])
        named = with_identity(named) if isinstance(named, SessionHeader) else named
        framed = topic in ("frame", "image")
        writer.write(encode_frame(type(message)(named, message.pixels)) if framed else encode(named), log_time_ns)
    writer.write([b"refused", IN_LOG[9].encode()], log_time_ns)
    writer.write([b"gate", b"\x81\xa4name\xac" + IN_LOG[10].encode()], log_time_ns)
    writer.close()
    return path


def with_identity(header: SessionHeader) -> SessionHeader:
    """A session header with paths, users, addresses and reasons in its settings."""
    plain = tomllib.loads(header.config_toml)
    plain["endpoints"]["frames"] = f"ipc:///home/{IN_LOG[11]}/frames"
    plain["security"]["keys"] = f"/home/{IN_LOG[12]}/keys"
    plain["host"]["run_as"] = IN_LOG[13]
    plain["overrides"] = {"health.max_still_s": f"asked for by {IN_LOG[14]}"}
    plain["sites"] = [{"name": IN_LOG[15], "target": f"/data/{IN_LOG[15]}.json", "plan": IN_LOG[15]}]
    toml = tomli_w.dumps(plain)
    return replace(
        header,
        config_toml=toml,
        config_hash=logged_hash(toml),
        started_at=STARTED,
        versions={"cinegate": f"0.2.0+{IN_LOG[16]}", IN_LOG[16]: "1"},
        overrides=[f"health.max_still_s, {IN_LOG[14]}"],
    )


def said() -> list[object]:
    """What people and processes may say in free text."""
    by = {"session_id": "s1", "role": "engine", "severity": "info", "at_ns": 20_000_000_000}
    return [
        Event(code="mark", text=f"mark by {IN_LOG[17]}: cough of {IN_LOG[18]}", **by),
        Event(code=IN_LOG[19], text="said", **by),
        ControlRequest(session_id="s1", action="mark", operator=IN_LOG[17], why=IN_LOG[18]),
        beam_status(beam=IN_LOG[20], detail=f"line of {IN_LOG[20]}", reason=IN_LOG[20]),
        Heartbeat(
            session_id="s1", role="recorder", process_id=1, state=IN_LOG[21], sent_ns=1, counters={IN_LOG[21]: 1}
        ),
    ]


def write_npz(path: Path) -> Path:
    """A recording whose stamps count from 1970, with texts and an array that nobody knows."""
    frames = np.random.default_rng(3).integers(0, 900, (4, 32, 40)).astype(np.uint16)
    stamps_ns = WALL_NS + np.arange(4) * 250_000_000
    np.savez_compressed(
        path, frames=frames, t_s=stamps_ns / 1e9, stamps_ns=stamps_ns, pixel_spacing_mm=np.array([2.0, 2.0]),
        description=np.array(IN_NPZ[0]), source=np.array(IN_NPZ[1]), operator=np.array(IN_NPZ[2]),
        frame_of_reference=np.array(str(dicom_files.SERIES)),
    )  # fmt: skip
    return path


def write_dicom(path: Path, **attributes: object) -> Path:
    """An MR image with identifiers in the patient's fields, in texts, in sequences and in private attributes."""
    image = dicom_files.image(0, PatientName=f"{IN_DICOM[0]}^A", PatientID=IN_DICOM[1], OperatorsName=IN_DICOM[2])
    image.InstitutionName, image.StudyDescription, image.SoftwareVersions = IN_DICOM[3:6]
    image.StudyDate, image.StudyTime, image.PatientBirthDate = "20260225", "061320.500", "19610309"
    image.AcquisitionDate = "20260225"
    nested, deeper = Dataset(), Dataset()
    nested.PatientName, nested.StudyDate, nested.ReferencedSOPInstanceUID = IN_DICOM[6], "20260224", "1.2.3.4.5"
    deeper.PersonName, nested.ReferencedSOPClassUID = IN_DICOM[7], image.SOPClassUID
    nested.ReferencedSeriesSequence = Sequence([deeper])
    image.ReferencedStudySequence = image.ReferencedImageSequence = Sequence([nested])
    image.private_block(0x0029, IN_DICOM[8], create=True).add_new(1, "LO", IN_DICOM[8])
    image.add_new(0x60003000, "OW", IN_DICOM[9].encode() + b"\0")
    image.add_new(0x60000022, "LO", IN_DICOM[9])
    image.preamble = IN_DICOM[10].encode().ljust(128, b"\0")
    image.file_meta.SourceApplicationEntityTitle = IN_DICOM[11]
    for name, value in attributes.items():
        setattr(image, name, value)
    return dicom_files.put(path, image)


def survivors(folder: Path) -> list[str]:
    """Every planted identifier in the names and the bytes of a folder's files, those of archives unpacked."""
    found = set()
    for path in sorted(folder.rglob("*")):
        data = str(path.relative_to(folder)).encode()
        if path.is_file():
            data += path.read_bytes()
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    data += b"".join(name.encode() + archive.read(name) for name in archive.namelist())
        for word in (*IN_LOG, *IN_NPZ, *IN_DICOM, "smith", "1961", "20260225", "2026-02-25", str(WALL_NS)[:10]):
            wide = "".join(f"{letter}\0" for letter in word).encode()  # text in arrays of numpy is UTF-32
            if word.lower().encode() in data.lower() or word.encode("utf-32-le") in data or wide in data:
                found.add(word)
    return sorted(found)
