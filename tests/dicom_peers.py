"""A DICOM receiver, and peers that send it images."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from pynetdicom import AE

from drivers.sources.dicom import DicomSettings, DicomSource
from tests.patience import PATIENCE_S, wait_until


def new_receiver() -> DicomSource:
    """A receiver on a free port, to be opened by the first peer's frames."""
    return DicomSource(DicomSettings(port=0, frames_per_s=5.0, first_frame_timeout_s=60.0, idle_timeout_s=20.0))


def opened_by(source: DicomSource, send: Callable[[int], object]) -> Any:
    """Open a receiver while a peer sends, since the first frames define the stream."""

    def wait_and_send() -> None:
        if wait_until(lambda: source.port):
            send(source.port)

    peer = threading.Thread(target=wait_and_send, daemon=True)
    peer.start()
    info = source.open()
    peer.join(60)
    return info


def read(source: DicomSource, info: Any, count: int):
    """Stamps and pixels of up to `count` frames."""
    pixels, stamps, images = np.zeros(info.shape, info.dtype), [], []
    while len(stamps) < count and (stamp := source.read_into(pixels, round(PATIENCE_S * 1e3))) is not None:
        stamps.append(stamp)
        images.append(pixels.copy())
    return stamps, images


def store(port: int, *datasets: Any, title: str = "PEER") -> list[int]:
    """Send images over one association with pynetdicom; return the statuses."""
    entity = AE(ae_title=title)
    for dataset in datasets:
        if not any(context.abstract_syntax == dataset.SOPClassUID for context in entity.requested_contexts):
            entity.add_requested_context(dataset.SOPClassUID)
    association = entity.associate("127.0.0.1", port)
    assert association.is_established
    connection = association.dul.socket.socket
    try:
        statuses = [association.send_c_store(dataset).Status for dataset in datasets]
        association.release()
    finally:
        connection.close()
    return statuses
