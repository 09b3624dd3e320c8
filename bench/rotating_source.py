"""One source process that drives several pipelines in turns, frame by frame, each through the product's own pump.

So every pipeline gets the same pictures within one frame interval, and a disturbance of the machine affects all of
them. Without a rate (back to back) they take turns in blocks.

python -m bench.rotating_source PLAN.json
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from drivers.formats.pixels import wire_dtype_name
from drivers.ports import FrameStamp
from drivers.pump import Pump
from drivers.sources.pacing import Pacer
from gating.clocks.clock import MonotonicClock
from gating.clocks.offset import offset_of_source
from gating.messages import Pacing, SourceKind, StampMeaning, StreamInfo
from gating.settings.config import ClockSettings, EndpointSettings
from gating.settings.host import HostSettings
from gating.wire.keys import load_keyring
from gating.wire.security import secure

CREDIT: Final = 8
"""Frames of a back-to-back stream that may wait for an answer."""
BLOCK: Final = 250
SAME_ORDER: Final = 50
SETTLE_S: Final = 0.5
ANSWER_MS: Final = 10
START_LIMIT_S: Final = 180.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to publish, to whom, and how fast."""

    session_id: str
    recording: str
    endpoints: dict[str, EndpointSettings]
    rate_hz: float
    """0: back to back."""
    lead_in: int
    """Frames before those that count, for reference, arming and caches."""
    frames: int
    out: str
    keys: dict[str, str] = {}
    """Folder of each pipeline's keys; empty for none."""


class Pictures:
    """Frames in memory as a source, whose frames the rotation itself publishes."""

    def __init__(self, frames: NDArray[Any], spacing_mm: tuple[float, float], rate_hz: float) -> None:
        self.frames = frames
        self._spacing_mm, self._rate_hz = spacing_mm, rate_hz

    def open(self) -> StreamInfo:
        """Declare the stream."""
        return StreamInfo(
            session_id="unassigned",
            source="bench",
            source_kind=SourceKind.REPLAY,
            pacing=Pacing.REAL_TIME if self._rate_hz > 0 else Pacing.UNPACED,
            speed=float(self._rate_hz > 0),
            planes=("coronal",),
            dtype=wire_dtype_name(self.frames),
            shape=(self.frames.shape[1], self.frames.shape[2]),
            pixel_spacing_mm=self._spacing_mm,
            image_orientation=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0),
            image_position_mm=(-100.0, 0.0, 100.0),
            nominal_interval_ns=round(1e9 / self._rate_hz) if self._rate_hz > 0 else 0,
            acquired_clock="recording",
            acquired_meaning=StampMeaning.END,
            description="the bundled recording, resized",
        )

    def read_into(self, pixels: NDArray[Any], timeout_ms: int) -> FrameStamp | None:
        """Return nothing: the rotation publishes the frames itself."""
        return None

    def close(self) -> None:
        """Do nothing: nothing is held open."""


def run(plan: Plan) -> None:
    """Publish the plan; write `published_ns` (pipelines, frames) and `took_s` (pipelines; of blocks) to `plan.out`."""
    loaded = np.load(plan.recording)
    spacing = (float(loaded["pixel_spacing_mm"][0]), float(loaded["pixel_spacing_mm"][1]))
    pictures = Pictures(np.ascontiguousarray(loaded["frames"]), spacing, plan.rate_hz)
    clock = MonotonicClock()
    pumps = []
    for name, endpoints in plan.endpoints.items():
        folder = plan.keys.get(name, "")
        secure(load_keyring(Path(folder), "source", endpoints) if folder else None)
        pump = Pump(pictures, plan.session_id, "", clock, offset_of_source(ClockSettings()))
        pump.open(endpoints.frames, endpoints.gate)
        pumps.append(pump)
    try:
        _wait_for_subscribers(pumps)
        pumps[0].apply_host_settings(HostSettings())
        published_ns = np.zeros((len(pumps), plan.lead_in + plan.frames), np.int64)
        took_s = np.zeros(len(pumps))
        if plan.rate_hz > 0:
            _in_turns(pumps, pictures.frames, plan.rate_hz, published_ns)
        else:
            _in_blocks(pumps, pictures.frames, plan.lead_in, published_ns, took_s)
        time.sleep(SETTLE_S)
        for pump in pumps:
            pump.end("the benchmark ended")
        np.savez(plan.out, published_ns=published_ns, took_s=took_s)
    finally:
        for pump in pumps:
            pump.close()


def _wait_for_subscribers(pumps: list[Pump]) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while any(pump.subscriptions < 1 for pump in pumps):
        if time.monotonic() > deadline:
            raise TimeoutError(f"a pipeline was not ready within {START_LIMIT_S:g} s")
        for pump in pumps:
            pump.serve_subscribers()
        time.sleep(0.01)
    time.sleep(0.2)


def _in_turns(pumps: list[Pump], frames: NDArray[Any], rate_hz: float, published_ns: NDArray[np.int64]) -> None:
    """Publish each picture to every pipeline, evenly spread over the frame interval.

    Each pipeline gets its frames as evenly as from a scanner. The order of the pipelines changes every `SAME_ORDER`
    frames.
    """
    pacer = Pacer(Pacing.REAL_TIME, 1.0, MonotonicClock())
    interval_ns = 1e9 / rate_hz
    for index in range(published_ns.shape[1]):
        for turn in range(len(pumps)):
            which = (index // SAME_ORDER + turn) % len(pumps)
            for pump in pumps:
                pump.serve_subscribers()
            since_ns = round((index + turn / len(pumps)) * interval_ns)
            while (due_ns := pacer.wait(since_ns, 100)) is None:
                pass
            stamp = _stamp(round(index * interval_ns), due_ns - round(turn / len(pumps) * interval_ns))
            published_ns[which, index] = pumps[which].send_frame(frames[index % len(frames)], stamp).published_ns


def _in_blocks(
    pumps: list[Pump],
    frames: NDArray[Any],
    lead_in: int,
    published_ns: NDArray[np.int64],
    took_s: NDArray[np.float64],
) -> None:
    """Publish as fast as the answers come, a block of frames to one pipeline and then to the next."""
    total = published_ns.shape[1]
    blocks = [(0, lead_in)] + [(at, min(at + BLOCK, total)) for at in range(lead_in, total, BLOCK)]
    for number, (first, last) in enumerate(blocks):
        for turn in range(len(pumps)):
            which = (number + turn) % len(pumps)
            pump = pumps[which]
            began = time.monotonic()
            for index in range(first, last):
                while index - 1 - pump.answered_sequence >= CREDIT:
                    pump.read_answers(ANSWER_MS)
                now_ns = pump.clock.now_ns()
                stamp = _stamp(index * 1_000_000, now_ns)
                published_ns[which, index] = pump.send_frame(frames[index % len(frames)], stamp).published_ns
            while pump.answered_sequence < last - 1:
                pump.read_answers(ANSWER_MS)
            took_s[which] += (time.monotonic() - began) * (first >= lead_in)
            for one in pumps:
                one.serve_subscribers()


def _stamp(acquired_ns: int, on_host_ns: int) -> FrameStamp:
    return FrameStamp(
        acquired_ns=acquired_ns + 1_000_000_000,
        arrived_ns=on_host_ns,
        plane="coronal",
        meaning=StampMeaning.END,
        acquired_on_host_ns=on_host_ns,
        moment_uncertainty_ns=0,
    )


def main(plan: str) -> None:
    """Run the plan in a file."""
    run(msgspec.json.decode(Path(plan).read_bytes(), type=Plan))


if __name__ == "__main__":
    main(sys.argv[1])
