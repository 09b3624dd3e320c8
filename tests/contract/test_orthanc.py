"""A whole series that a real DICOM server sends."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pynetdicom", reason="install cinegate[dicom]")

from drivers.sources.dicom import DicomSettings, DicomSource
from tests.dicom_files import encoded, image, picture
from tests.orthanc import Orthanc, orthanc
from tests.patience import reserved_ports, wait_until

pytestmark = pytest.mark.deadlines
ORDER = (5, 2, 7, 0, 3, 6, 1, 4)


def send_series(server: Orthanc, source: DicomSource) -> None:
    """Give the server a series, and have it sent as a whole."""
    for index in ORDER:
        server.answer("/instances", encoded(image(index, SOPInstanceUID=f"1.2.{9 - index}", InstanceNumber=9 - index)))
    if wait_until(lambda: source.port):
        server.answer("/modalities/cinegate/store", "\n".join(server.answer("/series")).encode())


def test_a_series_that_orthanc_stores_in_any_order_arrives_whole(tmp_path: Path) -> None:
    """The server sends by instance number, which here runs against the acquisitions."""
    with reserved_ports() as (port,):
        settings = DicomSettings(port=port, order_within_ms=600.0, first_frame_timeout_s=30.0)
        peer = {"cinegate": ["CINEGATE", "127.0.0.1", port]}
        with orthanc(tmp_path, DicomModalities=peer) as server, closing(DicomSource(settings)) as source:
            sender = threading.Thread(target=send_series, args=(server, source), daemon=True)
            sender.start()
            info = source.open()
            pixels, stamps_ns, images = np.zeros(info.shape, info.dtype), [], []
            while len(images) < len(ORDER) and (stamp := source.read_into(pixels, 5000)) is not None:
                stamps_ns.append(stamp.acquired_ns)
                images.append(pixels.copy())
            sender.join()
            assert source.counters == {}
    np.testing.assert_array_equal(images, [picture(index) for index in range(len(ORDER))])
    assert len(set(np.diff(stamps_ns))) == 1
