"""MRD version 2, with the `mrd-python` package as the peer."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mrd", reason="the mrd-python package is not installed")
pytest.importorskip("ismrmrd", reason="the ismrmrd package is not installed")

import mrd

from bench.fuzz_seeds import PIXELS, mrd2_stream
from drivers.errors import BadFrame, BadRecording, FramesDropped
from drivers.formats.mrd import FrameMaker, parse_messages
from drivers.formats.mrd_image import MrdImage
from drivers.formats.stream import FileParser
from drivers.recordings import open_recording
from gating.messages import StampMeaning
from tests import mrd2_peer
from tests.live_session import LiveSession
from tests.mrd_client import CLOSE, TICK_NS, connect, liver_cine, synthetic_cine
from tests.mrd_peer import opening, started


@pytest.fixture
def session() -> Iterator[LiveSession]:
    made = opening()
    yield made
    made.source.close()


def whole(cine: dict, header: object = None) -> bytes:
    return mrd2_peer.stream([mrd2_peer.image(cine, index) for index in range(len(cine["frames"]))], header)


def images_in(data: bytes) -> list[MrdImage]:
    return [one for one in FileParser(parse_messages()).messages(BytesIO(data)) if isinstance(one, MrdImage)]


def test_a_real_cine_sent_as_version_2_arrives_pixel_for_pixel(session: LiveSession, shared_data: Path) -> None:
    cine = liver_cine(shared_data, count=6)
    with connect(session.port) as client:
        client.sendall(whole(cine, mrd2_peer.header()))
        frames = session.read(6)
    np.testing.assert_array_equal([pixels for _, pixels in frames], cine["frames"])
    info = session.opened()
    assert info.pixel_spacing_mm == pytest.approx(tuple(cine["spacing"]), rel=1e-5)
    assert info.image_position_mm == pytest.approx(tuple(cine["position"]), abs=0.01)
    stamps_s = np.array([stamp.acquired_ns for stamp, _ in frames]) / 1e9
    np.testing.assert_allclose(stamps_s, 36_000 + cine["t_s"], atol=TICK_NS / 2e9)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_every_pixel_type_is_read_to_its_extremes(dtype: str) -> None:
    cine = synthetic_cine(1, dtype=dtype)
    kind = np.dtype(dtype)
    extremes = [np.iinfo(kind).min, np.iinfo(kind).max] if kind.kind in "iu" else [-1e30, 1e30]
    cine["frames"][0, 0, :2] = extremes
    (image,) = images_in(whole(cine))
    np.testing.assert_array_equal(np.frombuffer(image.data, image.header.dtype).reshape(40, 32), cine["frames"][0])


def newer(schema: bytes) -> bytes:
    """The names that 2.2 gives to what 2.1 sends."""
    for tag in ("Acquisition", "WaveformUint32", *mrd2_peer.ITEMS.values()):
        schema = schema.replace(f'"tag":"{tag}"'.encode(), f'"tag":"{tag[:1].lower()}{tag[1:]}"'.encode())
    return schema.replace(b'"acquisitionTimeStamp"', b'"acquisitionTimeStampNs"')


@pytest.mark.skipif(mrd2_peer.IN_NS, reason="the package itself is of 2.2 or later")
def test_the_names_of_the_next_version_are_known_and_its_stamps_are_ns() -> None:
    """Values of 2.1 under the names that 2.2 has."""
    raw = mrd2_peer.stream([mrd2_peer.image(synthetic_cine(1), 0, acquisition_time_stamp=123_456_789)])
    (image,) = images_in(mrd2_peer.with_schema(raw, newer))
    assert (image.header.ticks, image.header.tick_ns) == (123_456_789, 1)
    assert FrameMaker(StampMeaning.START, "centre").stamp(image, 0) == 123_456_789


@pytest.mark.skipif(mrd2_peer.IN_NS, reason="stamps of 2.2 and later are in ns")
def test_stamps_of_another_unit_are_read_as_the_site_says() -> None:
    cine = synthetic_cine(5)
    stamped = [mrd2_peer.image(cine, index, acquisition_time_stamp=36_000_000 + 20 * index) for index in range(5)]
    session = opening(tick_ms=1.0)
    with connect(session.port) as client:
        client.sendall(mrd2_peer.stream(stamped))
        frames = session.read(5)
    session.source.close()
    assert [stamp.acquired_ns // 10**6 for stamp, _ in frames] == [36_000_000 + 20 * index for index in range(5)]


def test_patients_are_told_apart_by_the_header() -> None:
    cine = synthetic_cine(1)
    scans = {images_in(whole(cine, mrd2_peer.header(name)))[0].scan for name in ("Doe", "Roe", "Doe")}
    assert len(scans) == 2
    assert not any("oe" in scan for scan in scans)


def raw_data() -> bytes:
    head = mrd.AcquisitionHeader(flags=mrd.AcquisitionFlags(0), idx=mrd.EncodingCounters(), measurement_uid=0)
    head.position = head.read_dir = head.phase_dir = head.slice_dir = np.zeros(3, np.float32)
    head.patient_table_position = np.zeros(3, np.float32)
    data, trajectory = np.zeros((2, 8), np.complex64), np.zeros((0, 0), np.float32)
    return mrd2_peer.stream([mrd.StreamItem.Acquisition(mrd.Acquisition(head=head, data=data, trajectory=trajectory))])


def test_raw_data_are_refused_and_the_next_connection_works(session: LiveSession) -> None:
    cine = synthetic_cine(20)
    with connect(session.port) as client:
        started(session, client, cine)
        client.sendall(CLOSE)
        assert session.read(1, 0.1) == []
        assert client.recv(10) == CLOSE
    with connect(session.port) as client:
        client.sendall(raw_data())
        assert "stream item is Acquisition; ImageUint16, ImageInt16" in session.notice()
        assert client.recv(10) == b""
    with connect(session.port) as client:
        client.sendall(whole(synthetic_cine(20) | {"t_s": 2 + cine["t_s"]}))
        assert len(session.read(5)) == 5


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda raw: raw.replace(b"yardl", b"yards", 1), "begins with b'yards'"),
        (lambda raw: raw.replace(struct.pack("<i", 1), struct.pack("<i", 2), 1), "yardl version is 2; 1 is read"),
        (lambda raw: raw[:9] + b"\xff\xff\xff\x7f" + raw[13:], "a value of the stream is 268435455 bytes"),
        (lambda raw: raw.replace(b'"protocol"', b'"protocal"', 1), "the schema of the stream is damaged: KeyError"),
        (lambda raw: raw.replace(b'"Mrd.ImageHeader"', b'"Mrd.ImageHaeder"'), "'Mrd.ImageHaeder' is not in the schema"),
        (lambda raw: raw.replace(b'"name":"StreamItem"', b'"name":"StreemItem"'), "'Mrd.StreamItem' is not in the"),
        (
            lambda raw: raw.replace(b'"name":"fieldOfView"', b'"name":"fieldOfVuew"'),
            "not as MRD describes it: KeyError",
        ),
    ],
    ids=["magic", "version", "huge schema", "no protocol", "unknown type", "no items", "no field of view"],
)
def test_a_damaged_stream_is_refused_with_a_sentence(damage, said: str) -> None:
    raw = whole(synthetic_cine(1)).replace(b'": ', b'":')
    assert damage(raw) != raw
    with pytest.raises(BadFrame) as refused:
        images_in(damage(raw))
    assert said in str(refused.value)


STAMP = b"\1\x80\xc8\xd0\x07"
"""Of the images of `mrd2_stream`; the number of the slice, which is none, stands before it."""


@pytest.mark.parametrize(
    ("types", "values", "said"),
    [
        (
            (b'"slice", "type": [null, "uint32"]', b'"slice", "type": "float64"'),
            (b"\0" + STAMP, struct.pack("<d", np.inf) + STAMP),
            "OverflowError: cannot convert float infinity to integer",
        ),
        (
            (b'["float32"]', b'["complexfloat32"]'),
            (PIXELS.astype("<f4").tobytes(), PIXELS.astype("<c8").tobytes()),
            "ValueError: its pixels are complex64",
        ),
    ],
    ids=["infinite slice", "complex pixels"],
)
def test_a_schema_whose_types_are_not_those_of_an_image_is_refused(types, values, said: str) -> None:
    raw = mrd2_peer.with_schema(mrd2_stream().replace(*values), lambda schema: schema.replace(*types))
    with pytest.raises(BadFrame) as refused:
        images_in(raw)
    assert said in str(refused.value)


def test_a_file_of_either_version_is_a_recording(tmp_path: Path) -> None:
    cine = synthetic_cine(5) | {"spacing": (2.0, 2.0)}
    from tests import mrd_client

    first = mrd_client.preamble() + b"".join(mrd_client.packed(mrd_client.image(cine, index)) for index in range(5))
    for name, data in (("first.mrd", first + mrd_client.CLOSE), ("second.mrd", whole(cine))):
        (tmp_path / name).write_bytes(data)
        recording = open_recording(tmp_path / name)
        np.testing.assert_array_equal([recording.frames[index] for index in range(5)], cine["frames"])
        np.testing.assert_allclose(recording.stamps_ns / 1e9, 36_000 + cine["t_s"], atol=TICK_NS / 2e9)
        assert recording.image_position_mm == pytest.approx(cine["position"], abs=1e-4)


def test_a_file_that_is_cut_is_read_up_to_there(tmp_path: Path) -> None:
    data = whole(synthetic_cine(5) | {"spacing": (2.0, 2.0)})
    (tmp_path / "a.mrd").write_bytes(data[:-1000])
    with pytest.warns(FramesDropped, match="ends within a message, after 4 images"):
        assert len(open_recording(tmp_path / "a.mrd")) == 4
    (tmp_path / "a.mrd").write_bytes(data[:9000])
    with pytest.raises(BadRecording, match="none of 0 images is present"):
        open_recording(tmp_path / "a.mrd")
