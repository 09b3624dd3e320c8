"""Whole sessions in real processes: what a dead or frozen process does to the beam."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path

import pytest

from gating.messages import GateState
from tests.faults.pipeline import (
    LEASE_MS,
    TOLERANCE_MS,
    AlreadyOffError,
    live_pipeline,
    off_after_ms,
    write_still_recording,
)
from tests.faults.pipeline import STILL_BOX as BOX

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def still_recording(tmp_path_factory) -> Path:
    return write_still_recording(tmp_path_factory.mktemp("still") / "still.npz")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_beam_is_off_within_the_lease_of_a_lost_engine(still_recording, number):
    off_ms, _ = off_after_ms(still_recording, BOX, "engine", number)
    assert off_ms <= LEASE_MS + TOLERANCE_MS


@pytest.fixture(scope="module")
def lost_source(still_recording) -> tuple[dict[int, float], float]:
    """How long the beam stayed on after the source was stopped and then killed, and the stale limit, ms."""
    while True:
        with live_pipeline(still_recording, BOX) as pipeline, suppress(AlreadyOffError):
            source = pipeline.session.processes["source"]
            stopped_ms = pipeline.off_after_ms("source", signal.SIGSTOP)
            source.send_signal(signal.SIGCONT)
            pipeline.wait_for(GateState.ON, timeout_s=10)  # it comes back by itself
            return {
                signal.SIGSTOP: stopped_ms,
                signal.SIGKILL: pipeline.off_after_ms("source", signal.SIGKILL),
            }, pipeline.stale_ms


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_beam_is_off_within_the_stale_limit_of_a_lost_source(lost_source, number):
    off_ms, stale_ms = lost_source
    assert off_ms[number] <= stale_ms + TOLERANCE_MS
