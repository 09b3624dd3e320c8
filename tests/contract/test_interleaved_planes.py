"""Sagittal and coronal frames in turn: one stream through the source's process, a template per plane, a 3D position."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import zmq

pytest.importorskip("pynetdicom", reason="install cinegate[dicom]")

from pynetdicom import AE

from gating.clocks.clock import ManualClock
from gating.engine.engine import Engine
from gating.engine.peers import OfflinePeers
from gating.messages import CineFrame, ControlRequest, EngineState, GateState, StreamInfo, TargetEstimate
from gating.settings.config import Config
from gating.targets.image import TargetImage
from gating.targets.spec import TargetSpec
from gating.tracking.registry import make_tracker
from gating.wire.codec import decode
from gating.wire.sockets import receive, subscribe
from tests.dicom_files import image, time_of_day
from tests.interleaved import INTERVAL_S, PLANES, Patient
from tests.patience import reserved_ports, wait_until

pytestmark = pytest.mark.deadlines

ROOT = Path(__file__).parents[2]
FRAMES = 140


def dicom(patient: Patient, index: int) -> Any:
    """The frame as the scanner sends it: each plane is a series of its own."""
    plane = patient.plane(index)
    phantom = patient.phantoms[plane]
    return image(
        index,
        patient.pixels(index),
        AcquisitionTime=time_of_day(36_000 + index * INTERVAL_S),
        PixelSpacing=list(phantom.spacing_mm),
        ImageOrientationPatient=list(phantom.orientation),
        ImagePositionPatient=[round(float(value), 4) for value in patient.position_mm(plane)],
        SeriesInstanceUID=f"1.2.3.{PLANES.index(plane)}",
    )


@pytest.fixture(scope="module")
def patient() -> Patient:
    return Patient()


@pytest.fixture(scope="module")
def heard(patient: Patient, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What `cinegate source dicom -o plane=all` publishes of the frames that a peer stores in turn.

    By arrival time, because how certain a mapped stamp is depends on how busy the test machine is.
    """
    folder = tmp_path_factory.mktemp("interleaved")
    config = folder / "session.toml"
    config.write_text(f'[endpoints]\nframes = "ipc://{folder}/frames"\ngate = "ipc://{folder}/gate"\n')
    messages: list[Any] = []
    context: zmq.Context[Any] = zmq.Context()
    feed = subscribe(context, f"ipc://{folder}/frames")
    with reserved_ports() as (port,):
        command = [sys.executable, "-m", "cinegate", "source", "dicom", "-o", f"port={port}", "-o", "plane=all"]
        options = ["-o", f"frames_per_s={1 / INTERVAL_S:g}", "--arrival-time", "--config", str(config)]
        process = subprocess.Popen([*command, *options], cwd=ROOT)
        try:
            listening = psutil.Process(process.pid).net_connections
            assert wait_until(lambda: any(link.status == psutil.CONN_LISTEN for link in listening()), 60)
            store(port, [dicom(patient, index) for index in range(FRAMES)])

            def all_came() -> bool:
                while (parts := receive(feed)) is not None:
                    messages.append(decode(parts))
                sequences = [message.header.sequence for message in messages if isinstance(message, CineFrame)]
                return bool(sequences) and sequences[-1] == FRAMES - 1

            assert wait_until(all_came)
        finally:
            process.kill()
            process.wait()
            context.destroy(linger=0)
    return messages


def store(port: int, datasets: list[Any]) -> None:
    entity = AE(ae_title="PEER")
    entity.add_requested_context(datasets[0].SOPClassUID)
    association = entity.associate("127.0.0.1", port)
    connection = association.dul.socket.socket
    begin_s = time.monotonic()
    for index, dataset in enumerate(datasets):
        time.sleep(max(0.0, begin_s + index * INTERVAL_S - time.monotonic()))
        assert association.send_c_store(dataset).Status == 0
    association.release()
    connection.close()


def test_one_stream_declares_both_planes_and_every_frame_says_its_own(patient: Patient, heard: list[Any]) -> None:
    info = next(message for message in heard if isinstance(message, StreamInfo))
    assert (info.planes, info.nominal_interval_ns) == (PLANES, round(INTERVAL_S * 1e9))
    frames = [message for message in heard if isinstance(message, CineFrame)]
    assert len(frames) > FRAMES // 2
    for frame in frames:
        plane = patient.plane(frame.header.sequence)
        phantom = patient.phantoms[plane]
        assert frame.header.plane == plane
        assert frame.header.image_orientation == phantom.orientation
        np.testing.assert_allclose(frame.header.image_position_mm, patient.position_mm(plane), atol=1e-3)


def drawn(patient: Patient, frames: dict[str, CineFrame]) -> list[TargetSpec]:
    """Views of one target, each drawn on a frame of its plane."""
    targets = []
    for plane in PLANES:
        header, pixels = frames[plane].header, frames[plane].pixels
        outline = patient.phantoms[plane].truth(header.sequence).contour_px.astype(np.float32)
        image = TargetImage.of(header, pixels, header.content_hash)
        targets.append(TargetSpec(f"GTV {plane}", outline, plane, "GTV", image))
    return targets


def test_the_engine_tracks_a_target_in_both_planes_and_in_3d(patient: Patient, heard: list[Any]) -> None:
    info = next(message for message in heard if isinstance(message, StreamInfo))
    frames = [message for message in heard if isinstance(message, CineFrame)]
    targets = drawn(patient, {frame.header.plane: frame for frame in reversed(frames)})
    clock = ManualClock(0, frames[0].header.publish_clock)
    engine = Engine(Config(), targets, lambda: make_tracker(Config().tracker, Config().tracking), clock,
                    info.session_id, "e1", peers=OfflinePeers())  # fmt: skip
    engine.warm_up()
    engine.open_stream(info)
    off_mm, permitted, reasons = [], 0, Counter[str]()
    for frame in frames:
        clock.advance_to(frame.header.published_ns)
        outcome = engine.step(frame, frame.header.published_ns)
        reasons[outcome.command.reason] += 1
        if outcome.command.engine_state is EngineState.READY:
            for action in ("confirm", "arm"):
                engine.control(ControlRequest(session_id=info.session_id, action=action, operator="dr_who"))
        (estimate,) = [message for message in engine.finish_frame() if isinstance(message, TargetEstimate)]
        assert estimate.target == f"GTV {frame.header.plane}"
        if outcome.command.state is GateState.ON:
            permitted += 1
            assert estimate.target_out_fraction < Config().gating.max_out_fraction
        if estimate.ages_ms is not None and estimate.status == "tracked":
            now, before = (patient.target_mm(frame.header.sequence - back) for back in (0, 1))
            seen = np.array([False, True, True] if frame.header.plane == "sagittal" else [True, False, True])
            np.testing.assert_array_equal(np.array(estimate.ages_ms) == 0, seen)
            assert max(estimate.ages_ms) > 0
            off_mm.append(np.abs(np.where(seen, now, before) - estimate.position_mm).max())
    assert len(off_mm) > len(frames) // 2
    assert np.percentile(off_mm, 90) < 2.4
    assert permitted > 0, reasons
