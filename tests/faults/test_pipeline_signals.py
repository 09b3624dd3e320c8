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


def test_beam_is_off_within_the_lease_of_a_killed_engine(still_recording):
    off_ms, _ = off_after_ms(still_recording, BOX, "engine", signal.SIGKILL)
    assert off_ms <= LEASE_MS + TOLERANCE_MS


@pytest.fixture(scope="module")
def lost(still_recording) -> tuple[dict[tuple[str, int], float], float]:
    """How long the beam stayed on after a process was stopped or killed in one session, and the stale limit, ms."""
    signals = (("engine", signal.SIGSTOP), ("source", signal.SIGSTOP), ("source", signal.SIGKILL))
    while True:
        with live_pipeline(still_recording, BOX) as pipeline, suppress(AlreadyOffError):
            off_ms = {}
            for role, number in signals:
                off_ms[role, int(number)] = pipeline.off_after_ms(role, number)
                if number is signal.SIGSTOP:
                    pipeline.session.processes[role].send_signal(signal.SIGCONT)
                    pipeline.wait_for(GateState.ON, timeout_s=10)  # it comes back by itself
            return off_ms, pipeline.stale_ms


def test_beam_is_off_within_the_lease_of_a_frozen_engine(lost):
    off_ms, _ = lost
    assert off_ms["engine", signal.SIGSTOP] <= LEASE_MS + TOLERANCE_MS


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_beam_is_off_within_the_stale_limit_of_a_lost_source(lost, number):
    off_ms, stale_ms = lost
    assert off_ms["source", number] <= stale_ms + TOLERANCE_MS
