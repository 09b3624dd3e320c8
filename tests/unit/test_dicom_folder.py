"""DICOM MR images as they are written into a folder."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pynetdicom", reason="install cinegate[dicom]")


from drivers.sources.dicom import DicomSettings, DicomSource
from tests.dicom_files import INTERVAL_S, START_S, encoded, image, picture, put
from tests.dicom_peers import read
from tests.patience import next_notices

pytestmark = pytest.mark.deadlines

INTERVAL_NS = round(INTERVAL_S * 1e9)


def test_a_folder_is_watched_and_files_without_a_suffix_are_read(tmp_path: Path) -> None:
    """Files written before the watch begins count as old, so a file is written again and again."""
    source, done = DicomSource(DicomSettings(folder=str(tmp_path))), threading.Event()

    def write() -> None:
        index = 0
        while not done.wait(0.02):
            put(tmp_path / f"MR{index:04d}", image(index))
            index += 1

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    info = source.open()
    stamps, images = read(source, info, 5)
    done.set()
    writer.join()
    source.close()
    first = round((stamps[0].acquired_ns / 1e9 - START_S) / INTERVAL_S)
    np.testing.assert_array_equal(images, [picture(first + index) for index in range(5)])
    assert info.nominal_interval_ns == INTERVAL_NS


def watched(folder: Path, incomplete_ms: float) -> tuple[DicomSource, Any]:
    """A source that has read its first file."""
    put(folder / "0.dcm", image(0))
    settings = DicomSettings(folder=str(folder), existing=True, frames_per_s=5.0, incomplete_ms=incomplete_ms)
    source = DicomSource(settings)
    info = source.open()
    assert len(read(source, info, 1)[0]) == 1
    return source, info


def test_a_half_written_image_waits_until_it_is_whole(tmp_path: Path) -> None:
    source, info = watched(tmp_path, 60_000.0)
    whole = encoded(image(1))
    (tmp_path / "1.dcm").write_bytes(whole[:-500])
    assert source.read_into(np.zeros(info.shape, info.dtype), 100) is None
    (tmp_path / "1.dcm").write_bytes(whole)
    assert len(read(source, info, 1)[0]) == 1
    source.close()


def test_an_image_that_stays_half_written_is_refused(tmp_path: Path) -> None:
    source, info = watched(tmp_path, 100.0)
    (tmp_path / "1.dcm").write_bytes(encoded(image(1))[:-500])
    assert "1.dcm was refused, unchanged for 100 ms" in next_notices(source, info)
    source.close()
