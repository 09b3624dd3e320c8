"""OpenIGTLink in and out, with pyigtl and Debian's libopenigtlink example programs as the peers."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq

from drivers.errors import Unavailable
from drivers.formats.crc64 import crc64
from drivers.formats.openigtlink import polydata_message
from drivers.outlets.openigtlink import Outlet
from drivers.sources.openigtlink import OpenigtlinkSettings, OpenigtlinkSource
from gating.messages import GateState, StampMeaning, TargetEstimate
from gating.settings.config import EndpointSettings
from gating.wire.codec import encode, encode_frame
from gating.wire.sockets import bind
from tests.contract.openigtlink_peer import BAD, opening, raw_image, started
from tests.factories import frame
from tests.faults.beam_bench import gate_command
from tests.live_session import LiveSession
from tests.mrd_client import connect
from tests.patience import PATIENCE_S, reserved_ports, wait_until

pyigtl = pytest.importorskip("pyigtl", reason="the pyigtl package is not installed")
EXAMPLES = Path("/usr/share/doc/openigtlink-examples/examples")

SEND = """
import sys, time
import numpy as np, pyigtl
role, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
frames = np.random.default_rng(5).integers(0, 200, (count, 40, 32)).astype(sys.argv[4])
matrix = np.array([[0, 0, -1, 10.0], [1.5, 0, 0, -24.0], [0, -2.0, 0, 40.0], [0, 0, 0, 1]])
if role == "server":
    peer = pyigtl.OpenIGTLinkServer(port=port, local_server=True)
else:
    peer = pyigtl.OpenIGTLinkClient("127.0.0.1", port)
while not peer.is_connected():
    time.sleep(0.01)
for index, pixels in enumerate(frames):
    pose = np.eye(4)
    pose[:3, 3] = (1, 2, 3)
    peer.send_message(pyigtl.TransformMessage(pose, device_name="Pose"))
    image = pyigtl.ImageMessage(pixels[None], matrix, timestamp=1.7e9 + index * 0.125, device_name="Cine")
    peer.send_message(image, wait=True)
    time.sleep(0.01)
time.sleep(60)
"""


@pytest.fixture
def session(request: pytest.FixtureRequest) -> Iterator[LiveSession]:
    made = opening(**getattr(request, "param", {}))
    yield made
    made.source.close()


def sender(role: str, port: int, count: int = 12, dtype: str = "uint16") -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SEND, role, str(port), str(count), dtype], stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("role", ["server", "client"])
@pytest.mark.parametrize("dtype", ["uint16", "float64"])
def test_images_of_pyigtl_arrive_pixel_for_pixel_in_either_role(role: str, dtype: str) -> None:
    with reserved_ports() as (port,):
        session = opening(role=role, port=port)
        process = sender("client" if role == "server" else "server", port, dtype=dtype)
        try:
            frames = session.read(10)
        finally:
            process.kill()
            process.wait()
            session.source.close()
    sent = np.random.default_rng(5).integers(0, 200, (12, 40, 32))
    np.testing.assert_array_equal([pixels for _, pixels in frames], sent[:10])
    info = session.opened()
    assert info.planes == ("sagittal",)
    assert info.pixel_spacing_mm == pytest.approx((2.0, 1.5))
    assert info.image_position_mm == pytest.approx((10.0, -24.0, 40.0), abs=1e-4)
    assert info.image_orientation == pytest.approx((0, 1, 0, 0, 0, -1), abs=1e-6)
    stamps_ns = np.array([stamp.acquired_ns for stamp, _ in frames])
    np.testing.assert_allclose(stamps_ns - 1_700_000_000_000_000_000, np.arange(10) * 125_000_000, atol=500)


@pytest.mark.parametrize("session", [{"pose_from": "Pose"}], indirect=True)
def test_a_transform_places_the_images_in_the_patient(session: LiveSession) -> None:
    process = sender("client", session.port)
    try:
        info = session.opened()
    finally:
        process.kill()
        process.wait()
    assert info.image_position_mm == pytest.approx((10.0 - 1, -24.0 - 2, 40.0 + 3), abs=1e-4)


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Compile an example program of Debian's openigtlink-examples."""
    headers = Path("/usr/include/openigtlink")
    if shutil.which("g++") is None or not EXAMPLES.exists() or not headers.exists():
        pytest.skip("g++ and Debian's libopenigtlink-dev and openigtlink-examples are not installed")
    folder = tmp_path_factory.mktemp("openigtlink")

    def build(name: str) -> Path:
        program = folder / Path(name).name
        source = EXAMPLES / f"{name}.cxx"
        subprocess.run(["g++", f"-I{headers}", source, "-o", program, "-lOpenIGTLink", "-lpthread"], check=True)
        return program

    return build


