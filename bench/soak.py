"""The product's processes under load for minutes: latency tail, memory, threads, descriptors, missed deadlines."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import zmq
from hdrh.histogram import HdrHistogram
from msgspec import to_builtins

from bench.growth import growth
from bench.load import loaded
from bench.results import DIGITS, LONGEST_US
from bench.stalls import Stalls, watched
from cinegate.verbs.options import load_targets
from gating.latency.budgets import Budgets
from gating.latency.stages import stage_ms
from gating.messages import BeamStatus, GateCommand, Heartbeat
from gating.service.pipeline import Session
from gating.service.recorder import QUEUE_MESSAGES
from gating.settings.config import Config
from gating.targets.target_file import write_targets
from gating.wire.codec import WireError, decode
from gating.wire.sockets import BURST_MESSAGES, receive, subscribe
from replay_data import demo_recording

WARM_S: Final = 3.0
"""Time that does not count: reference, arming, first growth of buffers."""
SLICES: Final = 20
MEMORY_EVERY_S: Final = 0.5
QUEUED: Final = {"record": QUEUE_MESSAGES, "engine": BURST_MESSAGES}
"""Frames that wait in a process whose loop stands still; its memory may rise by so much once, and stay there."""
REMEMBERED: Final = 1000
MOST_MISSES: Final = 100
"""Number of misses that are reported one by one."""
PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class _Miss:
    """A frame that missed its deadline."""

    command: GateCommand
    received_ns: int

    def described(self, tally: _Tally, stalls: Stalls) -> dict[str, Any]:
        """Return when, how late, where in the pipeline, and whether stalls of the machine explain it."""
        stamps = self.command.stamps
        published_ns = stamps.published_ns
        loop_ms, stalled_ms = (self.received_ns - published_ns) / 1e6, stalls.within_ms(published_ns, self.received_ns)
        stages = {stage: took_ms for stage, took_ms in stage_ms(stamps).items() if stage != "engine"}
        stages["to_beam"] = loop_ms - sum(stages.values())
        return {
            "frame": self.command.frame_sequence,
            "minute": round((published_ns - tally.began_ns) / 6e10, 3),
            "loop_ms": round(loop_ms, 3),
            "stages_ms": {stage: round(took_ms, 3) for stage, took_ms in stages.items()},
            "stalled_ms": round(stalled_ms, 3),
            "explained": stalled_ms >= loop_ms - tally.deadline_ms,
        }


@dataclass
class _Tally:
    """Summary of the messages in constant memory: counts, histograms by slice of time, and missed deadlines."""

    deadline_ms: float
    minutes: float
    began_ns: int
    whole: HdrHistogram = field(default_factory=lambda: HdrHistogram(1, LONGEST_US, DIGITS))
    slices: list[HdrHistogram] = field(
        default_factory=lambda: [HdrHistogram(1, LONGEST_US, DIGITS) for _ in range(SLICES)]
    )
    stages: dict[str, HdrHistogram] = field(default_factory=dict)
    commands: dict[int, GateCommand] = field(default_factory=dict)
    received_ns: dict[int, int] = field(default_factory=dict)
    missed: list[_Miss] = field(default_factory=list)
    first_sequence: int = -1
    last_sequence: int = -1
    counters: dict[str, int] = field(default_factory=dict)
    skipped_before: int = -1

    def add(self, message: object) -> None:
        if isinstance(message, GateCommand) and not message.renewal and message.stamps.published_ns:
            if message.frame_sequence > self.last_sequence and message.stamps.published_ns >= self.began_ns:
                self.commands[message.frame_sequence] = message
                self.first_sequence = self.first_sequence if self.first_sequence >= 0 else message.frame_sequence
                self.last_sequence = message.frame_sequence
                for stage, took_ms in stage_ms(message.stamps).items():
                    histogram = self.stages.setdefault(stage, HdrHistogram(1, LONGEST_US, DIGITS))
                    histogram.record_value(max(1, round(1e3 * took_ms)))
        elif isinstance(message, BeamStatus) and not message.renewal:
            self.received_ns.setdefault(message.frame_sequence, message.command_received_ns)
        elif isinstance(message, Heartbeat) and message.role == "engine":
            self.counters = message.counters
            if self.skipped_before < 0:
                self.skipped_before = message.counters["skipped"]

    def join(self) -> None:
        """Join the messages of engine and beam interface about each frame; either may come first."""
        for sequence in self.commands.keys() & self.received_ns.keys():
            self._count(self.commands.pop(sequence), self.received_ns[sequence])
        for sequence in [known for known in self.received_ns if known < self.last_sequence - REMEMBERED]:
            del self.received_ns[sequence]

    def _count(self, command: GateCommand, received_ns: int) -> None:
        published_ns = command.stamps.published_ns
        took_us = max(1, (received_ns - published_ns) // 1000)
        self.whole.record_value(took_us)
        slot = int((published_ns - self.began_ns) / 6e10 / self.minutes * SLICES)
        self.slices[min(SLICES - 1, slot)].record_value(took_us)
        if took_us / 1e3 > self.deadline_ms:
            self.missed.append(_Miss(command, received_ns))


def run_soak(
    minutes: float,
    rate_hz: float,
    config: Config,
    budgets: Budgets,
    *,
    load: bool = True,
    second: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Run the four processes under load; return the result.

    Parameters
    ----------
    minutes
        Duration, without the start.
    rate_hz
        Frames per second. The bundled recording is played at the speed that gives this rate.
    second
        Called after every second of the duration.

    Raises
    ------
    PipelineError
        If a process ends before its time.
    """
    from drivers.recordings import open_recording

    recording = open_recording(demo_recording())
    speed = rate_hz * recording.nominal_interval_ns / 1e9
    with tempfile.TemporaryDirectory(prefix="cinegate-soak-") as name, ExitStack() as stack:
        folder = Path(name)
        session = Session(config, "soak", folder)
        write_targets(folder / "targets.json", load_targets(recording, None, None))
        stack.callback(session.stop)
        session.start("beam")
        session.start("record", str(folder / "soak.mcap"))
        session.start("engine", "--target", str(folder / "targets.json"), "--arm-by-itself")
        session.start("source", str(demo_recording()), "--speed", f"{speed:g}", "--loop", "--subscribers", "2")
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        stack.callback(context.destroy, 0)
        ends = session.config.endpoints
        messages = subscribe(context, ends.gate, ends.beam, ends.telemetry)
        _wait_for_frames(session, messages)
        what = stack.enter_context(loaded(folder, cores=len(os.sched_getaffinity(0)))) if load else "none"
        with watched(folder) as stalls:
            time.sleep(WARM_S)
            tally = _Tally(budgets.deadline.at_rate(rate_hz), minutes, time.monotonic_ns())
            held = _listen(session, messages, tally, minutes, second)
        about = {"minutes": minutes, "rate_hz": rate_hz, "load": what}
        return _result(tally, held, stalls, budgets, about, recording.frames[0].nbytes / 2**20)


