"""Merging recordings by their stamps: nothing is lost or moved, and what is no scan is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import BadRecording
from drivers.ports import EndOfStream
from drivers.recordings.recording import SAGITTAL, Recording, checked_recording
from drivers.recordings.scan import interleave, open_scan
from drivers.sources.replay import ReplaySource
from gating.messages import Pacing, StampMeaning

ORIENTATIONS = {"sagittal": SAGITTAL, "coronal": (1, 0, 0, 0, 0, -1), "transversal": (1, 0, 0, 0, 1, 0)}


def recording(plane: str, stamps_ns: list[int], *, side: int = 8, spacing_mm: float = 2.0) -> Recording:
    """Frames whose pixels are their index."""
    frames = np.stack([np.full((side, side), index, np.uint16) for index in range(len(stamps_ns))])
    return checked_recording(
        path=Path(f"{plane}.npz"),
        frames=frames,
        shape=(side, side),
        dtype="uint16",
        stamps_ns=np.array(stamps_ns, np.int64),
        pixel_spacing_mm=(spacing_mm, spacing_mm),
        given_spacing_mm=None,
        image_orientation=ORIENTATIONS[plane],
        image_position_mm=(1.0, 2.0, 3.0) if plane == "sagittal" else (-4.0, 0.0, 0.0),
    )


@settings(max_examples=50)
@given(st.lists(st.integers(0, 2), min_size=6, max_size=40), st.data())
def test_a_merged_scan_plays_every_frame_once_in_the_order_of_the_stamps(turns, data):
    steps = data.draw(st.lists(st.integers(1, 10**6), min_size=len(turns), max_size=len(turns)))
    stamps = np.cumsum(steps).tolist()
    taken = {
        plane: [s for s, turn in zip(stamps, turns, strict=True) if turn == i] for i, plane in enumerate(ORIENTATIONS)
    }
    spans = [s for s in taken.values() if s]
    if any(len(s) < 2 for s in spans) or max(s[0] for s in spans) >= min(s[-1] for s in spans):
        return
    recordings = {plane: recording(plane, s) for plane, s in taken.items() if s}
    source = ReplaySource(interleave(list(recordings.values())), Pacing.UNPACED)
    info = source.open()
    assert (info.frame_count, set(info.planes)) == (len(stamps), set(recordings))
    assert info.planes[0] == list(ORIENTATIONS)[turns[0]]
    pixels = np.zeros(info.shape, info.dtype)
    for stamp_ns, turn in zip(stamps, turns, strict=True):
        stamp = source.read_into(pixels, 0)
        plane = list(ORIENTATIONS)[turn]
        assert stamp is not None
        assert (stamp.acquired_ns, stamp.plane) == (stamp_ns, plane)
        assert stamp.image_orientation == ORIENTATIONS[plane]
        assert stamp.image_position_mm == recordings[plane].image_position_mm
        assert (pixels == taken[plane].index(stamp_ns)).all()
    with pytest.raises(EndOfStream):
        source.read_into(pixels, 0)


def test_the_nominal_interval_is_from_frame_to_frame_whatever_the_plane():
    scan = interleave([recording("coronal", [5, 25, 45]), recording("sagittal", [10, 30, 50])])
    assert (scan.planes, scan.nominal_interval_ns, len(scan)) == (("coronal", "sagittal"), 10, 6)


def test_a_looped_scan_goes_on_with_increasing_stamps_in_both_planes():
    scan = interleave([recording("sagittal", [0, 20]), recording("coronal", [10, 30])])
    source = ReplaySource(scan, Pacing.UNPACED, loop=True)
    info = source.open()
    pixels = np.zeros(info.shape, info.dtype)
    played = [source.read_into(pixels, 0) for _ in range(8)]
    assert [stamp.acquired_ns for stamp in played if stamp] == [0, 10, 20, 30, 40, 50, 60, 70]
    assert [stamp.plane for stamp in played if stamp] == ["sagittal", "coronal"] * 4


def test_every_plane_of_a_dicom_folder_is_played_in_turn(tmp_path):
    from tests.dicom_files import image, put

    planes = ["sagittal", "coronal"] * 4
    for index, plane in enumerate(planes):
        put(tmp_path / f"{index}.dcm", image(index, ImageOrientationPatient=list(ORIENTATIONS[plane])))
    source = ReplaySource(tmp_path, Pacing.UNPACED, plane="all")
    info = source.open()
    assert (info.planes, info.frame_count) == (("sagittal", "coronal"), 8)
    pixels = np.zeros(info.shape, info.dtype)
    stamps = [source.read_into(pixels, 0) for _ in planes]
    assert [stamp.plane for stamp in stamps if stamp] == planes


def test_a_recording_of_one_plane_has_that_plane_alone(tmp_path):
    frames = np.arange(3 * 64, dtype=np.uint16).reshape(3, 8, 8)
    np.savez(tmp_path / "one.npz", frames=frames, t_s=[0.0, 0.1, 0.2], pixel_spacing_mm=[2.0, 2.0])
    assert open_scan(tmp_path / "one.npz", plane="all").planes == ("sagittal",)


def test_a_damaged_recording_is_not_taken_for_one_without_planes(tmp_path):
    (tmp_path / "torn.npz").write_bytes(b"PK")
    with pytest.raises(BadRecording, match="is not a readable"):
        open_scan(tmp_path / "torn.npz", plane="all")


SAG = [0, 20, 40]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        pytest.param(recording("sagittal", [10, 30]), "both are sagittal", id="one plane"),
        pytest.param(
            recording("coronal", [10, 30], side=9),
            r"shape is \(8, 8\) in sagittal frames, \(9, 9\) in coronal ones",
            id="shape",
        ),
        pytest.param(recording("coronal", [10, 30], spacing_mm=3), "pixel_spacing_mm is", id="spacing"),
        pytest.param(
            replace(recording("coronal", [10, 30]), stamp_meaning=StampMeaning.END),
            "stamp_meaning is",
            id="stamp meaning",
        ),
        pytest.param(recording("coronal", [50, 70]), "stamps must overlap", id="apart"),
        pytest.param(recording("coronal", [10, 20]), "have the same stamp, 2e-08 s", id="same stamp"),
    ],
)
def test_recordings_that_are_no_scan_are_refused(other, words):
    with pytest.raises(BadRecording, match=words):
        interleave([recording("sagittal", SAG), other])


def test_planes_of_different_frames_of_reference_are_refused():
    one, other = recording("sagittal", SAG), recording("coronal", [10, 30])
    with pytest.raises(BadRecording, match="frames of reference differ"):
        interleave([replace(one, frame_of_reference="1.2"), replace(other, frame_of_reference="1.3")])