@pytest.mark.parametrize("session", [{"arrival_time": True, "frames_per_s": 20}], indirect=True)
def test_images_of_debians_example_client_arrive(session: LiveSession, debian: Callable[[str], Path]) -> None:
    """It sets no time stamp, so arrival times must stand in."""
    images = EXAMPLES / "Imager" / "img"
    command = [debian("Imager/ImagerClient"), "127.0.0.1", str(session.port), "20", images]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        frames = session.read(8)
        process.kill()
    for index, (stamp, pixels) in enumerate(frames):
        assert pixels.tobytes() == (images / f"igtlTestImage{index % 5 + 1}.raw").read_bytes()
        assert stamp.meaning is StampMeaning.ARRIVAL
    assert len(frames) == 8


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_reported_and_the_next_connection_works(session: LiveSession, name: str) -> None:
    make, said = BAD[name]
    with connect(session.port) as client:
        started(session, client)
        client.sendall(make())
        assert said in session.notice()
    with connect(session.port) as client:
        for index in range(10, 15):
            client.sendall(raw_image(index))
        assert len(session.read(5)) == 5


@pytest.mark.parametrize("cut", [1, 58, 100, 1500])
def test_a_peer_lost_mid_message_is_reported_and_the_next_served(session: LiveSession, cut: int) -> None:
    with connect(session.port) as client:
        started(session, client)
        client.sendall(raw_image(5)[:cut])
    assert "vanished in mid-message" in session.notice()
    with connect(session.port) as client:
        client.sendall(raw_image(6))
        assert len(session.read(1)) == 1


def test_a_second_connection_is_another_peer_of_the_same_series(session: LiveSession) -> None:
    with connect(session.port) as client:
        started(session, client)
    assert "hung up" in session.notice()
    with connect(session.port) as client:
        client.sendall(raw_image(6))
        ((stamp, _),) = session.read(1)
    assert "(connection 1)" in session.opened().peer
    assert "(connection 2)" in str(stamp.peer)
    assert stamp.series == session.opened().series


def test_the_checksum_is_that_of_the_protocol() -> None:
    crcmod = pytest.importorskip("crcmod", reason="the crcmod package is not installed")
    peer = crcmod.mkCrcFun(0x142F0E1EBA9EA3693, rev=False, initCrc=0, xorOut=0)
    rng = np.random.default_rng(0)
    for size in (0, 1, 255, 256, 257, 70_001):
        data = rng.bytes(size)
        assert crc64(data) == peer(data)


HEAR = """
import sys, time
import numpy as np, pyigtl
client = pyigtl.OpenIGTLinkClient("127.0.0.1", int(sys.argv[1]))
heard, until = {}, time.time() + 60
while time.time() < until and not {"IMAGE", "TRANSFORM", "POINT", "STRING"} <= set(heard):
    for message in client.get_latest_messages():
        if message.message_type != "STRING" or message.device_name == "GateText":
            heard[message.message_type] = message
    time.sleep(0.01)
image = heard["IMAGE"]
print(repr({
    "image": (image.device_name, image.image.shape, int(image.image.sum())),
    "matrix": image.ijk_to_world_matrix.round(3).tolist(),
    "transform": (heard["TRANSFORM"].device_name, heard["TRANSFORM"].matrix[:3, 3].round(3).tolist()),
    "point": (heard["POINT"].names, np.round(heard["POINT"].positions, 3).tolist()),
    "string": heard["STRING"].string,
    "apart_s": heard["TRANSFORM"].timestamp - image.timestamp,
}), flush=True)
"""


@pytest.fixture
def outlet(tmp_path: Path) -> Iterator[Outlet]:
    """An outlet, and an engine that sends the same frame, estimate and command again and again."""
    endpoints = EndpointSettings(**{name: f"ipc://{tmp_path}/{name}" for name in ("frames", "gate", "telemetry")})
    made, stop = Outlet(endpoints, port=0), threading.Event()
    threads = [
        threading.Thread(target=made.run, args=(stop.is_set,)),
        threading.Thread(target=engine, args=(endpoints, stop)),
    ]
    for thread in threads:
        thread.start()
    assert wait_until(lambda: made.port)
    yield made
    stop.set()
    for thread in threads:
        thread.join(PATIENCE_S)


