"""The whole loop in real processes, side by side: cinegate, the same pipeline with OpenCV's match, and a bare relay.

One source process sends all three the same pictures in turns, frame by frame, over the same kind of socket. So each row
compares what one machine did within the same milliseconds.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
import zmq
from msgspec.structs import replace
from numpy.typing import NDArray

from bench.rotating_source import Plan
from gating.latency.stages import beam_ms, stage_ms
from gating.messages import BeamStatus, GateCommand
from gating.service.pipeline import PipelineError, Session
from gating.settings.config import Config
from gating.settings.host import ANY_CORE, HostSettings
from gating.settings.tracking import TrackerSettings
from gating.targets.spec import TargetSpec
from gating.targets.target_file import write_targets
from gating.wire.codec import decode
from gating.wire.security import secure, secure_process
from gating.wire.sockets import receive, subscribe
from replay_data import session_path

RECORDING: Final = "high_rate"
DRAIN_S: Final = 0.2
QUEUE: Final = 100_000
NOISE: Final = 0.01
SEARCH_RADIUS_MM: Final = 20.0
"""Search radius of every tracker here, above the 15 mm that the largest plausible speed (120 mm/s) covers in 125 ms."""
UINT16_GAIN: Final = 16

Transport = Literal["ipc", "tcp"]
BenchDtype = Literal["uint8", "uint16"]


def bench_config(tracker: str = "rigid") -> Config:
    """Return the settings of a benchmark: the defaults, with one search radius for every tracker."""
    return Config(tracker=tracker, tracking=TrackerSettings(search_radius_mm=SEARCH_RADIUS_MM))


def three_pipelines() -> dict[str, Config | None]:
    """Return the pipelines to compare: the bare relay, the rigid match, and the same with OpenCV's match."""
    return {"relay": None, "cinegate": bench_config("rigid"), "opencv": bench_config("opencv")}


@dataclass(frozen=True)
class Case:
    """One row of the benchmark."""

    transport: Transport
    rate_hz: float
    """0: back to back."""
    size_px: int
    dtype: BenchDtype
    frames: int

    @property
    def lead_in(self) -> int:
        """Number of frames before those that count, in which the reference is learned and the engine arms."""
        return max(16, round(0.4 * self.rate_hz)) if self.rate_hz > 0 else 100

    def __str__(self) -> str:
        rate = f"{self.rate_hz:g} frames/s" if self.rate_hz > 0 else "back to back"
        return f"{self.transport}, {rate}, {self.size_px}x{self.size_px} {self.dtype}"


@dataclass
class Samples:
    """Latencies of one pipeline by frame, ms; NaN for a frame without a command of its own."""

    loop_ms: NDArray[np.float64]
    stages_ms: dict[str, list[float]] = field(default_factory=dict)
    per_s: float = 0.0
    """Frames decided per second, back to back."""

    @property
    def answered(self) -> NDArray[np.float64]:
        """Latencies of the frames that got a command, ms."""
        kept: NDArray[np.float64] = self.loop_ms[np.isfinite(self.loop_ms)]
        return kept


def pictures(size_px: int, dtype: str) -> tuple[NDArray[Any], tuple[float, float], NDArray[np.float32]]:
    """Return the bundled recording resized: frames, (row, column) spacing in mm, target contour in the first frame.

    uint16 has 16 times the levels. Both dtypes get noise of 1 % of the range, without which resized pictures would be
    smoother than any scanner's.
    """
    import cv2

    with np.load(session_path(RECORDING)) as loaded:
        frames, spacing = loaded["frames"], loaded["pixel_spacing_mm"]
        contour = loaded["target_contour_px"][0]
    rows, columns = frames.shape[1:]
    gain, peak = (UINT16_GAIN, 65535) if dtype == "uint16" else (1, 255)
    rng = np.random.default_rng(7)
    resized = np.empty((len(frames), size_px, size_px), dtype)
    for frame, out in zip(frames, resized, strict=True):
        large = cv2.resize(frame.astype(np.float32), (size_px, size_px), interpolation=cv2.INTER_CUBIC)
        noisy = gain * (large + rng.normal(0, NOISE * 255, large.shape))
        out[...] = np.clip(np.rint(noisy), 0, peak)
    scale = np.array([size_px / columns, size_px / rows])
    spacing_mm = float(spacing[0] / scale[1]), float(spacing[1] / scale[0])
    return resized, spacing_mm, ((contour + 0.5) * scale - 0.5).astype(np.float32)


