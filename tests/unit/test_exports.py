"""Exports of a session log, read back by libraries that know nothing of us."""

from __future__ import annotations

import csv
import json
import stat
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory
from pyarrow import parquet

import cinegate
from cinegate.exports.cine_track import write_cine_track
from cinegate.exports.foxglove import write_foxglove
from cinegate.exports.session import ExportedSession, open_session
from cinegate.exports.tables import tables, write_csv, write_parquet
from cinegate.verbs import main
from drivers.errors import Unavailable
from gating.errors import TargetError
from gating.geometry.plane import ImagePlane
from gating.session.log import SessionError
from gating.session.log_writer import SessionWriter
from tests.unit.session_bench import FRAMES, estimate, make_frame, reference, target_centre, write_session

SKIPPED = 7


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_session(tmp_path_factory.mktemp("session") / "s1.mcap", frozenset((SKIPPED,)))


@pytest.fixture(scope="module")
def session(log: Path) -> ExportedSession:
    return open_session(log)


@pytest.fixture(scope="module")
def recording(session: ExportedSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("foxglove") / "s1.mcap"
    write_foxglove(session, out)
    return out


def messages(recording: Path, topic: str) -> list[Any]:
    """Decoded by the schemas that the file itself holds."""
    with recording.open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        if topic in ("/gate", "/beam", "/target/GTV"):
            return [json.loads(message.data) for _, _, message in reader.iter_messages(topics=[topic])]
        return [one.decoded_message for one in reader.iter_decoded_messages(topics=[topic])]


def test_a_recording_for_foxglove_is_chunked_and_indexed(recording: Path) -> None:
    with recording.open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    assert summary.statistics is not None
    assert summary.chunk_indexes
    counts = {summary.channels[key].topic: n for key, n in summary.statistics.channel_message_counts.items()}
    decided = FRAMES - 1
    assert counts == {
        "/cine/sagittal": FRAMES,
        "/target/GTV": decided,
        "/target/GTV/outline": decided,
        "/gate": 3 * decided,
        "/beam": decided,
        "/events": 1,
    }


def test_an_image_for_foxglove_has_the_pixels_of_its_frame(recording: Path) -> None:
    image = messages(recording, "/cine/sagittal")[5]
    pixels = np.frombuffer(image.data, "<u2").reshape(image.height, image.width)
    np.testing.assert_array_equal(pixels, make_frame(5, 0).pixels)
    assert (image.encoding, image.step) == ("mono16", 2 * image.width)


def test_foxglove_plots_the_displacement_of_the_log(recording: Path) -> None:
    plotted = messages(recording, "/target/GTV")[5]
    (x, y), (x0, y0) = target_centre(5), reference().centre_px
    assert plotted["ap_mm"] == pytest.approx(2 * (x - x0))
    assert plotted["si_mm"] == pytest.approx(-2 * (y - y0))
    assert plotted["target_out_fraction"] == estimate(5).target_out_fraction


def test_foxglove_shows_events_with_their_severity(recording: Path) -> None:
    event = messages(recording, "/events")[0]
    assert event.message == "low_confidence: Frame 20."
    assert event.level == event.WARNING


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_hold_what_the_log_holds(kind: str, log: Path, tmp_path: Path) -> None:
    found = cinegate.read_session(log)
    (write_csv if kind == "csv" else write_parquet)(found, tmp_path / kind)
    for name, table in tables(found).items():
        path = tmp_path / kind / f"{name}.{kind}"
        if kind == "csv":
            with path.open(newline="") as file:
                rows = [tuple(row) for row in csv.reader(file)]
            assert rows == [table.dtype.names, *(tuple(map(str, row)) for row in table.tolist())]
        else:
            columns = parquet.read_table(path)
            assert [tuple(row.values()) for row in columns.to_pylist()] == table.tolist()
            assert columns.column_names == list(table.dtype.names or ())


def test_what_is_unknown_is_null_in_columns(log: Path, tmp_path: Path) -> None:
    found = cinegate.read_session(log)
    lost = found.estimates.copy()
    lost["si_mm"][3] = np.nan
    write_parquet(replace(found, estimates=lost), tmp_path / "parquet")
    read = parquet.read_table(tmp_path / "parquet" / "estimates.parquet")["si_mm"]
    assert read.null_count == 1
    write_csv(replace(found, estimates=lost), tmp_path / "csv")
    with (tmp_path / "csv" / "estimates.csv").open(newline="") as file:
        assert [row["si_mm"] for row in csv.DictReader(file)][3] == ""


def test_slicer_plays_a_displacement_for_each_image(session: ExportedSession, tmp_path: Path) -> None:
    written = write_cine_track(session, tmp_path)
    images = sorted((tmp_path / "cine").glob("*.mha"))
    with (tmp_path / "Transforms.csv").open(newline="") as file:
        rows = [[float(row[axis]) for axis in "XYZ"] for row in csv.DictReader(file)]
    assert (len(images), len(rows), written.left_out) == (FRAMES - 1, FRAMES - 1, 1)
    (x, y), (x0, y0) = target_centre(SKIPPED + 1), reference().centre_px
    assert rows[SKIPPED] == pytest.approx([0, 2 * (x - x0), -2 * (y - y0)], abs=1e-5)
    image = SimpleITK.ReadImage(str(images[SKIPPED]))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image)[0], make_frame(SKIPPED + 1, 0).pixels)


