"""Live sources for the contract suite, each fed by a peer in another thread for as long as it exists."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.ports import CineSource
from drivers.sources.mridian import MridianSettings, MridianSource
from drivers.sources.unity import UnitySettings, UnitySource
from tests.mridian_files import cine, dat_frame
from tests.unity_files import later, put, real_files, small

FRAMES = 6000
INTERVAL_S = 0.01


def unity(folder: Path) -> CineSource:
    """`.bin` files appear in a folder, one every 10 ms."""
    default = Path(__file__).parents[2] / ".." / "shared" / "data"
    files = real_files(Path(os.environ.get("CINEGATE_DATA", default)).resolve())
    if not files:
        pytest.skip("the development recordings are missing (set CINEGATE_DATA)")
    whole = small(files[0].read_bytes())
    source = UnitySource(UnitySettings(folder=str(folder)))
    feed(source, lambda _, index: put(folder / f"{index}.bin", later(whole, index * 10_000_000, index)))
    return source


def mridian(folder: Path) -> CineSource:
    """A `.dat` file grows by a frame every 10 ms."""
    frames = cine(50, 16, 16)
    source = MridianSource(MridianSettings(folder=str(folder), arrival_time=True))

    def append(_: object, index: int) -> None:
        with (folder / "a_sag.dat").open("ab") as file:
            file.write(dat_frame(frames[index % len(frames)]))

    feed(source, append)
    return source


def dicom_folder(folder: Path) -> CineSource:
    """DICOM files appear in a folder, one every 10 ms."""
    from drivers.sources.dicom import DicomSettings, DicomSource
    from tests.dicom_files import image
    from tests.dicom_files import put as put_image

    source = DicomSource(DicomSettings(folder=str(folder)))
    feed(source, lambda _, index: put_image(folder / f"{index}.dcm", image(index)))
    return source


def dicom(_: Path) -> CineSource:
    """A pynetdicom peer sends an image every 10 ms, and reconnects whenever it is disconnected."""
    pynetdicom = pytest.importorskip("pynetdicom", reason="install cinegate[dicom]")
    from drivers.sources.dicom import DicomSettings, DicomSource
    from tests.dicom_files import image

    entity = pynetdicom.AE(ae_title="PEER")
    entity.add_requested_context("1.2.840.10008.5.1.4.1.1.4")
    links: list[Any] = []

    def send(source: DicomSource, index: int) -> None:
        if source.port and not (links and links[-1].is_established):
            links.append(entity.associate("127.0.0.1", source.port))
        if links and links[-1].is_established:
            links[-1].send_c_store(image(index))

    source = DicomSource(DicomSettings(port=0))
    feed(source, send)
    return source


def feed(source: Any, send: Callable[[Any, int], object]) -> None:
    """Send frame after frame for as long as the source exists, for at most a minute."""
    there = weakref.ref(source)

    def run() -> None:
        for index in range(FRAMES):
            fed = there()
            if fed is None:
                break
            with contextlib.suppress(OSError, RuntimeError, ValueError):
                send(fed, index)
            del fed
            time.sleep(INTERVAL_S)

    threading.Thread(target=run, daemon=True).start()
