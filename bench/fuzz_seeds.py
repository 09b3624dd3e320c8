"""Valid input for each parser. It is small, so that random changes hit structure more often than pixels."""

from __future__ import annotations

import io
import itertools
import json
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from drivers.formats import mrd, openigtlink
from drivers.formats.unity import ROOT_TYPE, SECONDS_1900_TO_1970
from gating.messages import (
    BeamStatus,
    CineFrame,
    ControlRequest,
    EngineState,
    Event,
    FrameHeader,
    GateCommand,
    GateState,
    Heartbeat,
    Pacing,
    SourceKind,
    StageStamps,
    StampMeaning,
    StreamInfo,
)
from gating.session.log_writer import SessionWriter
from gating.settings.config import Config, to_toml
from gating.wire.codec import encode, encode_frame
from gating.wire.pixels import content_hash

SIDE: Final = 8
PIXELS: Final = np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, SIDE)
SAGITTAL: Final = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
ORIGIN: Final = (0.0, 0.0, 0.0)


def wire_messages() -> list[list[bytes]]:
    """Return the parts of one message of each kind that other processes send, including control requests."""
    others = [
        ControlRequest(session_id="s", action="acknowledge", operator="o", why="w"),
        Event(session_id="s", role="beam", severity="fault", code="c", text="t", at_ns=1),
        Heartbeat(session_id="s", role="recorder", process_id=1, state="recording", sent_ns=1, counters={"frames": 1}),
    ]
    encoded = [encode(message) for message in (_stream(), _command(), _status(), *others)]
    return [_frame(1), *([bytes(part) for part in parts] for parts in encoded)]


def _stream() -> StreamInfo:
    return StreamInfo(
        session_id="s",
        source="fuzz",
        source_kind=SourceKind.PHANTOM,
        pacing=Pacing.REAL_TIME,
        planes=("sagittal",),
        dtype="uint16",
        shape=PIXELS.shape,
        pixel_spacing_mm=(1.0, 1.0),
        image_orientation=SAGITTAL,
        image_position_mm=ORIGIN,
        nominal_interval_ns=125_000_000,
        acquired_clock="c",
        acquired_meaning=StampMeaning.START,
    )


def _command() -> GateCommand:
    return GateCommand(
        session_id="s",
        engine_id="e",
        command_sequence=1,
        state=GateState.ON,
        reason="in_window",
        engine_state=EngineState.ARMED,
        frame_sequence=1,
        renewal=False,
        lease_ms=100.0,
        source_kind=SourceKind.PHANTOM,
        pacing=Pacing.REAL_TIME,
        stamps=StageStamps(sent_ns=1),
    )


def _status() -> BeamStatus:
    return BeamStatus(
        session_id="s",
        beam="b",
        beam_kind="simulated",
        status_sequence=1,
        commanded=GateState.ON,
        confirmed=GateState.ON,
        reason="commanded_on",
        engine_id="e",
        command_sequence=1,
        frame_sequence=1,
        renewal=False,
        command_sent_ns=1,
        command_received_ns=2,
        applied_ns=3,
        sent_ns=4,
        clock="monotonic",
        latched=False,
    )


def _frame(number: int) -> list[bytes]:
    header = FrameHeader(
        session_id="s",
        source="fuzz",
        publisher_id="p",
        source_kind=SourceKind.PHANTOM,
        pacing=Pacing.REAL_TIME,
        sequence=number,
        plane="sagittal",
        acquired_ns=125_000_000 * number,
        acquired_clock="c",
        acquired_meaning=StampMeaning.START,
        acquired_on_publish_clock_ns=125_000_000 * number,
        published_ns=125_000_000 * number + 1,
        publish_clock="monotonic",
        dtype="uint16",
        shape=PIXELS.shape,
        pixel_spacing_mm=(1.0, 1.0),
        image_orientation=SAGITTAL,
        image_position_mm=ORIGIN,
        content_hash=content_hash(PIXELS),
    )
    return [bytes(part) for part in encode_frame(CineFrame(header, PIXELS))]


