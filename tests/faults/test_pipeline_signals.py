"""Whole sessions in real processes: what a dead or frozen process does to the beam."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.faults.pipeline import LEASE_MS, TOLERANCE_MS, live_pipeline, off_after_ms, write_still_recording
from tests.faults.pipeline import STILL_BOX as BOX

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def still_recording(tmp_path_factory) -> Path:
    return write_still_recording(tmp_path_factory.mktemp("still") / "still.npz")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_beam_is_off_within_the_lease_of_a_lost_engine(still_recording, number):
    off_ms, _ = off_after_ms(still_recording, BOX, "engine", number)
    assert off_ms <= LEASE_MS + TOLERANCE_MS


def test_beam_is_off_within_the_stale_limit_of_a_killed_source(still_recording):
    off_ms, stale_ms = off_after_ms(still_recording, BOX, "source", signal.SIGKILL)
    assert off_ms <= stale_ms + TOLERANCE_MS


def test_beam_returns_after_the_stale_limit_of_a_stopped_source(still_recording):
    off_ms, stale_ms = off_after_ms(still_recording, BOX, "source", signal.SIGSTOP, then_resume=True)
    assert off_ms <= stale_ms + TOLERANCE_MS


def test_a_beam_interface_asked_to_end_holds_first(still_recording):
    with live_pipeline(still_recording, BOX) as pipeline:
        assert pipeline.off_after_ms("beam", signal.SIGTERM) <= LEASE_MS
        assert pipeline.session.processes["beam"].wait(5) == 0
