"""A recorder that comes late: the engine leaves the frames waiting for it, so that the log lacks no decision."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gating.analysis.verification import verify_session
from gating.messages import GateState
from gating.settings.config import Config, RecordingSettings
from tests.faults.pipeline import STILL_BOX, live_pipeline, write_still_recording

pytestmark = pytest.mark.deadlines
RECORDED = Config(recording=RecordingSettings(required=True))


def test_decisions_wait_for_a_late_recorder(tmp_path: Path) -> None:
    log = tmp_path / "log.mcap"
    with live_pipeline(write_still_recording(tmp_path / "still.npz", frames=80), STILL_BOX, RECORDED) as pipeline:
        pipeline.wait_for(GateState.HOLD)  # its beam interface and source are there
        time.sleep(3.0)
        pipeline.session.start("record", str(log))
        pipeline.wait_for(GateState.ON)
        pipeline.session.stop()
    found = verify_session(log)
    assert (found.differences, found.first_difference) == (0, "")
    assert found.frames > 3