def session_log() -> bytes:
    """Return a log with one message of each kind, a second frame, a refused one, two seals and a footer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.mcap"
        writer = SessionWriter(path, "s", "monotonic")
        writer.open()
        for number, parts in enumerate([*wire_messages(), _frame(2)]):
            writer.write(parts, number)
        writer.flush()
        writer.write([b"garbage", b"x"], 9)
        writer.close()
        return path.read_bytes()


def unity_frame() -> bytes:
    """Return a frame of the 1.5 T MR-linac with all members and an image of 8 x 8."""
    point = {"X": 0.0, "Y": 0.0, "Z": 0.0}
    image = {
        "VoxelSize": {"XInmm": 1.0, "YInmm": 1.0, "ZInmm": 5.0},
        "Orientation": {
            "RowDirectionCosines": {"X": 0.0, "Y": 1.0, "Z": 0.0},
            "ColumnDirectionCosines": {"X": 0.0, "Y": 0.0, "Z": -1.0},
        },
        "Origin": point,
        "Dimension": {"Rows": SIDE, "Columns": SIDE, "Slices": 1},
        "BytesPerVoxel": 2,
        "NoOfComponents": 1,
        "Unsigned": True,
        "Data": PIXELS.tobytes(),
    }
    stamped = {**image, "Elapsed100NanosecondInterval": (SECONDS_1900_TO_1970 + 1_700_000_000) * 10**7}
    structures = {"_items": [{"m_Item1": "target", "m_Item2": image}, None], "_size": 1}
    root = {
        "TwoDSlicedata": stamped,
        "MMEMonitoringResult": {"ResultStructures": structures, "Centroid": point},
        "TimingInfo": {"_items": [{"Label": "a", "Now": 1}, {"Label": "b", "Now": 2}], "_size": 2},
    }
    numbers = itertools.count(1)
    return struct.pack("<Biiii", 0, 1, -1, 1, 0) + _nrbf(root, numbers, ROOT_TYPE) + b"\x0b"


def _nrbf(value: Any, numbers: Iterator[int], type_name: str = "Held") -> bytes:
    """Return plain data as [MS-NRBF] records, each member with its own type."""
    match value:
        case None:
            return b"\x0a"
        case bool():
            return struct.pack("<BBB", 8, 1, value)
        case int():
            return struct.pack("<BBq", 8, 9, value)
        case float():
            return struct.pack("<BBd", 8, 6, value)
        case str():
            return struct.pack("<Bi", 6, next(numbers)) + _text(value)
        case bytes():
            return struct.pack("<BiiB", 15, next(numbers), len(value), 2) + value
        case list():
            head = struct.pack("<Bii", 16, next(numbers), len(value))
            return head + b"".join(_nrbf(one, numbers) for one in value)
        case _:
            head = struct.pack("<Bi", 4, next(numbers)) + _text(type_name) + struct.pack("<i", len(value))
            names = b"".join(_text(name) for name in value) + bytes([2] * len(value))
            return head + names + b"".join(_nrbf(one, numbers) for one in value.values())


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def mrd_stream() -> bytes:
    """Return a configuration, a header, two images, a waveform and the close message."""
    header = struct.pack(
        "<HHQI3H3fH3f3f3f3f3f6HI3I3H8i8fI",
        *(1, 2, 0, 1, SIDE, SIDE, 1, 8.0, 8.0, 5.0, 1),
        *(*ORIGIN, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, *ORIGIN),
        *(0, 0, 0, 0, 0, 0, 16_000_000, 0, 0, 0, 1, 1, 0),
        *([0] * 8),
        *([0.0] * 8),
        0,
    )
    image = struct.pack("<H", 1022) + header + struct.pack("<Q", 0) + PIXELS.astype("<u2").tobytes()
    waveform = struct.pack("<H", 1026) + struct.pack("<H6xQIIIHHfH2x", 1, 0, 0, 1, 0, 2, 1, 1.0, 0) + bytes(8)
    texts = struct.pack("<HI", 2, 3) + b"abc" + struct.pack("<HI", 3, 4) + b"<x/>"
    return texts + image + waveform + image + mrd.CLOSE


def mrd2_stream() -> bytes:
    """Return a stream of version 2 with two images and a waveform, and the least schema that describes them."""
    triple = {"array": {"items": "float32", "dimensions": [{"length": 3}]}}
    vectors = ("fieldOfView", "position", "colDir", "lineDir")
    counters = ("slice", "acquisitionTimeStamp", "imageIndex", "imageSeriesIndex")
    head: list[dict[str, object]] = [{"name": name, "type": triple} for name in vectors]
    head += ({"name": name, "type": [None, "uint32"]} for name in counters)
    head.append({"name": "imageType", "type": "Mrd.Kind"})
    data = {"array": {"items": "T", "dimensions": [{}, {}, {}, {}]}}
    meta = {"map": {"keys": "string", "values": {"vector": {"items": ["string", "float64"]}}}}
    fields = {"head": "Mrd.Head", "data": data, "meta": meta}
    items = ("Acquisition", "string"), ("WaveformUint32", "uint32"), ("ImageUint16", "Mrd.U2"), ("ImageFloat", "Mrd.F4")
    types = [
        {"name": "Item", "type": [{"tag": tag, "type": kind} for tag, kind in items]},
        {"name": "Image", "typeParameters": ["T"], "fields": [{"name": n, "type": t} for n, t in fields.items()]},
        {"name": "Head", "fields": head},
        {"name": "Kind", "values": [{"symbol": "magnitude", "value": 1}]},
        *({"name": name, "type": {"name": "Mrd.Image", "typeArguments": [kind]}} for name, kind in _KINDS),
    ]
    steps = [("header", [None, "string"]), ("data", {"stream": {"items": "Mrd.Item"}})]
    protocol = {"name": "Mrd", "sequence": [{"name": name, "type": kind} for name, kind in steps]}
    schema = json.dumps({"protocol": protocol, "types": types}).encode()
    numbers = struct.pack("<12f", 8.0, 8.0, 5.0, *ORIGIN, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    image = numbers + b"\0\1" + _varint(16_000_000) + b"\0\0\2\1\1" + bytes([SIDE, SIDE])
    pixels = b"".join(_varint(int(value)) for value in PIXELS.ravel())
    floats = PIXELS.astype("<f4").tobytes()
    first = b"yardl" + struct.pack("<i", 1) + _varint(len(schema)) + schema + b"\1" + _text("patient")
    images = b"\2" + image + pixels + b"\1" + _text("Role") + b"\1\0" + _text("Image"), b"\3" + image + floats + b"\0"
    return first + b"\2" + images[0] + b"\1\5" + b"\1" + images[1] + b"\0"


_KINDS: Final = (("U2", "uint16"), ("F4", "float32"))


def _varint(value: int) -> bytes:
    held = bytearray()
    while value >= 0x80:
        held.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*held, value])


def openigtlink_stream() -> bytes:
    """Return an image, a transform and a string."""
    image = openigtlink.image_message("cine", 1, PIXELS, (1.0, 1.0), SAGITTAL, ORIGIN)
    return image + openigtlink.transform_message("t", 2, ORIGIN) + openigtlink.string_message("s", 3, "text")


def npz_recording() -> bytes:
    """Return a recording of three frames with optional arrays, uncompressed so that changes are not bad checksums."""
    file = io.BytesIO()
    np.savez(
        file,
        frames=np.stack([PIXELS, PIXELS + 1, PIXELS + 2]),
        t_s=np.arange(3) / 8,
        pixel_spacing_mm=np.array([1.0, 1.0]),
        image_position_patient=np.array(ORIGIN),
        image_orientation_patient=np.array(SAGITTAL),
        target_box=np.array([2, 2, 4, 4]),
        target_xy_px=np.zeros((3, 2)),
    )
    return file.getvalue()


def mha_image() -> bytes:
    """Return three frames of 8 x 8, with time last as in TrackRAD2025."""
    text = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
        "TransformMatrix = 0 0 1 0 1 0 1 0 0\nOffset = 0 0 0\nCenterOfRotation = 0 0 0\nElementSpacing = 1 1 1\n"
        f"DimSize = 3 {SIDE} {SIDE}\nElementType = MET_USHORT\nElementDataFile = LOCAL\n"
    )
    return text.encode() + np.repeat(PIXELS[:, :, None], 3, axis=2).tobytes()


def dicom_image() -> bytes:
    """Return an MR image of 8 x 8 in explicit little endian."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, UID("1.2.3")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    image.SOPClassUID, image.SOPInstanceUID, image.SeriesInstanceUID = MRImageStorage, "1.2.3", "1.2"
    image.AcquisitionTime, image.PixelSpacing = "100000.000000", [1.0, 1.0]
    image.ImageOrientationPatient, image.ImagePositionPatient = list(SAGITTAL), list(ORIGIN)
    image.Rows = image.Columns = SIDE
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
    image.PixelData = PIXELS.tobytes()
    file = io.BytesIO()
    image.save_as(file, enforce_file_format=True)
    return file.getvalue()


def motion_traces() -> list[list[bytes]]:
    """Return a trace in each format."""
    layout = "Scale_factor=10\nData_layout=amplitude,phase,timestamp,validflag,ttlin,mark,ttlout\n"
    vxp = layout + "[Data]\n0.1,1.0,0,0,0,,0\n0.2,1.5,33,0,0,,0\n"
    csv = "Frame;Timestamp;x;y;z\n1;0;0,1;0,2;0,3\n2;50;0,1;0,2;0,4\n0;0;0;0;0\n"
    robot = "0.0 0 0 0 0 0 0\n0.1 0 1.5 -0.5 0 0 0\n"
    table = "time (ms)\tSI [cm]\tnote\n0\t0,5\t-\n200\t0.7\tcough\n"
    texts = ((b".vxp", vxp), (b".csv", csv), (b".txt", robot), (b".txt", table))
    return [[suffix, text.encode()] for suffix, text in texts]


def configuration() -> bytes:
    """Return every setting, as TOML."""
    return to_toml(Config()).encode()
