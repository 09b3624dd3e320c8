"""Replay: the pace of the recording's own stamps, and how that pace is declared."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from drivers.errors import BadRecording, Unavailable
from drivers.ports import EndOfStream
from drivers.recordings import open_recording
from drivers.sources.pacing import MISSED_NS
from drivers.sources.replay import ReplaySource
from gating.clocks.clock import MonotonicClock
from gating.messages import Pacing, SourceKind
from tests.unity_files import session

STAMPS_S = np.array([0.5, 0.52, 0.53, 0.56, 0.57])


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "uneven.npz"
    frames = np.arange(5 * 16 * 16, dtype=np.uint16).reshape(5, 16, 16)
    np.savez(path, frames=frames, t_s=STAMPS_S, pixel_spacing_mm=np.array([2.0, 2.0]))
    return open_recording(path)


def play(source: ReplaySource, count: int):
    info = source.open()
    pixels = np.zeros(info.shape, info.dtype)
    taken = []
    clock = MonotonicClock()
    while len(taken) < count:
        stamp = source.read_into(pixels, 1000)
        taken.append((stamp, clock.now_ns(), pixels.copy()))
    return taken


@pytest.mark.parametrize("speed", [0.5, 1.0, 4.0])
def test_deadlines_are_the_uneven_stamps_divided_by_the_speed(recording, speed) -> None:
    pacing = Pacing.REAL_TIME if speed == 1 else Pacing.SCALED
    taken = play(ReplaySource(recording, pacing, speed), 5)
    due_ns = np.array([stamp.acquired_on_host_ns for stamp, _, _ in taken])
    np.testing.assert_allclose(np.diff(due_ns), np.diff(STAMPS_S) * 1e9 / speed, atol=2)
    assert all(at_ns >= stamp.arrived_ns for stamp, at_ns, _ in taken)


def test_raw_stamps_are_the_recordings_own(recording) -> None:
    taken = play(ReplaySource(recording, Pacing.UNPACED), 5)
    assert [stamp.acquired_ns for stamp, _, _ in taken] == [
        500_000_000,
        520_000_000,
        530_000_000,
        560_000_000,
        570_000_000,
    ]


def test_a_delay_of_the_reader_does_not_add_up(recording) -> None:
    clock = MonotonicClock()
    source = ReplaySource(recording)
    info = source.open()
    pixels = np.zeros(info.shape, info.dtype)
    first = source.read_into(pixels, 1000)
    late_ns = clock.now_ns() + 35_000_000
    while clock.now_ns() < late_ns:
        pass
    rest = [source.read_into(pixels, 1000) for _ in range(4)]
    offsets = [stamp.acquired_on_host_ns - first.acquired_on_host_ns for stamp in rest]
    assert offsets == [20_000_000, 30_000_000, 60_000_000, 70_000_000]
    assert source.counters["deadlines_missed"] >= 2
    assert source.counters["latest_us"] * 1000 > MISSED_NS


def test_it_ends_unless_told_to_loop(recording) -> None:
    source = ReplaySource(recording, Pacing.UNPACED)
    play(source, 5)
    with pytest.raises(EndOfStream):
        source.read_into(np.zeros((16, 16), np.uint16), 10)


def test_a_loop_goes_on_with_increasing_stamps_and_the_same_frames(recording) -> None:
    source = ReplaySource(recording, Pacing.UNPACED, loop=True)
    assert source.open().frame_count is None
    taken = play(source, 12)
    steps = np.diff([stamp.acquired_ns for stamp, _, _ in taken])
    assert (steps > 0).all()
    assert steps[4] == recording.nominal_interval_ns
    np.testing.assert_array_equal(taken[7][2], recording.frames[2])


@pytest.mark.parametrize(
    ("pacing", "speed", "said"),
    [(Pacing.REAL_TIME, 1.0, 1.0), (Pacing.SCALED, 8.0, 8.0), (Pacing.STEPPED, 1.0, 0.0), (Pacing.UNPACED, 1.0, 0.0)],
)
def test_pacing_and_speed_are_declared(recording, pacing, speed, said) -> None:
    info = ReplaySource(recording, pacing, speed).open()
    assert (info.source_kind, info.pacing, info.speed) == (SourceKind.REPLAY, pacing, said)
    assert info.acquired_clock == "recording"


@pytest.mark.parametrize(
    ("pacing", "speed"),
    [(Pacing.SCALED, 0.0), (Pacing.SCALED, -1.0), (Pacing.SCALED, float("nan")), (Pacing.REAL_TIME, 2.0)],
)
def test_an_impossible_speed_is_refused(recording, pacing, speed) -> None:
    with pytest.raises(Unavailable, match="speed is"):
        ReplaySource(recording, pacing, speed).open()


def test_construction_touches_nothing(tmp_path) -> None:
    source = ReplaySource(tmp_path / "absent.npz")
    with pytest.raises(BadRecording, match="no such file"):
        source.open()


def test_one_plane_of_a_mixed_folder_is_played(shared_data, tmp_path) -> None:
    for plane, count in (("sagittal", 3), ("coronal", 4)):
        session(shared_data, tmp_path, count, plane)
    with pytest.raises(BadRecording, match="name the plane to take"):
        ReplaySource(tmp_path, Pacing.UNPACED).open()
    source = ReplaySource(tmp_path, Pacing.UNPACED, plane="coronal")
    assert (source.open().planes, source.open().frame_count) == (("coronal",), 4)
    assert {stamp.plane for stamp, _, _ in play(source, 4)} == {"coronal"}


@pytest.mark.parametrize(
    ("plane", "said"),
    [("coronal", "it is sagittal; coronal was requested"), ("oblique", "plane 'oblique' was requested")],
)
def test_a_plane_that_a_recording_does_not_show_is_refused(recording, plane, said) -> None:
    with pytest.raises(BadRecording, match=said):
        ReplaySource(recording.path, plane=plane).open()


@pytest.mark.slow
def test_a_real_recording_keeps_its_pace(shared_data) -> None:
    recording = open_recording(shared_data / "liver_cine" / "KS81_1.npz")
    taken = play(ReplaySource(recording, Pacing.SCALED, 10.0), len(recording))
    late_ns = [at_ns - stamp.arrived_ns for stamp, at_ns, _ in taken]
    assert np.percentile(late_ns, 10) < 1e6
    assert min(late_ns[-len(late_ns) // 10 :]) < 1e6, "delays add up"
    intervals = {b.acquired_ns - a.acquired_ns for (a, _, _), (b, _, _) in itertools.pairwise(taken)}
    assert len(intervals) > 1
