"""Session logs in which nothing is missing, made in this process: frames, commands, states of a beam, an end."""

from __future__ import annotations

from pathlib import Path

from gating.decision.reasons import GateReason
from gating.messages import GateCommand
from tests.factories import beam_status
from tests.logged_engine import LoggedEngine

AWAY_PX = 4.0


class WholeLog(LoggedEngine):
    """An engine and its log, in which a beam interface answers every command."""

    states = 0

    def log(self, *messages):
        super().log(*messages)
        for message in messages:
            if isinstance(message, GateCommand):
                super().log(self.answer(message))

    def answer(self, command):
        self.states += 1
        number = {"engine_id": command.engine_id, "command_sequence": command.command_sequence}
        sent = {"status_sequence": self.states, "command_sent_ns": command.stamps.sent_ns}
        obeyed = {"commanded": command.state, "confirmed": command.state, "sent_ns": self.clock.now_ns()}
        return beam_status(**number, **sent, **obeyed)


def write_log(path: Path, *, near: int = 20, away: int = 10) -> Path:
    """Write a log in which the target lies in its boundary, then `AWAY_PX` away, then in it again."""
    engine = WholeLog(path)
    engine.declare()
    engine.frames(0, near)
    engine.shift = AWAY_PX
    engine.frames(near, away)
    engine.shift = 0.0
    engine.frames(near + away, 5)
    engine.clock.advance_ms(1)
    engine.log(engine.engine.stop(GateReason.STOPPING))
    engine.writer.close()
    return path
