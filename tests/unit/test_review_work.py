"""What the Review page is told of session logs, and which it may see."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cinegate.console import review_work
from cinegate.console.worker import WorkError
from gating.session.log import SessionError
from tests.unit.session_bench import FRAMES, write_session


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a whole log, a newer torn one in a folder of its own, and a file that is none."""
    folder = tmp_path_factory.mktemp("review") / "sessions"
    (folder / "today").mkdir(parents=True)
    whole = write_session(folder / "whole.mcap").read_bytes()
    (folder / "today" / "torn.mcap").write_bytes(whole[: 2 * len(whole) // 3])
    (folder / "foreign.mcap").write_text("no log")
    (folder / "notes.txt").write_text("no log either")
    write_session(folder.parent / "outside.mcap")
    (folder / "link.mcap").symlink_to(folder.parent / "outside.mcap")
    for age_s, name in enumerate(("today/torn.mcap", "whole.mcap", "foreign.mcap")):
        os.utime(folder / name, (1e9 - age_s, 1e9 - age_s))
    return folder


def told(work, name: str, folder: Path):
    return json.loads(work(name, [folder]))


def test_the_logs_below_a_folder_are_listed_the_newest_first(folder: Path) -> None:
    listed = json.loads(review_work.sessions([folder]))["sessions"]
    names = ["sessions/today/torn.mcap", "sessions/whole.mcap", "sessions/foreign.mcap"]
    assert [one["name"] for one in listed] == names


def test_a_row_says_what_a_session_came_to(folder: Path) -> None:
    row = told(review_work.summary, "sessions/whole.mcap", folder)
    assert (row["kind"], row["targets"], row["remark"]) == ("phantom", ["GTV"], "")
    assert row["duration_s"] == pytest.approx(FRAMES * 0.125)
    assert 0 < row["beam_on_s"] < row["duration_s"]
    assert row["duty_cycle"] == pytest.approx(row["beam_on_s"] / row["duration_s"])
    assert row["holds"] == 1


def test_a_torn_log_and_a_foreign_file_are_told_in_one_sentence(folder: Path) -> None:
    assert told(review_work.summary, "sessions/today/torn.mcap", folder)["remark"].startswith("torn: torn.mcap ends")
    with pytest.raises(SessionError, match=r"foreign\.mcap is no session log"):
        review_work.summary("sessions/foreign.mcap", [folder])


@pytest.mark.parametrize(
    "name", ["outside.mcap", "sessions/../outside.mcap", "sessions/link.mcap", "/etc/passwd", "", "sessions/notes.txt"]
)
@pytest.mark.parametrize("work", [review_work.summary, review_work.film, review_work.report])
def test_nothing_outside_the_folder_is_read(work, name: str, folder: Path) -> None:
    with pytest.raises(WorkError, match="there is none of that name"):
        work(name, [folder])
