"""MRD streaming, with a client built on the `ismrmrd` package as the peer."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cinegate.replays import replay_arguments
from cinegate.verbs import register_verbs
from cinegate.verbs.app import app
from drivers.errors import BadFrame, BadRecording, NotSquare
from drivers.formats.mrd import FrameMaker, image_header, image_message
from drivers.formats.mrd_image import MrdImage
from drivers.recordings import open_recording
from gating.clocks.counter import DAY_NS
from gating.messages import StampMeaning

pytest.importorskip("ismrmrd", reason="the ismrmrd package is not installed")

import ismrmrd
from ismrmrd.serialization import ProtocolDeserializer

from tests.live_session import LiveSession
from tests.mrd_client import (
    CLOSE,
    TICK_NS,
    connect,
    image,
    liver_cine,
    packed,
    preamble,
    synthetic_cine,
    waveform,
)
from tests.mrd_peer import BAD, opening, started
from tests.patience import wait_until

register_verbs()


@pytest.fixture
def session() -> Iterator[LiveSession]:
    made = opening()
    yield made
    made.source.close()


def test_a_real_cine_sent_by_the_ismrmrd_package_arrives_pixel_for_pixel(
    session: LiveSession, shared_data: Path
) -> None:
    cine = liver_cine(shared_data)
    with connect(session.port) as client:
        client.sendall(preamble())
        for index in range(len(cine["frames"])):
            client.sendall(packed(image(cine, index)) + waveform())
        frames = session.read(len(cine["frames"]))
        client.sendall(CLOSE)
        assert wait_until(lambda: session.read(1, 0.02) == [] and not session.source.arrivals.peer.connected)
        assert client.recv(2) == CLOSE
    np.testing.assert_array_equal([pixels for _, pixels in frames], cine["frames"])
    info = session.opened()
    assert info.planes == ("sagittal",)
    assert info.pixel_spacing_mm == pytest.approx(tuple(cine["spacing"]), rel=1e-5)
    assert info.image_position_mm == pytest.approx(tuple(cine["position"]), abs=0.01)
    assert info.image_orientation == pytest.approx(tuple(cine["orientation"]))
    stamps_s = np.array([stamp.acquired_ns for stamp, _ in frames]) / 1e9
    np.testing.assert_allclose(stamps_s, 36_000 + cine["t_s"], atol=TICK_NS / 2e9)
    assert {stamp.resolution_ns for stamp, _ in frames} == {TICK_NS}
    assert info.nominal_interval_ns == pytest.approx(np.median(np.diff(cine["t_s"][:4])) * 1e9, abs=2 * TICK_NS)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "uint32", "float32", "float64"])
def test_every_real_pixel_type_keeps_its_values(session: LiveSession, dtype: str) -> None:
    cine = synthetic_cine(6, dtype=dtype)
    with connect(session.port) as client:
        client.sendall(preamble() + b"".join(packed(image(cine, index)) for index in range(6)))
        frames = session.read(6)
    np.testing.assert_array_equal([pixels for _, pixels in frames], cine["frames"])


def test_our_own_image_message_reads_as_that_of_the_ismrmrd_package() -> None:
    cine, head = synthetic_cine(1), slice(2, 200)
    ticks = round((36_000 + cine["t_s"][0]) * 1e9 / TICK_NS)
    ours = image_message(cine["frames"][0], cine["spacing"], cine["orientation"], cine["position"], ticks)
    assert image_header(ours[head]) == image_header(packed(image(cine, 0))[head])
    assert ours[208:] == cine["frames"][0].tobytes()


@pytest.mark.parametrize(("spacing", "warned"), [((2.0, 1.5), 1), ((1.5, 1.5), 0)], ids=["oblong", "square"])
def test_pixels_that_are_not_square_are_warned_of_once(
    session: LiveSession, spacing: tuple[float, float], warned: int
) -> None:
    with connect(session.port) as client:
        started(session, client, synthetic_cine() | {"spacing": spacing})
    said = "field_of_view is 48 x 80 mm for matrix_size 32 x 40: pixels of 1.5 x 2 mm are not square; "
    assert session.source.warnings == (said + "columns and rows may have changed places",) * warned


def test_a_given_spacing_replaces_that_of_a_field_of_view_not_square() -> None:
    session = opening(pixel_spacing_mm=1.8)
    with connect(session.port) as client:
        started(session, client, synthetic_cine())
    session.source.close()
    assert session.opened().pixel_spacing_mm == (1.8, 1.8)
    assert "1.8 x 1.8 mm is taken, as it was given" in session.source.warnings[0]


def test_bytes_may_arrive_a_few_at_a_time(session: LiveSession) -> None:
    cine = synthetic_cine(4)
    stream = preamble() + b"".join(packed(image(cine, index)) for index in range(4))
    with connect(session.port) as client:
        for begin in range(0, len(stream), 997):
            client.sendall(stream[begin : begin + 997])
        assert len(session.read(4)) == 4


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_reported_and_the_next_connection_works(session: LiveSession, name: str) -> None:
    make, said = BAD[name]
    cine = synthetic_cine(20)
    with connect(session.port) as client:
        started(session, client, cine)
        client.sendall(make(cine))
        assert said in session.notice()
    with connect(session.port) as client:
        client.sendall(preamble() + b"".join(packed(image(cine, index)) for index in range(10, 15)))
        assert len(session.read(5)) == 5


def answers(client: socket.socket) -> list[Any]:
    """What the `ismrmrd` package reads of the answer, up to the close."""
    return list(ProtocolDeserializer(client.makefile("rb")).deserialize())


def raw_acquisition() -> bytes:
    return packed(ismrmrd.Acquisition.from_array(np.ones((4, 5000), np.complex64)))


def test_a_client_of_raw_data_is_told_why_it_is_cut_off(session: LiveSession, caplog: pytest.LogCaptureFixture) -> None:
    """Also while more of its data are unread, and before the stream has begun."""
    with caplog.at_level("WARNING", "cinegate.source"), connect(session.port) as client:
        client.sendall(preamble() + raw_acquisition() * 20)
        (said,) = answers(client)
        assert "was cut off: message id is 1008, a raw acquisition; images (1022)" in said
        assert wait_until(lambda: said in caplog.text)
    with connect(session.port) as client:
        started(session, client, synthetic_cine())


def test_a_second_client_is_told_that_another_one_is_connected(session: LiveSession) -> None:
    with connect(session.port) as first:
        started(session, first, synthetic_cine())
        with connect(session.port) as second:
            assert "a second peer" in session.notice()
            (said,) = answers(second)
    assert "is connected, and 1 is the limit" in said


@pytest.mark.parametrize("cut", [1, 100, 250, 1500])
def test_a_client_lost_mid_message_is_reported_and_the_next_served(session: LiveSession, cut: int) -> None:
    cine = synthetic_cine(20)
    with connect(session.port) as client:
        started(session, client, cine)
        client.sendall(packed(image(cine, 5))[:cut])
    assert "vanished in mid-message" in session.notice()
    with connect(session.port) as client:
        client.sendall(packed(image(cine, 6)))
        assert len(session.read(1)) == 1


def test_a_client_that_stalls_mid_message_is_cut_off(session: LiveSession) -> None:
    cine = synthetic_cine(20)
    with connect(session.port) as client:
        started(session, client, cine)
        client.sendall(packed(image(cine, 5))[:300])
        assert "stopped in mid-message for 2 s" in session.notice()


def test_a_second_client_is_refused_and_the_first_goes_on(session: LiveSession) -> None:
    cine = synthetic_cine(20)
    with connect(session.port) as first:
        started(session, first, cine)
        with connect(session.port):
            assert "a second peer" in session.notice()
        first.sendall(packed(image(cine, 5)))
        assert len(session.read(1)) == 1


def test_slices_of_one_orientation_are_told_apart_by_position(session: LiveSession) -> None:
    cine = synthetic_cine(20)
    other = cine | {"position": (40.0, -24.0, 40.0)}
    with connect(session.port) as client:
        started(session, client, cine)
        client.sendall(packed(image(other, 5, slice=1), image(cine, 6)))
        frames = session.read(1)
    np.testing.assert_array_equal(frames[0][1], cine["frames"][6])
    assert session.source.counters["differing"] == 1


def test_images_of_another_orientation_are_skipped_as_another_plane() -> None:
    session = opening(plane="coronal")
    sagittal = synthetic_cine(20)
    coronal = sagittal | {"orientation": (1.0, 0, 0, 0, 0, -1.0)}
    with connect(session.port) as client:
        both = [packed(image(coronal if index % 2 else sagittal, index)) for index in range(20)]
        client.sendall(preamble() + b"".join(both))
        frames = session.read(10)
    session.source.close()
    np.testing.assert_array_equal([pixels for _, pixels in frames], sagittal["frames"][1::2])
    assert session.opened().planes == ("coronal",)


def test_arrival_times_stand_in_for_stamps_only_on_request() -> None:
    session = opening(arrival_time=True)
    cine = synthetic_cine(6)
    with connect(session.port) as client:
        for index in range(6):
            client.sendall(packed(image(cine, index, acquisition_time_stamp=0)))
            time.sleep(0.01)
        frames = session.read(6)
    session.source.close()
    assert session.opened().acquired_meaning is StampMeaning.ARRIVAL
    assert all(stamp.acquired_on_host_ns == stamp.arrived_ns == stamp.acquired_ns for stamp, _ in frames)


def test_the_source_listens_only_on_loopback(session: LiveSession) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", session.port), timeout=1)
    with connect(session.port) as client:
        started(session, client, synthetic_cine(6))


def made_image(cine: dict[str, Any], index: int, **overrides: Any) -> MrdImage:
    raw = image(cine, index, **overrides)
    return MrdImage(image_header(bytes(raw.getHead())), raw.data.tobytes())


def test_stamps_pass_midnight_and_the_image_index_wraps() -> None:
    cine, maker = synthetic_cine(4), FrameMaker(StampMeaning.START, "centre")
    before = DAY_NS // TICK_NS - 2
    ticks = [before, before + 1, 0, 1]
    frames = [
        maker.frame(
            made_image(cine, i, acquisition_time_stamp=t, image_index=(65534 + i) % 65536), 10**15 + i * TICK_NS
        )
        for i, t in enumerate(ticks)
    ]
    assert set(np.diff([frame.acquired_ns for frame in frames])) == {TICK_NS}


def test_a_position_that_marks_the_first_pixel_is_taken_as_it_is() -> None:
    cine = synthetic_cine(1)
    centre = FrameMaker(StampMeaning.START, "centre").frame(made_image(cine, 0), 0)
    corner = FrameMaker(StampMeaning.START, "corner").frame(made_image(cine, 0, position=cine["position"]), 0)
    assert corner.geometry.difference(centre.geometry) == ""
    assert centre.geometry.image_position_mm == pytest.approx(cine["position"], abs=1e-4)


def test_a_negative_pixel_is_refused() -> None:
    cine = synthetic_cine(1, dtype="int16")
    cine["frames"][0, 3, 3] = -5
    with pytest.raises(BadFrame, match="a pixel is -5; 0 to 32767"):
        FrameMaker(StampMeaning.START, "centre").frame(made_image(cine, 0), 0)


class TestRecording:
    def written(self, path: Path, cine: dict[str, Any], *changed: tuple[int, dict[str, Any]]) -> Path:
        """A file as the `ismrmrd` package writes it."""
        dataset, overrides = ismrmrd.Dataset(str(path), "dataset", True), dict(changed)
        for index in range(len(cine["frames"])):
            dataset.append_image("image_0", image(cine, index, **overrides.get(index, {})))
        dataset.close()
        return path

    def test_an_hdf5_file_written_by_the_package_is_a_recording(self, shared_data: Path, tmp_path: Path) -> None:
        cine = liver_cine(shared_data)
        recording = open_recording(self.written(tmp_path / "cine.h5", cine))
        np.testing.assert_array_equal([recording.frames[index] for index in range(len(recording))], cine["frames"])
        np.testing.assert_allclose(recording.stamps_ns / 1e9, 36_000 + cine["t_s"], atol=TICK_NS / 2e9)
        assert recording.pixel_spacing_mm == pytest.approx(tuple(cine["spacing"]), rel=1e-5)
        assert recording.plane == "sagittal"

    def test_a_plane_is_picked_by_name(self, tmp_path: Path) -> None:
        turned = {index: {"read_dir": (1.0, 0, 0), "phase_dir": (0, 0, -1.0)} for index in range(1, 20, 2)}
        path = self.written(tmp_path / "cine.h5", synthetic_cine(20) | {"spacing": (2.0, 2.0)}, *turned.items())
        assert len(open_recording(path, plane="coronal")) == 10

    def test_positions_that_mark_the_corner_are_read_on_request(self, tmp_path: Path) -> None:
        """As `dicom2mrd` writes them: ImagePositionPatient as it is."""
        cine = synthetic_cine(4) | {"spacing": (2.0, 2.0)}
        corner = {index: {"position": cine["position"]} for index in range(4)}
        path = self.written(tmp_path / "cine.h5", cine, *corner.items())
        assert open_recording(path, position_is="corner").image_position_mm == pytest.approx(cine["position"])
        assert open_recording(path).image_position_mm == pytest.approx((10.0, -24.0 - 31, 40.0 + 39))
        words = ["convert", str(path), str(tmp_path / "a.npz"), "--position-is", "corner"]
        assert CliRunner().invoke(app, words).exit_code == 0
        assert open_recording(tmp_path / "a.npz").image_position_mm == pytest.approx(cine["position"])

    def test_a_source_process_is_told_what_the_positions_mark(self) -> None:
        assert replay_arguments("a.h5", position_is="corner")[-2:] == ["--position-is", "corner"]

    @pytest.mark.parametrize(
        ("name", "point", "said"),
        [
            ("a.h5", "middle", "position_is is 'middle'; centre or corner is known"),
            ("a.npz", "corner", "position_is was given as corner; it is for MRD files"),
        ],
    )
    def test_a_point_that_no_position_marks_is_refused(self, tmp_path: Path, name: str, point: str, said: str) -> None:
        (tmp_path / name).touch()
        with pytest.raises(BadRecording, match=said):
            open_recording(tmp_path / name, position_is=point)

    def test_a_given_spacing_replaces_only_pixels_that_are_not_square(self, tmp_path: Path) -> None:
        path = self.written(tmp_path / "cine.h5", synthetic_cine(4))
        with pytest.warns(NotSquare, match=r"1.5 x 2 mm are not square; columns and rows may have changed places"):
            assert open_recording(path).pixel_spacing_mm == (2.0, 1.5)
        with pytest.warns(NotSquare, match=r"1.5 x 2 mm are not square; 1.8 x 1.8 mm is taken, as it was given"):
            recording = open_recording(path, 1.8)
        assert recording.pixel_spacing_mm == (1.8, 1.8)
        assert "1.8 x 1.8 mm is taken" in recording.description
        square = self.written(tmp_path / "square.h5", synthetic_cine(4) | {"spacing": (2.0, 2.0)})
        with pytest.raises(BadRecording, match=r"was given as 1\.8, 1\.8; the recording has 2, 2"):
            open_recording(square, 1.8)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"acquisition_time_stamp": 0}, "image 3: acquisition_time_stamp is 0"),
            ({"position": (0.0, 0.0, 500.0)}, "image 3: image_position_mm"),
            ({"image_type": 5}, "image 3: image_type is 5"),
        ],
    )
    def test_a_bad_image_is_refused(self, tmp_path: Path, change: dict[str, Any], said: str) -> None:
        with pytest.raises(BadRecording, match=said):
            open_recording(self.written(tmp_path / "cine.h5", synthetic_cine(6), (3, change)))

    def test_a_file_half_written_is_refused(self, tmp_path: Path) -> None:
        path = self.written(tmp_path / "cine.h5", synthetic_cine(6))
        path.write_bytes(path.read_bytes()[:3000])
        with pytest.raises(BadRecording, match="not a readable HDF5 file"):
            open_recording(path)
