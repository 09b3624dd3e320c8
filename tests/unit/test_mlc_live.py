"""The live bench of machines that follow: a pause of this machine spoils a disturbance, and a failure ends the run."""

from __future__ import annotations

import time

import pytest

from bench.mlc_live import disturb_all
from bench.mlc_scene import Disturbance
from bench.pauses import Pauses
from gating.service.pipeline import PipelineError


class ScriptedScene:
    """Disturbances that go as a script says: well, or with a pause, after which nothing may be followed any more."""

    def __init__(self, *script: str) -> None:
        self.script, self.begun, self.paused = list(script), 0, False

    def begin(self) -> None:
        self.begun += 1

    def disturb(self, kind: str, role: str) -> Disturbance:
        goes = self.script.pop(0) if self.script else "well"
        self.paused = "paused" in goes
        if "ended" in goes:
            raise PipelineError("nothing was followed for 90 s: latched")
        return Disturbance(kind, role, 0, 1)

    def longest_ms(self, since_ns: int) -> float:
        return 150.0 if self.paused else 0.0


def disturbed(scene: ScriptedScene):
    return disturb_all(scene, scene, 2, lambda _: None)


def test_a_disturbance_spoilt_by_a_pause_is_repeated_and_counted():
    done, pauses = disturbed(ScriptedScene("well", "paused"))
    assert [(one.kind, one.role) for one in done] == [
        ("stop", "positions"), ("kill", "positions"), ("stop", "engine"), ("kill", "follow"),
    ]  # fmt: skip
    assert pauses == {"repeated": 1, "sessions_ended": 0, "longest_ms": 150.0}


def test_a_session_that_a_pause_ended_is_begun_anew():
    scene = ScriptedScene("well", "paused, ended")
    done, pauses = disturbed(scene)
    assert (len(done), scene.begun) == (4, 1)
    assert pauses == {"repeated": 1, "sessions_ended": 1, "longest_ms": 150.0}


def test_a_session_that_ends_although_nothing_paused_ends_the_run():
    with pytest.raises(PipelineError, match="latched"):
        disturbed(ScriptedScene("well", "ended"))


def test_a_machine_that_pauses_all_the_time_ends_the_run():
    with pytest.raises(PipelineError, match="paused in 5 disturbances, and not in 0"):
        disturbed(ScriptedScene(*["paused"] * 9))


def test_a_pause_is_noticed_and_counts_from_when_it_ended(monkeypatch):
    """A thread that should have slept 5 ms was not run for 60."""
    sleep, begin_ns = time.sleep, time.monotonic_ns()
    monkeypatch.setattr("bench.pauses.time.sleep", lambda seconds: sleep(seconds + 0.06))
    with Pauses(20.0) as pauses:
        sleep(0.1)
    assert pauses.longest_ms(begin_ns) >= 55.0
    assert pauses.longest_ms(time.monotonic_ns()) == 0.0