def target_speeds_mm_s() -> NDArray[np.float64]:
    """Return the speeds of the recording's target at its own rate, mm/s: true displacements over 0.25 s."""
    with np.load(session_path(RECORDING)) as loaded:
        at_mm = loaded["target_xy_px"] * loaded["pixel_spacing_mm"][::-1]
        t_s = loaded["t_s"]
    step = 15
    speeds: NDArray[np.float64] = np.linalg.norm(at_mm[step:] - at_mm[:-step], axis=1) / (t_s[step:] - t_s[:-step])
    return speeds


Beside = Callable[[Mapping[str, Session]], AbstractContextManager[object]]
"""What is done to the running pipelines while they are measured."""


def run_case(
    case: Case,
    pipelines: Mapping[str, Config | None] | None = None,
    beside: Beside = lambda _: nullcontext(),
) -> dict[str, Samples]:
    """Run one row, with all pipelines in turns; return the samples of each.

    Parameters
    ----------
    pipelines
        Settings by name; None stands for the bare relay. By default the three of the benchmark.
    beside
        Entered once all processes run, and left after the last frame.

    Raises
    ------
    PipelineError
        If a process ends before its time.
    """
    with tempfile.TemporaryDirectory(prefix="cinegate-bench-") as folder:
        frames, spacing_mm, contour = pictures(case.size_px, case.dtype)
        np.savez(Path(folder) / "pictures.npz", frames=frames, pixel_spacing_mm=spacing_mm)
        settings = _each_its_core(pipelines or three_pipelines())
        sessions = {name: _start(name, case, one, Path(folder), contour) for name, one in settings.items()}
        try:
            with beside(sessions):
                return _measure(case, sessions, Path(folder))
        finally:
            for session in sessions.values():
                session.stop()


def _each_its_core(pipelines: Mapping[str, Config | None]) -> dict[str, Config | None]:
    """Spread the engines over the cores: two loops on one core would wait for each other."""
    cores = itertools.cycle(sorted(os.sched_getaffinity(0), reverse=True))
    return {
        name: one and replace(one, host=replace(one.host, engine_core=next(cores))) for name, one in pipelines.items()
    }


def _start(name: str, case: Case, config: Config | None, folder: Path, contour: NDArray[np.float32]) -> Session:
    own = folder / name
    own.mkdir()
    session = Session(config or Config(host=HostSettings(engine_core=ANY_CORE)), "bench", own, case.transport)
    if config is None:
        for role, stamps in (("relay", ""), ("sink", str(own / "stamps.npy"))):
            command = [sys.executable, "-m", "bench.relay", role, str(own / "config.toml"), "bench", stamps]
            session.processes[role] = _popen(command, own / f"{role}.out")
        return session
    write_targets(own / "targets.json", [TargetSpec("target", contour)])
    session.start("beam")
    session.start("engine", "--target", str(own / "targets.json"), "--arm-by-itself", "--end-with-stream")
    return session


def _popen(command: list[str], output: Path) -> subprocess.Popen[bytes]:
    with output.open("wb") as file:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)


