"""The bundled sessions: intact, reproduced bit for bit, and as the manifest says."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest

from drivers.recordings import open_recording
from gating.geometry.contours import contour_centroid
from replay_data import FOLDER, demo_recording, session_names, session_path
from replay_data.remake import MANIFEST, arrays_of, check, packed, remake
from replay_data.sessions import SESSIONS

MANIFEST_ENTRIES = tomllib.loads((FOLDER / MANIFEST).read_text())["session"]


def test_the_sessions_are_reproduced_bit_for_bit() -> None:
    assert check() == []


def test_the_manifest_lists_every_file_and_no_other() -> None:
    assert set(MANIFEST_ENTRIES) == set(session_names()) == {session.name for session in SESSIONS}


def test_a_changed_file_is_found(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("replay_data.remake.SESSIONS", SESSIONS[3:4])
    remake(tmp_path)
    assert check(tmp_path) == []
    path = tmp_path / f"{SESSIONS[3].name}.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert "sha256" in check(tmp_path)[0]


def test_packing_depends_only_on_the_arrays() -> None:
    arrays = arrays_of(SESSIONS[3])
    assert packed(arrays) == packed({name: array.copy() for name, array in arrays.items()})


@pytest.mark.parametrize("name", session_names())
def test_a_session_is_what_its_manifest_says(name) -> None:
    entry, recording = MANIFEST_ENTRIES[name], open_recording(session_path(name))
    assert (len(recording), *recording.shape) == (entry["frames"], entry["rows"], entry["columns"])
    assert (recording.dtype, recording.plane) == (entry["dtype"], entry["plane"])
    assert list(recording.pixel_spacing_mm) == entry["pixel_spacing_mm"]
    assert list(recording.target_box) == entry["target_box"]
    assert recording.nominal_interval_ns * entry["frames_per_s"] == pytest.approx(1e9, rel=0.02)
    assert session_path(name).stat().st_size < 3e6


@pytest.mark.parametrize("name", session_names())
def test_the_truth_stays_within_the_image_and_fits_the_contours(name) -> None:
    recording = open_recording(session_path(name))
    with np.load(session_path(name)) as arrays:
        contours = arrays["target_contour_px"]
    assert contours.min() > 0
    assert (contours.max(axis=(0, 1)) < recording.shape[::-1]).all()
    for centre, contour in zip(recording.target_track_px[::7], contours[::7], strict=True):
        np.testing.assert_allclose(contour_centroid(contour), centre, atol=1e-3)


def test_the_demonstration_plays_for_twenty_to_thirty_seconds() -> None:
    recording = open_recording(demo_recording())
    assert 20e9 < recording.stamps_ns[-1] < 30e9
