"""The live table of a session: what the engine and the beam interface said last, and how long it will take still."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from gating.messages import (
    ARRIVAL_TIME,
    ARRIVAL_TIME_MEANS,
    ASSUMED_CLOCK,
    ASSUMED_TIME_MEANS,
    BeamStatus,
    Event,
    GateCommand,
    GateState,
    Message,
    SessionHeader,
    StreamInfo,
    TargetEstimate,
    TargetReference,
)
from gating.settings.config import Config
from gating.settings.rules import BreathHoldRule
from gating.targets.breath_hold import BreathHold
from gating.targets.observation import TargetObservation


def breath_hold_guide(config: Config) -> BreathHold | None:
    """Return what follows the patient's breath-hold, where the settings have a rule for it."""
    rule = next((rule for rule in config.gating.rules if isinstance(rule, BreathHoldRule)), None)
    return None if rule is None else BreathHold(rule)


@dataclass
class Screen:
    """The live table: what the engine and the beam interface said last."""

    name: str
    frames: int | None
    """Of the recording; None for a live source."""
    estimate: TargetEstimate | None = None
    command: GateCommand | None = None
    beam: BeamStatus | None = None
    event: str = ""
    arrival_time: bool = False
    times_assumed: bool = False
    overrides: Sequence[str] = ()
    """Settings that disarm a safeguard, each with its reason."""
    decided: int = 0
    beam_on: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    guide: BreathHold | None = None
    """Follows the breath-hold beside the engine, for the patient's guidance."""
    reference: TargetReference | None = None
    first: GateCommand | None = None
    """On the first frame, from which the rate is counted."""

    def hear(self, message: Message) -> None:
        """Take one message of the session."""
        match message:
            case TargetEstimate():
                self.estimate = message
                self.decided += 1
                self.beam_on += message.gate is GateState.ON
                self.reasons[message.reason] += 1
                self._follow_hold(message)
            case StreamInfo():
                self.times_assumed = message.acquired_clock == ASSUMED_CLOCK
            case SessionHeader():
                self.overrides = message.overrides
            case TargetReference():
                self.reference = self.reference or message
            case GateCommand():
                self.command = message
                self._follow_frames(message)
            case BeamStatus():
                self.beam = message
            case Event():
                self.event = message.text
                self.arrival_time = self.arrival_time or message.code == ARRIVAL_TIME
            case _:
                pass

    def _follow_frames(self, command: GateCommand) -> None:
        if command.frame_sequence >= 0 and command.stamps.published_ns > 0:
            self.first = self.first or command

    def _left_s(self) -> float | None:
        """Return how long the rest of the recording takes at the rate so far; None where that is not known."""
        first, last = self.first, self.command
        if self.frames is None or first is None or last is None or not last.frame_sequence > first.frame_sequence:
            return None
        taken_ns = last.stamps.published_ns - first.stamps.published_ns
        frame_ns = taken_ns / (last.frame_sequence - first.frame_sequence)
        return max(0.0, frame_ns * (self.frames - 1 - last.frame_sequence) / 1e9)

    def _follow_hold(self, seen: TargetEstimate) -> None:
        if self.guide is None or self.reference is None or seen.target != self.reference.target:
            return
        lr, ap, si = np.subtract(seen.position_mm, self.reference.centre_mm).tolist()
        away_mm = (lr, ap, si) if seen.status == "tracked" else (np.nan, np.nan, np.nan)
        self.guide.update(TargetObservation(seen.acquired_ns, np.empty((0, 2), np.float32), away_mm))

    def table(self) -> Table:
        """Return what is shown."""
        table = Table(title=f"cinegate · {self.name} · research software, not a medical device", min_width=76)
        table.add_column("", style="dim", width=14)
        table.add_column("", min_width=58)
        for label, text in self.rows():
            table.add_row(label, text)
        return table

    def _progress(self) -> str:
        left_s = self._left_s()
        left = "" if left_s is None else f", {left_s:.0f} s left"
        return f"{self.decided}" if self.frames is None else f"{self.decided} of {self.frames}{left}"

    def rows(self) -> list[tuple[str, Any]]:
        """Return (label, text) of every line that has something to say."""
        command, beam, estimate = self.command, self.beam, self.estimate
        engine = "starting" if command is None else f"{command.engine_state} · source is a {command.source_kind}"
        rows: list[tuple[str, Any]] = [("engine", engine), ("frame", self._progress())]
        if self.arrival_time:
            rows.append(("stamps", Text(ARRIVAL_TIME_MEANS, style="red")))
        if self.times_assumed:
            rows.append(("times", Text(ASSUMED_TIME_MEANS, style="red")))
        rows += [("safeguard off", Text(sentence, style="red")) for sentence in self.overrides]
        if command is not None:
            colour = "green" if command.state is GateState.ON else "yellow"
            state = (f"{command.state.upper():5}", colour)
            rows.append(("gate", Text.assemble(state, f" {command.reason} {command.detail}")))
        if beam is not None:
            rows.append(("beam confirms", f"{beam.confirmed.upper()} ({beam.beam_kind} {beam.beam})"))
        if estimate is not None:
            lr, ap, si = estimate.position_mm
            rows.append(("target", f"SI {si:7.1f}  AP {ap:7.1f}  LR {lr:7.1f} mm · {estimate.status}"))
            rows.append(("confidence", f"{estimate.confidence:.2f} · {100 * estimate.target_out_fraction:.1f} % out"))
        if self.guide is not None and estimate is not None:
            hold = self.guide.state(estimate.acquired_ns)
            said = f"held for {hold.held_s:.0f} s, {hold.left_s:.0f} s left" if hold.held_s > 0 else "breathing"
            rows.append(("breath-hold", said))
        if self.decided:
            rows.append(("beam on", f"{100 * self.beam_on / self.decided:.0f} % of frames"))
        if self.event:
            rows.append(("last event", self.event))
        return rows