def _measure(case: Case, pipelines: dict[str, Session], folder: Path) -> dict[str, Samples]:
    plan = Plan(
        session_id="bench",
        recording=str(folder / "pictures.npz"),
        endpoints={name: session.config.endpoints for name, session in pipelines.items()},
        rate_hz=case.rate_hz,
        lead_in=case.lead_in,
        frames=case.frames,
        out=str(folder / "published.npz"),
        keys={name: session.config.security.keys for name, session in pipelines.items()},
    )
    (folder / "plan.json").write_bytes(msgspec.json.encode(plan))
    with _listening(pipelines) as received:
        command = [sys.executable, "-m", "bench.rotating_source", str(folder / "plan.json")]
        source = _popen(command, folder / "source.out")
        try:
            while source.poll() is None:
                time.sleep(DRAIN_S)
                received.drain()
                _check(pipelines)
        finally:
            if source.poll() is None:
                source.terminate()
            source.wait()
        received.drain()
    if source.returncode != 0:
        raise PipelineError(f"the source failed: {(folder / 'source.out').read_text()[-500:]}")
    for session in pipelines.values():
        _end_bare(session)
    with np.load(folder / "published.npz") as published:
        published_ns, took_s = published["published_ns"], published["took_s"]
    found = {}
    for row, (name, session) in enumerate(pipelines.items()):
        if "relay" in session.processes:
            samples = Samples(_relay_ms(np.load(session.folder / "stamps.npy"), published_ns[row]))
        else:
            samples = _engine_samples(received.messages[name], published_ns[row], case.lead_in)
        samples.loop_ms = samples.loop_ms[case.lead_in :]
        samples.per_s = case.frames / took_s[row] if took_s[row] > 0 else 0.0
        found[name] = samples
    return found


def _end_bare(session: Session) -> None:
    """End relay and sink, so that the sink writes its stamps."""
    for role in ("relay", "sink"):
        process = session.processes.get(role)
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=10)


def _check(sessions: dict[str, Session]) -> None:
    for name, session in sessions.items():
        for role, process in session.processes.items():
            if process.poll() not in (None, 0):
                raise PipelineError(f"{name}: {role} ended: {session.output(role)[-500:]}")


def _relay_ms(stamps_ns: NDArray[np.int64], published_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the latencies of a relay, which pairs stamps and frames by order; all NaN if one is missing."""
    if len(stamps_ns) != len(published_ns):
        return np.full(len(published_ns), np.nan)
    paired: NDArray[np.float64] = (stamps_ns - published_ns) / 1e6
    return paired


def _engine_samples(messages: list[list[bytes]], published_ns: NDArray[np.int64], lead_in: int) -> Samples:
    samples = Samples(np.full(len(published_ns), np.nan))
    decided: set[int] = set()
    for parts in messages:
        message = decode(parts)
        if isinstance(message, GateCommand) and not message.renewal and message.frame_sequence not in decided:
            decided.add(message.frame_sequence)
            if message.frame_sequence >= lead_in:
                for stage, took_ms in stage_ms(message.stamps).items():
                    samples.stages_ms.setdefault(stage, []).append(took_ms)
        if isinstance(message, BeamStatus) and not message.renewal and message.frame_sequence >= 0:
            which = message.frame_sequence
            spans = beam_ms(message, int(published_ns[which]))
            if "loop" in spans and np.isnan(samples.loop_ms[which]):
                samples.loop_ms[which] = spans["loop"]
                if "applied" in spans and which >= lead_in:
                    samples.stages_ms.setdefault("applied", []).append(spans["applied"])
    return samples


@dataclass
class _Received:
    sockets: dict[str, zmq.Socket[bytes]]
    messages: dict[str, list[list[bytes]]]

    def drain(self) -> None:
        for name, socket in self.sockets.items():
            while (parts := receive(socket)) is not None:
                if parts[0] in (b"gate", b"beam"):
                    self.messages[name].append(parts)


@contextmanager
def _listening(sessions: dict[str, Session]) -> Iterator[_Received]:
    """Subscribe to all gates and beams. Messages are read a few times a second, and decoded after the run."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        sockets = {}
        for name, session in sessions.items():
            secure_process(session.config, "operator")
            sockets[name] = subscribe(
                context, session.config.endpoints.gate, session.config.endpoints.beam, queue=QUEUE
            )
        yield _Received(sockets, {name: [] for name in sessions})
    finally:
        secure(None)
        context.destroy(linger=0)
