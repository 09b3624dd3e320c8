"""An engine on a manual clock, and the log of what it hears and says."""

from __future__ import annotations

from gating.analysis.verification import verify_session
from gating.clocks.clock import ManualClock
from gating.engine.engine import Engine
from gating.engine.peers import OfflinePeers
from gating.latency.budgets import load_budgets
from gating.messages import ControlRequest, SessionHeader, SourceKind, StreamEnd, TargetReference
from gating.session.log_writer import SessionWriter
from gating.settings.config import config_hash, parse_past_config, to_toml
from gating.targets.spec import TargetSpec
from gating.tracking.registry import make_tracker
from gating.wire.codec import encode, encode_frame
from tests import engine_bench
from tests.engine_bench import BOX
from tests.factories import INTERVAL_NS, START_NS, anatomy, frame, stream

CONFIG = parse_past_config(to_toml(engine_bench.CONFIG), "as a log holds it")
MS = 1_000_000


class LoggedEngine:
    """An engine and its log; a live one must be armed, any other arms by itself."""

    def __init__(self, path, *, target=None, kind=SourceKind.REPLAY, shift=0.0, requires_binding=True):
        self.kind, self.shift = kind, shift
        self.clock = ManualClock(START_NS)
        self.writer = SessionWriter(path, "s1", "manual")
        self.writer.open()
        self.begin("e1", target, requires_binding=requires_binding)

    def begin(self, engine_id, target=None, *, requires_binding=True):
        """Begin with a new engine."""
        self.engine = Engine(
            CONFIG,
            [target or TargetSpec("target", BOX)],
            lambda: make_tracker(CONFIG.tracker, CONFIG.tracking),
            self.clock,
            "s1",
            engine_id,
            peers=OfflinePeers(),
            arm_by_itself=True,
            budget=load_budgets().decision,
            requires_binding=requires_binding,
        )
        header = {"started_at": "", "versions": {}, "tracker": CONFIG.tracker, "clock": "manual"}
        settings = {"config_toml": to_toml(CONFIG), "config_hash": config_hash(CONFIG)}
        self.log(SessionHeader(session_id="s1", engine_id=engine_id, **header, **settings))
        self.log(self.engine.tick().command)
        self.engine.warm_up()

    def log(self, *messages):
        for message in messages:
            self.writer.write(encode(message), self.clock.now_ns())

    def declare(self, **overrides):
        self.clock.advance_ms(1)
        declared = stream(**{"source_kind": self.kind} | overrides)
        self.log(declared, *self.engine.open_stream(declared))
        self.clock.advance_ms(1)
        self.log(self.engine.tick().command)

    def end(self, **overrides):
        self.clock.advance_ms(1)
        ending = StreamEnd(**{"session_id": "s1", "source": "test", "frames_published": 1, "why": "over"} | overrides)
        outcome = self.engine.close_stream(ending)
        self.log(ending, *outcome.messages, outcome.command)

    def frames(self, first, count, **overrides):
        for sequence in range(first, first + count):
            self.clock.advance_to(START_NS + sequence * INTERVAL_NS + 10 * MS)
            sent = frame(sequence, anatomy(seed=sequence, shift=self.shift), source_kind=self.kind, **overrides)
            self.writer.write(encode_frame(sent), self.clock.now_ns())
            outcome = self.engine.step(sent, self.clock.now_ns())
            finished = self.engine.finish_frame()
            if any(isinstance(message, TargetReference) for message in finished):
                self.log_images()
            self.log(outcome.command, *finished, *outcome.messages)

    def log_images(self):
        for image in self.engine.images:
            self.writer.write(encode_frame(image), self.clock.now_ns())

    def ask(self, action):
        self.clock.advance_ms(1)
        reply, events = self.engine.control(ControlRequest(session_id="s1", action=action, operator="dr_who"))
        self.log(reply, *events)
        self.clock.advance_ms(1)
        self.log(self.engine.tick().command)
        return reply

    def verified(self):
        self.writer.close()
        return verify_session(self.writer.path)