def _wait_for_frames(session: Session, messages: zmq.Socket[bytes]) -> None:
    for message in session.messages(until="source"):
        if isinstance(message, GateCommand) and message.frame_sequence > 0:
            break
    while receive(messages) is not None:
        pass


def _listen(
    session: Session, messages: zmq.Socket[bytes], tally: _Tally, minutes: float, second: Callable[[], None]
) -> dict[str, _Held]:
    """Read messages until the time is over; return what each process held over time."""
    held = {role: _Held() for role in session.processes}
    end = time.monotonic() + 60 * minutes
    memory_due, second_due = 0.0, time.monotonic() + 1
    while (now := time.monotonic()) < end:
        time.sleep(0.05)
        while (parts := receive(messages)) is not None:
            try:
                tally.add(decode(parts))
            except WireError:
                continue
        tally.join()
        if now >= second_due:
            second_due += 1
            second()
        if now >= memory_due:
            memory_due = now + MEMORY_EVERY_S
            session.check()
            for role, process in session.processes.items():
                held[role].measure(process.pid)
    return held


@dataclass(frozen=True)
class _Held:
    """What one process held over time."""

    memory_mb: list[float] = field(default_factory=list)
    threads: list[float] = field(default_factory=list)
    descriptors: list[float] = field(default_factory=list)

    def measure(self, process_id: int) -> None:
        self.memory_mb.append(resident_mb(process_id))
        self.threads.append(entries(process_id, "task"))
        self.descriptors.append(entries(process_id, "fd"))


def entries(process_id: int, folder: str) -> float:
    try:
        return len(os.listdir(f"/proc/{process_id}/{folder}"))  # noqa: PTH208 - names alone, four times a second
    except OSError:
        return float("nan")


def resident_mb(process_id: int) -> float:
    try:
        fields = Path(f"/proc/{process_id}/statm").read_text(encoding="ascii").split()
    except OSError:
        return float("nan")
    return int(fields[1]) * PAGE / 2**20


def _result(
    tally: _Tally, held: dict[str, _Held], stalls: Stalls, budgets: Budgets, about: dict[str, Any], frame_mb: float
) -> dict[str, Any]:
    tally.join()
    misses = [miss.described(tally, stalls) for miss in tally.missed]
    explained = sum(miss["explained"] for miss in misses)
    grown = {role: growth(one.memory_mb, about["minutes"]) for role, one in held.items()}
    counts = {
        kind: {role: growth(getattr(one, kind), about["minutes"]) for role, one in held.items()}
        for kind in ("threads", "descriptors")
    }
    decided = tally.whole.get_total_count()
    skipped = tally.counters.get("skipped", 0) - tally.skipped_before
    limit = budgets.long_run.memory_growth_percent
    flat = about["minutes"] < 1.5 or all(one.flat(limit, QUEUED.get(role, 0) * frame_mb) for role, one in grown.items())
    flat &= all(one.last <= one.settled for kind in counts.values() for one in kind.values())
    return {
        **about,
        "deadline_ms": tally.deadline_ms,
        "decided": decided,
        "skipped": skipped,
        "missed": len(misses),
        "missed_explained": explained,
        "missed_unexplained": len(misses) - explained,
        "misses": misses[:MOST_MISSES],
        "over_budget": tally.counters.get("over_budget", 0),
        "loop_ms": _tail(tally.whole),
        "stages": {stage: _tail(histogram) for stage, histogram in tally.stages.items()},
        "over_time": [
            {"minute": round((k + 0.5) * about["minutes"] / SLICES, 3), **_tail(one)}
            for k, one in enumerate(tally.slices)
            if one.get_total_count()
        ],
        "memory_mb": to_builtins(grown),
        **{kind: to_builtins(by_role) for kind, by_role in counts.items()},
        "stalls": {
            "n": len(stalls.intervals_ns),
            "longest_ms": round(stalls.longest_ms, 2),
            "real_time_priority": stalls.permitted,
        },
        "passed": decided > 0 and skipped == 0 and len(misses) == explained and flat,
    }


def _tail(histogram: HdrHistogram) -> dict[str, float]:
    shares = {"p50": 50.0, "p99": 99.0, "p999": 99.9, "max": 100.0}
    return {name: round(histogram.get_value_at_percentile(share) / 1e3, 3) for name, share in shares.items()}
