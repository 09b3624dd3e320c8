"""Verification follows an engine that held because of an undeclared stream, or of another session's messages."""

from __future__ import annotations

import pytest

from gating.analysis.verification import verify_session
from gating.clocks.clock import ManualClock
from gating.engine.engine import Engine
from gating.engine.peers import OfflinePeers
from gating.latency.budgets import load_budgets
from gating.messages import SessionHeader, StreamEnd
from gating.session.log_writer import SessionWriter
from gating.settings.config import config_hash, parse_config, to_toml
from gating.targets.targets import TargetSpec
from gating.tracking.registry import make_tracker
from gating.wire.codec import encode, encode_frame
from tests import engine_bench
from tests.engine_bench import BOX
from tests.factories import INTERVAL_NS, START_NS, frame, stream

CONFIG = parse_config(to_toml(engine_bench.CONFIG), "as a log holds it")
MS = 1_000_000


class LoggedEngine:
    """An engine that arms by itself, on a manual clock, and the log of what it hears and says."""

    def __init__(self, path):
        self.clock = ManualClock(START_NS)
        self.engine = Engine(
            CONFIG,
            [TargetSpec("target", BOX)],
            lambda: make_tracker(CONFIG.tracker, CONFIG.tracking),
            self.clock,
            "s1",
            "e1",
            peers=OfflinePeers(),
            arm_by_itself=True,
            budget=load_budgets().decision,
        )
        self.writer = SessionWriter(path, "s1", "manual")
        self.writer.open()
        header = {"started_at": "", "versions": {}, "tracker": CONFIG.tracker, "clock": "manual"}
        settings = {"config_toml": to_toml(CONFIG), "config_hash": config_hash(CONFIG)}
        self.log(SessionHeader(session_id="s1", engine_id="e1", **header, **settings))
        self.log(self.engine.tick().command)
        self.engine.warm_up()

    def log(self, *messages):
        for message in messages:
            self.writer.write(encode(message), self.clock.now_ns())

    def declare(self, **overrides):
        self.clock.advance_ms(1)
        self.log(stream(**overrides), *self.engine.open_stream(stream(**overrides)))
        self.clock.advance_ms(1)
        self.log(self.engine.tick().command)

    def end(self, **overrides):
        self.clock.advance_ms(1)
        ending = StreamEnd(**{"session_id": "s1", "source": "test", "frames_published": 1, "why": "over"} | overrides)
        outcome = self.engine.close_stream(ending)
        self.log(ending, *outcome.messages, outcome.command)

    def frames(self, first, count):
        for sequence in range(first, first + count):
            self.clock.advance_to(START_NS + sequence * INTERVAL_NS + 10 * MS)
            sent = frame(sequence)
            self.writer.write(encode_frame(sent), self.clock.now_ns())
            outcome = self.engine.step(sent, self.clock.now_ns())
            self.log(outcome.command, *self.engine.finish_frame(), *outcome.messages)

    def verified(self):
        self.writer.close()
        return verify_session(self.writer.path)


@pytest.fixture
def logged(tmp_path):
    return LoggedEngine(tmp_path / "s1.mcap")


def is_the_same(found):
    assert (found.first_difference, found.differences) == ("", 0)
    assert found.frames == 12


def test_frames_before_the_declaration_are_held_again(logged):
    logged.frames(0, 3)
    logged.declare()
    logged.frames(3, 9)
    is_the_same(logged.verified())


def test_a_declaration_of_another_session_latches_again(logged):
    logged.declare()
    logged.frames(0, 10)
    logged.declare(session_id="s2")
    logged.frames(10, 2)
    is_the_same(logged.verified())


def test_the_end_of_another_session_latches_again(logged):
    logged.declare()
    logged.frames(0, 10)
    logged.end(session_id="s2")
    logged.frames(10, 2)
    is_the_same(logged.verified())


def test_a_foreign_declaration_is_not_taken_for_the_own_one(logged):
    logged.log(stream(session_id="s2", source="another"))
    logged.declare()
    logged.frames(0, 12)
    is_the_same(logged.verified())
