"""Movies and folders of PNG images: what a file says, what a user must say, and what is warned about."""

from __future__ import annotations

import warnings
import zlib
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from drivers.errors import BadRecording, DrawnIn
from drivers.recordings import open_recording
from drivers.recordings.scan import open_scan

COUNT, ROWS, COLUMNS = 6, 48, 64
GIVEN = {"pixel_spacing_mm": 3.5, "frames_per_s": 4.0}


def cine() -> np.ndarray:
    rows, columns = np.indices((ROWS, COLUMNS))
    moving = [100 + 60 * np.sin((columns + 3 * index) / 7) + 50 * np.cos(rows / 9) for index in range(COUNT)]
    return np.clip(moving, 0, 255).astype(np.uint8)


def with_contours(frames: np.ndarray) -> np.ndarray:
    """The frames in colour, a green contour drawn into each."""
    drawn = np.repeat(frames[..., None], 3, axis=3)
    for frame in drawn:
        cv2.circle(frame, (30, 24), 9, (0, 230, 0), 1)
    return drawn


def movie(path: Path, frames: np.ndarray) -> Path:
    colours = frames if frames.ndim == 4 else np.repeat(frames[..., None], 3, axis=3)
    if path.suffix == ".gif":
        first, *others = (Image.fromarray(frame[..., ::-1]) for frame in colours)
        first.save(path, save_all=True, append_images=others, duration=250)
        return path
    code = {".avi": "MJPG", ".mp4": "mp4v"}[path.suffix]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 25, (COLUMNS, ROWS))
    for frame in colours:
        writer.write(frame)
    writer.release()
    return path


def pictures(folder: Path, frames: np.ndarray) -> Path:
    for index, frame in enumerate(frames, start=8):
        cv2.imwrite(str(folder / f"frame{index}.png"), frame)
    return folder


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".gif"])
def test_a_movie_is_read_in_grey_with_what_the_user_says(tmp_path, suffix):
    frames = cine()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = open_recording(movie(tmp_path / f"a{suffix}", frames), **GIVEN)
    assert (len(recording), recording.shape, recording.dtype) == (COUNT, (ROWS, COLUMNS), "uint8")
    assert recording.times_assumed
    assert recording.stamps_ns[1] == 250_000_000
    for index in (0, 5, 2):
        assert np.abs(recording.frames[index].astype(int) - frames[index]).mean() < 4


def test_a_movie_without_rate_or_spacing_asks_for_one_after_the_other(tmp_path):
    path = movie(tmp_path / "a.avi", cine())
    with pytest.raises(BadRecording, match=r"it plays at 25 frames/s, which need not be .* give its rate"):
        open_recording(path)
    with pytest.raises(BadRecording, match="pixel_spacing_mm is missing; give it explicitly"):
        open_recording(path, frames_per_s=4)


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".gif"])
def test_contours_drawn_into_a_movie_are_warned_about(tmp_path, suffix):
    with pytest.warns(DrawnIn, match="contours or text were drawn into the images"):
        recording = open_recording(movie(tmp_path / f"a{suffix}", with_contours(cine())), **GIVEN)
    assert "drawn into the images" in recording.description


@pytest.mark.parametrize("deep", [False, True])
def test_png_images_are_read_exactly_in_the_order_of_their_numbers(tmp_path, deep):
    frames = cine().astype(np.uint16) * 200 if deep else cine()
    recording = open_recording(pictures(tmp_path, frames), **GIVEN)
    np.testing.assert_array_equal([recording.frames[index] for index in range(COUNT)], frames)
    assert recording.times_assumed


def test_contours_drawn_into_png_images_are_warned_about(tmp_path):
    with pytest.warns(DrawnIn):
        open_recording(pictures(tmp_path, with_contours(cine())), **GIVEN)


def test_the_user_says_which_plane_a_movie_shows(tmp_path):
    path = movie(tmp_path / "a.avi", cine())
    assert open_recording(path, **GIVEN).plane == "sagittal"
    assert open_recording(path, plane="coronal", **GIVEN).plane == "coronal"


def test_a_picture_in_the_folder_of_a_case_is_left_alone(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(BadRecording, match="images: 0 files match"):
        open_recording(pictures(tmp_path, cine()))


def test_all_planes_of_a_movie_are_one(tmp_path):
    assert open_scan(movie(tmp_path / "a.avi", cine()), plane="all", **GIVEN).planes == ("sagittal",)


def test_images_of_another_size_are_refused_by_name(tmp_path):
    pictures(tmp_path, cine())
    cv2.imwrite(str(tmp_path / "frame20.png"), cine()[0, :40])
    recording = open_recording(tmp_path, **GIVEN)
    with pytest.raises(BadRecording, match=r"frame20\.png: it is uint8 \(40, 64\), the first is uint8 \(48, 64\)"):
        _ = recording.frames[COUNT]


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".gif"])
def test_a_damaged_movie_is_one_sentence_or_shorter(tmp_path, suffix):
    path = movie(tmp_path / f"a{suffix}", cine())
    whole = path.read_bytes()
    for end in [0, 5, 20, *range(30, len(whole), len(whole) // 12)]:
        path.write_bytes(whole[:end])
        with suppress(BadRecording):
            recording = open_recording(path, **GIVEN)
            assert len(recording) <= COUNT
            _ = recording.frames[len(recording) - 1]


def test_what_is_no_movie_never_reaches_the_decoder(tmp_path):
    (tmp_path / "a.mp4").write_text("#EXTM3U\nhttp://127.0.0.1:1/a.ts\n")
    with pytest.raises(BadRecording, match="does not begin as an AVI, MP4, Ogg or GIF file does"):
        open_recording(tmp_path / "a.mp4", **GIVEN)


def test_a_png_that_claims_a_huge_size_is_not_unpacked(tmp_path):
    pictures(tmp_path, cine())
    first = tmp_path / "frame8.png"
    data = bytearray(first.read_bytes())
    data[16:24] = b"\x00\x01\x00\x00\x00\x01\x00\x00"
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    first.write_bytes(data)
    with pytest.raises(BadRecording, match="it is 65536x65536; sides of 8 to 4096 px are read"):
        open_recording(tmp_path, **GIVEN)


def test_every_truncation_of_a_png_image_is_one_sentence(tmp_path):
    pictures(tmp_path, cine()[:, :8, :8])
    first = tmp_path / "frame8.png"
    whole = first.read_bytes()
    for end in range(len(whole)):
        first.write_bytes(whole[:end])
        with pytest.raises(
            BadRecording, match=r"frame8\.png: (is not a PNG image|the chunk at byte|the image has no end)"
        ):
            open_recording(tmp_path, **GIVEN)


def test_a_png_chunk_that_claims_a_huge_length_takes_no_memory(tmp_path):
    pictures(tmp_path, cine())
    first = tmp_path / "frame8.png"
    data = bytearray(first.read_bytes())
    at = data.index(b"IDAT") - 4
    data[at : at + 4] = b"\xff\xff\xff\xf0"
    first.write_bytes(data)
    with pytest.raises(BadRecording, match=f"the chunk at byte {at} needs 4294967292 bytes; the file ends at"):
        open_recording(tmp_path, **GIVEN)


def test_a_rate_is_refused_where_the_recording_holds_times(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, frames=cine(), t_s=np.arange(COUNT) / 4, pixel_spacing_mm=[1.0, 1.0])
    with pytest.raises(BadRecording, match="frames_per_s was given as 4; the recording holds its own times"):
        open_recording(path, frames_per_s=4)