def engine(endpoints: EndpointSettings, stop: threading.Event) -> None:
    context: zmq.Context[Any] = zmq.Context()
    frames, gate, telemetry = (
        bind(context, zmq.PUB, endpoint) for endpoint in (endpoints.frames, endpoints.gate, endpoints.telemetry)
    )
    estimate = TargetEstimate(
        session_id="s1", frame_sequence=0, plane="sagittal", target="GTV", x_px=1, y_px=2, position_mm=(5.0, -6.0, 7.0),
        confidence=0.9, score=0.9, status="tracked", target_out_fraction=0, acquired_ns=0, gate=GateState.ON,
        reason="in_window", contour_px=[(10.0, 20.0), (30.0, 20.0), (20.0, 40.0)],
    )  # fmt: skip
    lost = msgspec.structs.replace(estimate, target="OAR", status="lost", position_mm=(float("nan"),) * 3)
    sequence = 0
    while not stop.wait(0.05):
        frames.send_multipart(encode_frame(frame(0)))
        telemetry.send_multipart(encode(estimate))
        telemetry.send_multipart(encode(lost))
        gate.send_multipart(encode(gate_command(sequence, GateState.ON)))
        sequence += 1
    context.destroy(linger=0)


def test_pyigtl_hears_cine_target_and_gate_from_the_outlet(outlet: Outlet) -> None:
    command = [sys.executable, "-c", HEAR, str(outlet.port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    heard: dict[str, Any] = eval(done.stdout.strip().splitlines()[-1])
    name, shape, total = heard["image"]
    sent = frame(0)
    assert (name, tuple(shape), total) == ("Cine sagittal", (1, 96, 96), int(sent.pixels.sum()))
    x, y, z = sent.header.image_position_mm
    np.testing.assert_allclose(np.array(heard["matrix"])[:3, 3], (-x, -y, z), atol=1e-3)
    assert heard["transform"] == ("GTV", [-5.0, 6.0, 7.0])
    assert heard["point"] == (["GTV"], [[-5.0, 6.0, 7.0]])
    assert heard["string"] == "beam on: in_window"
    assert heard["apart_s"] == 0


def test_debians_example_client_accepts_every_kind_of_message(
    outlet: Outlet, debian: Callable[[str], Path], tmp_path: Path
) -> None:
    """The C++ library checks each message's checksum before it prints the content."""
    program = debian("Receiver/ReceiveClient")
    log = tmp_path / "heard.txt"
    wanted = ("Dimensions            : (96, 96, 1)", "Error Name: on", "Status    : in_window", "Name      : GTV",
              "Error Name: lost", "GTV tracked, confidence 0.90", "Receiving : POLYDATA")  # fmt: skip
    with log.open("w") as heard, subprocess.Popen(
        [program, "127.0.0.1", str(outlet.port)], stdout=subprocess.DEVNULL, stderr=heard
    ) as process:  # fmt: skip
        came = wait_until(lambda: all(one in log.read_text() for one in (*wanted, "( -5.000000, 6.000000, 7.000000 )")))
        process.kill()
    text = log.read_text()
    assert came, text[-2000:]
    assert len(set(re.findall(r"Time stamp: (\S+)\nReceiving (?:IMAGE|TRANSFORM|POINT) ", text))) == 1
    assert "nan" not in text
    assert "Name      : OAR" not in text


def test_debians_example_client_draws_the_contour(debian: Callable[[str], Path]) -> None:
    contour = polydata_message("GTV contour", 10**18, [(1.0, 2.0, 3.0), (4.0, 5.0, 6.0), (7.0, 8.0, 9.0)])
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = [debian("PolyData/PolyDataClient"), "127.0.0.1", str(server.getsockname()[1])]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            connection, _ = server.accept()
            with connection:
                connection.sendall(contour)
                connection.shutdown(socket.SHUT_WR)
                _, said = process.communicate(timeout=PATIENCE_S)
    assert "point[1] = (-4, -5, 6)" in said
    assert "cell[0] = (0, 0, 1, 2, 0)" in said  # the program prints the first index twice


def test_what_a_peer_without_a_cine_sends_is_named() -> None:
    source = OpenigtlinkSource(OpenigtlinkSettings(port=0, device="Cine", first_frame_timeout_s=0.3))
    source.arrivals.peer.open()
    messages = [
        pyigtl.TransformMessage(np.eye(4), device_name="Needle"),
        pyigtl.StringMessage("ready", device_name="Note"),
        pyigtl.ImageMessage(np.zeros((1, 40, 32), np.uint16), device_name="Ultrasound"),
    ]
    with connect(source.arrivals.peer.port) as client:
        client.sendall(b"".join(message.pack() for message in messages) * 2)
        with pytest.raises(
            Unavailable, match="TRANSFORM Needle, STRING Note, IMAGE Ultrasound; IMAGE Cine is the cine"
        ):
            source.open()
    assert source.counters == {}


def test_a_client_that_does_not_read_delays_nobody(outlet: Outlet) -> None:
    with connect(outlet.port), connect(outlet.port) as reader:
        reader.settimeout(PATIENCE_S)
        heard = 0
        while heard < 200_000:
            heard += len(reader.recv(65536))
    assert heard >= 200_000
