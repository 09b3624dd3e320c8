"""The examples, each run as a user would; and the trackers that a site registers."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from gating.tracking import registry
from gating.tracking.tracker import TrackerSettings, TrackingError

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))
SAID = {
    "01_gate_a_recording": "on    in_window",
    "02_gate_arrays": "beam on in 17 of 80 frames",
    "03_track_and_score": "dice_similarity_coefficient: 0.9",
    "04_read_a_session": "gate on in 69 % of the frames; report: ",
    "05_live_session": "arm by physicist: armed",
    "06_own_tracker": "OurTracker: centre error 0.80 mm",
}


def run(installed: Path, folder: Path, *command: object) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        env=os.environ | {"PYTHONPATH": f"{installed}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_says_what_it_shows(example: Path, installed: Path, tmp_path: Path) -> None:
    assert SAID[example.stem] in run(installed, tmp_path, example)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_listed(example: Path) -> None:
    lines = example.read_text().splitlines()
    assert len(lines) <= 30
    assert lines[0].startswith('"""')
    assert f"({example.name})" in (ROOT / "examples" / "README.md").read_text()


def test_there_are_six_examples() -> None:
    assert [path.stem for path in EXAMPLES] == list(SAID)


def test_a_sites_tracker_is_found_by_its_name(installed: Path, tmp_path: Path) -> None:
    recording, table = ROOT / "replay_data" / "free_breathing.npz", tmp_path / "track.csv"
    run(installed, tmp_path, "-m", "cinegate", "track", recording, "--tracker", "our_tracker", "--out", table)
    rows = table.read_text().splitlines()
    assert sum(",tracked," in row for row in rows) > 150
    assert "our_tracker" in run(installed, tmp_path, "-m", "cinegate", "drivers", "--json")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        pytest.param(
            ["nowhere:Tracker"],
            r"'ours' \(nowhere:Tracker\) cannot be loaded: No module named 'nowhere'",
            id="no such module",
        ),
        pytest.param(
            ["builtins:repr"], "'ours' makes a str; its warm_up, set_reference and track are needed", id="no tracker"
        ),
        pytest.param(
            ["one:A", "other:B"],
            "'ours' is offered by one:A and other:B; one must go or be renamed",
            id="offered twice",
        ),
        ([], "'ours' is unknown; known are opencv, rigid, template"),
    ],
    ids=["missing", "no_tracker", "twice", "unknown"],
)
def test_a_tracker_that_cannot_be_used_is_refused(values: list[str], words: str, monkeypatch) -> None:
    points = [EntryPoint("ours", value, registry.ENTRY_POINT_GROUP) for value in values]
    monkeypatch.setattr(registry, "entry_points", lambda *, group, name=None: points if name else [])
    with pytest.raises(TrackingError, match=words):
        registry.make_tracker("ours", TrackerSettings())
