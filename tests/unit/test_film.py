"""The film of a session: pictures with their own contours and decisions, in a given number of bytes."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from gating.messages import GateState
from gating.report.film import FILM_BYTES, Film, make_film
from gating.report.film_frames import chosen_frames
from gating.report.html import render
from gating.report.summary import summarise_data
from gating.session.log_writer import SessionWriter
from gating.session.summary_data import SessionData, read_data
from gating.settings.config import GatingSettings
from gating.wire.codec import encode_frame
from gating.wire.pixels import content_hash
from tests.unit.session_bench import CLOCK, FRAMES, MS, decision, estimate, make_frame, write_session

FRAMES_OF_90_S = 540
"""At 6 frames/s."""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_session(tmp_path_factory.mktemp("film") / "s1.mcap")


@pytest.fixture(scope="module")
def data(log: Path) -> SessionData:
    return read_data(log)


@pytest.fixture(scope="module")
def film(data: SessionData) -> Film:
    return make_film(data, GatingSettings())


def log_of(path: Path, images: np.ndarray) -> SessionData:
    """A log that holds images alone."""
    writer = SessionWriter(path, "s1", CLOCK)
    writer.open()
    for number, pixels in enumerate(images):
        sent = make_frame(number, number * 167 * MS)
        same = {"shape": pixels.shape, "dtype": str(pixels.dtype), "content_hash": content_hash(pixels)}
        writer.write(encode_frame(replace(sent, header=replace(sent.header, **same), pixels=pixels)), number)
    writer.close()
    return read_data(path)


def test_each_picture_comes_with_its_own_contour(film: Film) -> None:
    assert len(film.frames) == FRAMES
    for frame in film.frames:
        drawn = np.array(frame.contours[0]).reshape(-1, 2) / 10
        found = np.array(estimate(frame.sequence).contour_px)
        distances = np.linalg.norm(found[:, None] - drawn[None], axis=2)
        assert distances.min(axis=0).max() < 0.1
        assert np.abs(drawn.min(axis=0) - found.min(axis=0)).max() < 0.3


def test_each_picture_comes_with_its_own_decision(film: Film) -> None:
    for frame in film.frames:
        newest = [change for change in film.gate if change.t_s <= frame.t_s][-1]
        assert newest.on == (decision(frame.sequence)[0] == "on"), frame.sequence


def test_a_hold_has_its_reasons_in_plain_words(film: Film) -> None:
    first, second, *_ = film.holds
    away = "too much of the target is outside its boundary"
    assert (first.why, second.why) == (f"nobody has armed the engine, then {away}", away)
    assert (first.end_s, second.begin_s) == (pytest.approx(12 * 0.125, abs=0.01), pytest.approx(27 * 0.125, abs=0.01))


def test_a_hold_after_the_last_frame_lasts_until_the_last_command(data: SessionData) -> None:
    late_ns = data.last_ns + 500 * MS
    stale = replace(data.commands[-1][1], state=GateState.HOLD, reason="stale_frame")
    later = SessionData(
        data.path, frames=data.frames, commands=[(late_ns + 300 * MS, stale)], commanded=[(late_ns, stale)]
    )
    (hold,) = make_film(later, None).holds
    assert hold.end_s - hold.begin_s == pytest.approx(0.3, abs=1e-3)


def test_a_picture_shows_what_its_frame_shows(film: Film) -> None:
    frame = film.frames[7]
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(frame.picture), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert np.corrcoef(shown.ravel(), make_frame(frame.sequence, 0).pixels.ravel())[0, 1] > 0.98


def test_a_log_without_images_says_so(data: SessionData) -> None:
    bare = SessionData(data.path, header=data.header, references=data.references, estimates=data.estimates)
    film = make_film(bare, None)
    assert (film.frames, "holds no images" in film.about) == ([], True)
    assert "holds no images" in (page := render(bare, summarise_data(bare)))
    assert 'id="player"' not in page


def test_on_paper_nothing_is_played_and_the_times_of_events_stay(data: SessionData) -> None:
    page = render(data, summarise_data(data), plays=False)
    assert 'id="film"' not in page
    paper = (Path(__file__).parents[2] / "gating" / "pages" / "paper.css").read_text()
    assert "button:not(.jump)" in paper


def test_of_a_long_session_the_changes_of_the_gate_are_shown(data: SessionData, monkeypatch) -> None:
    monkeypatch.setattr("gating.report.film_frames.MAX_FRAMES", 10)
    shown = chosen_frames(data)
    changes = [number for number in range(1, FRAMES) if decision(number)[0] != decision(number - 1)[0]]
    assert set(changes) < set(shown)
    assert len(shown) <= 10 + len(changes)
    assert f"{len(shown)} of {FRAMES} frames are shown" in make_film(data, None).about


def test_no_plane_is_left_out_where_planes_come_in_turn(data: SessionData, monkeypatch) -> None:
    monkeypatch.setattr("gating.report.film_frames.MAX_FRAMES", 10)
    planes = ("sagittal", "coronal")
    frames = {number: replace(header, plane=planes[number % 2]) for number, header in data.frames.items()}
    shown = chosen_frames(SessionData(data.path, frames=frames))
    assert [len([number for number in shown if number % 2 == plane]) for plane in (0, 1)] == [5, 5]


@pytest.mark.parametrize("name", ["CS31_2", "ON65_2"])
def test_ninety_seconds_of_liver_cine_keep_their_budget(name: str, shared_data: Path, tmp_path: Path) -> None:
    """A tenth of them, in a tenth of the bytes."""
    images = np.load(shared_data / "liver_cine" / f"{name}.npz")["frames"][:: 498 // (FRAMES_OF_90_S // 10)]
    share = len(images) / FRAMES_OF_90_S
    film = make_film(log_of(tmp_path / "s1.mcap", images), None, round(share * FILM_BYTES))
    assert len(film.frames) == len(images)
    assert "reduced" not in film.about
    assert len(msgspec.json.encode(film)) < share * 1.02 * FILM_BYTES


def test_what_cannot_be_compressed_is_reduced_and_thinned_out(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 4000, (12, 200, 160), dtype=np.uint16)
    film = make_film(log_of(tmp_path / "s1.mcap", noise), None, 20_000)
    assert "reduced to 96 px" in film.about
    assert 3 <= len(film.frames) < 12
    assert len(msgspec.json.encode(film.frames)) < 21_000


def test_a_report_of_ninety_seconds_has_room_for_its_film(data: SessionData) -> None:
    page = render(data, summarise_data(data))
    film = msgspec.json.encode(make_film(data, None))
    assert len(page) - len(film) + FILM_BYTES < 7_750_000