def test_the_segmentation_for_slicer_lies_where_the_target_was_drawn(session: ExportedSession, tmp_path: Path) -> None:
    write_cine_track(session, tmp_path)
    image = SimpleITK.ReadImage(str(tmp_path / "Segmentation.mha"))
    shape = SimpleITK.LabelShapeStatisticsImageFilter()
    shape.Execute(image)
    expected = ImagePlane.of(make_frame(0, 0).header).to_lps_mm(*reference().centre_px)
    assert shape.GetCentroid(1) == pytest.approx(expected, abs=0.5)


def test_slicer_is_shown_no_target_that_is_not_there(session: ExportedSession, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"target is 'heart'.*has GTV"):
        write_cine_track(session, tmp_path, "heart")


def test_a_log_without_images_is_refused_in_one_sentence(tmp_path: Path) -> None:
    writer = SessionWriter(tmp_path / "empty.mcap", "s1", "monotonic:test")
    writer.open()
    writer.close()
    with pytest.raises(SessionError, match="holds no frames"):
        open_session(tmp_path / "empty.mcap")


def test_times_are_those_of_the_recorders_wall_clock(session: ExportedSession) -> None:
    boot_ns = time.time_ns() - time.monotonic_ns()
    first = session.data.frames[0].published_ns
    assert session.wall_ns(first) == pytest.approx(boot_ns + first, abs=10e9)
    assert session.wall(first).timestamp() == pytest.approx(session.wall_ns(first) / 1e9, abs=1e-6)


def test_a_log_that_does_not_say_when_it_was_is_refused(log: Path, tmp_path: Path) -> None:
    undated = tmp_path / "undated.mcap"
    undated.write_bytes(log.read_bytes().replace(b"wall_minus_monotonic_ns", b"wall_minus_monotonic_xx"))
    with pytest.raises(SessionError, match="nobody knows when the session was"):
        open_session(undated)


def test_an_export_replaces_nothing(session: ExportedSession, recording: Path) -> None:
    before = recording.read_bytes()
    with pytest.raises(FileExistsError, match="is there already"):
        write_foxglove(session, recording)
    assert recording.read_bytes() == before


def test_without_its_sdk_foxglove_names_the_command(
    session: ExportedSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "foxglove", None)
    with pytest.raises(Unavailable, match="install it with"):
        write_foxglove(session, tmp_path / "a.mcap")
    assert not list(tmp_path.iterdir())


def test_without_pyarrow_parquet_names_the_command(log: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(Unavailable, match="install it with"):
        write_parquet(cinegate.read_session(log), tmp_path)


def test_only_the_owner_reads_what_was_exported(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["--csv", str(out / "csv"), "--slicer-cine-track", str(out / "slicer"), "--json"]
    monkeypatch.setattr(sys, "argv", ["cinegate", "export", str(log), *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    assert json.loads(capsys.readouterr().out)["slicer_cine_track"]["images"] == FRAMES - 1
    modes = Counter(stat.S_IMODE(path.stat().st_mode) for path in out.rglob("*") if path.is_file())
    assert set(modes) == {0o600}
