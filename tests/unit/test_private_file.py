"""What shows a patient's images or positions is readable by its owner alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cinegate.verbs.latency import latency
from gating.analysis.export import write_figures_json, write_motion_csv
from gating.analysis.whatif import write_csv
from gating.evaluation.masks import write_masks
from gating.report.html import write_html
from gating.report.whatif_page import write_whatif_page
from gating.settings.config import Config
from gating.settings.private_file import private_file
from tests.unit.session_bench import write_session


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "new"
    private_file(path).write_text("x")
    assert mode(path) == 0o600


def test_a_file_that_others_could_read_becomes_private(tmp_path: Path) -> None:
    path = tmp_path / "old"
    path.write_text("x")
    path.chmod(0o644)
    assert mode(private_file(path)) == 0o600


def test_a_file_is_emptied_only_by_who_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "old"
    path.write_text("x")
    assert private_file(path).read_text() == "x"


def test_what_is_no_file_keeps_its_mode(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o644)
    assert mode(private_file(tmp_path / "pipe")) == 0o644


def test_the_report_of_a_session_is_private(tmp_path: Path) -> None:
    write_html(write_session(tmp_path / "s1.mcap"), tmp_path / "s1.html")
    assert mode(tmp_path / "s1.html") == 0o600


def test_the_page_of_latencies_is_private(tmp_path: Path) -> None:
    latency(out=tmp_path / "page.html", rate_hz=8.0)
    assert mode(tmp_path / "page.html") == 0o600


def test_exported_motion_and_figures_are_private(tmp_path: Path) -> None:
    write_motion_csv(tmp_path / "motion.csv", [], "HFS")
    write_figures_json(tmp_path / "figures.json", [])
    assert {mode(path) for path in tmp_path.iterdir()} == {0o600}


def test_table_and_plot_of_whatif_are_private(tmp_path: Path) -> None:
    write_csv(tmp_path / "whatif.csv", [])
    write_whatif_page(tmp_path / "whatif.html", [], Config())
    assert {mode(path) for path in tmp_path.iterdir()} == {0o600}


def test_masks_are_private(tmp_path: Path) -> None:
    write_masks(tmp_path / "masks.mha", np.zeros((2, 4, 4), bool), (1.0, 1.0))
    assert mode(tmp_path / "masks.mha") == 0o600
