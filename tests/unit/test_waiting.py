"""How long a source waits for its peer: as long as it is told."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cinegate.verbs import register_verbs
from cinegate.verbs.app import app
from drivers.sources.waiting import wait_ends_s

register_verbs()


def test_a_wait_of_zero_never_ends(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "cinegate")
    assert wait_ends_s(0, "the scanner") == math.inf
    assert caplog.messages == ["waits for the scanner, for ever"]


def test_a_source_process_waits_as_long_as_it_is_told(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["source", "unity", "-o", f"folder={tmp_path}", "--wait-s", "0.1"])
    assert "0 frames came within 0.1 s; 4 are needed" in str(ended.exception)


def test_a_recording_is_not_waited_for() -> None:
    refused = CliRunner().invoke(app, ["source", "case.npz", "--wait-s", "1"])
    assert "case.npz" in str(refused.exception)
