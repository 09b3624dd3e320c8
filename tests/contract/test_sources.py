"""What every cine source must do. A new driver adds one line to `SOURCES`."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from drivers.errors import SourceFault
from drivers.phantom import PhantomSettings
from drivers.ports import CineSource, FrameStamp
from drivers.recordings import open_recording
from drivers.recordings.scan import interleave
from drivers.sources.phantom import PhantomSource
from drivers.sources.replay import ReplaySource
from gating.messages import Pacing, SourceKind, StreamInfo, as_dict
from replay_data import session_path
from tests.contract import feeds, network_feeds
from tests.contract.reading import TIMEOUT_MS, read
from tests.interleaved import Patient, write_recordings
from tests.patience import wait_until

Make = Callable[[Path], CineSource]

SOURCES: dict[str, Make] = {
    "replay": lambda _: ReplaySource(session_path("high_rate"), Pacing.UNPACED),
    "replay looped": lambda _: ReplaySource(session_path("high_rate"), Pacing.UNPACED, loop=True),
    "replay in real time": lambda _: ReplaySource(session_path("high_rate")),
    "replay faster": lambda _: ReplaySource(session_path("high_rate"), Pacing.SCALED, 8.0),
    "phantom": lambda _: PhantomSource(
        PhantomSettings(rows=64, columns=56, pixel_spacing_mm=(3.6, 3.6), frames_per_s=50, duration_s=0.5)
    ),
    "endless phantom": lambda _: PhantomSource(
        PhantomSettings(rows=64, columns=56, pixel_spacing_mm=(3.6, 3.6), dtype="float32", plane="coronal"),
        Pacing.UNPACED,
    ),
    "interleaved replay": lambda folder: ReplaySource(
        interleave([open_recording(path) for path in write_recordings(Patient(), folder, 24)]), Pacing.UNPACED
    ),
    "unity": feeds.unity,
    "mridian": feeds.mridian,
    "dicom": feeds.dicom,
    "dicom folder": feeds.dicom_folder,
    "mrd": network_feeds.mrd,
    "openigtlink": network_feeds.openigtlink,
    "zeromq": network_feeds.zeromq,
}


@pytest.fixture(params=SOURCES.values(), ids=SOURCES.keys())
def source(request: pytest.FixtureRequest, tmp_path: Path):
    made = request.param(tmp_path)
    yield made
    made.close()


def test_fulfils_the_protocol(source: CineSource) -> None:
    assert isinstance(source, CineSource)


def test_refuses_to_be_read_before_it_is_opened(source: CineSource) -> None:
    with pytest.raises(SourceFault, match="not open"):
        source.read_into(np.zeros((88, 80), np.uint8), 1)


def test_declares_a_stream_that_the_wire_accepts(source: CineSource) -> None:
    info = source.open()
    assert msgspec.convert(as_dict(info), StreamInfo) == info


def test_opening_and_closing_twice_is_harmless(source: CineSource) -> None:
    assert source.open() == source.open()
    source.close()
    source.close()


def test_starts_from_the_beginning_when_opened_again(source: CineSource) -> None:
    info = source.open()
    _, first = read(source, info, 3)
    source.close()
    _, again = read(source, source.open(), 3)
    if info.source_kind is not SourceKind.LIVE:
        np.testing.assert_array_equal(first, again)


def test_frames_fill_the_buffer_and_never_repeat(source: CineSource) -> None:
    _, frames = read(source, source.open(), 12)
    assert all(frame.std() > 0 for frame in frames)
    assert not any((before == after).all() for before, after in itertools.pairwise(frames))


def test_stamps_increase_and_name_a_declared_plane(source: CineSource) -> None:
    info = source.open()
    stamps, _ = read(source, info, 12)
    acquired_ns = [stamp.acquired_ns for stamp in stamps]
    assert acquired_ns == sorted(set(acquired_ns))
    assert {stamp.plane for stamp in stamps} <= set(info.planes)
    assert {stamp.meaning for stamp in stamps} == {info.acquired_meaning}


def test_no_frame_is_returned_before_it_arrived(source: CineSource) -> None:
    info = source.open()
    pixels = np.zeros(info.shape, info.dtype)
    for _ in range(5):
        stamp = source.read_into(pixels, TIMEOUT_MS)
        assert stamp is not None
        assert stamp.arrived_ns <= time.monotonic_ns()


def test_a_timeout_returns_none_and_loses_no_frame(source: CineSource) -> None:
    info = source.open()
    patient, _ = read(source, info, 6)
    source.close()
    source.open()
    pixels = np.zeros(info.shape, info.dtype)
    hasty: list[FrameStamp] = []

    def six_came() -> bool:
        if (stamp := source.read_into(pixels, 0)) is not None:
            hasty.append(stamp)
        return len(hasty) == 6

    assert wait_until(six_came)
    if info.source_kind is not SourceKind.LIVE:
        assert [stamp.acquired_ns for stamp in hasty] == [stamp.acquired_ns for stamp in patient]


def test_a_stream_of_known_length_ends_after_its_frames(source: CineSource) -> None:
    info = source.open()
    if info.frame_count is None or info.frame_count * info.nominal_interval_ns > 2e9:
        pytest.skip("no end within two seconds")
    stamps, _ = read(source, info, info.frame_count + 5)
    assert len(stamps) == info.frame_count
