"""A position book that hears an engine whose messages are made here, frame by frame, on one clock."""

from __future__ import annotations

from typing import Any

import numpy as np

from gating.messages import (
    EngineState,
    GateCommand,
    GateState,
    Pacing,
    SessionHeader,
    SourceKind,
    StageStamps,
    TargetEstimate,
    TargetPosition,
    TargetReference,
)
from gating.positions.book import PositionBook
from gating.settings.config import Config

MS = 1_000_000
INTERVAL_MS, LATENCY_MS = 200, 120
CLOCK = "monotonic:test"
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
RAW_NS = 7_000 * MS
"""The source's own clock began at another time."""


def breathing(t_s: float) -> np.ndarray:
    """Where the target is at a time, LPS mm."""
    phase = 2 * np.pi * t_s / 4.0
    return np.array([1.0 * np.sin(phase), -20 + 2 * np.cos(phase), 30 + 6 * np.cos(phase)])


def session_header(engine_id: str, clock: str) -> SessionHeader:
    return SessionHeader(
        session_id="s1",
        engine_id=engine_id,
        started_at="",
        versions={},
        config_toml="",
        config_hash="x",
        tracker="template",
        clock=clock,
    )


def reference(name: str, plane: str, orientation: Any, structure: str = "") -> TargetReference:
    x, y, z = breathing(0.0).tolist()
    return TargetReference(
        session_id="s1",
        target=name,
        plane=plane,
        structure=structure,
        frame_sequence=0,
        contour_px=[],
        boundary_px=[],
        centre_px=(0, 0),
        centre_mm=(x, y, z),
        image_orientation=orientation,
    )


class PositionBench:
    """Frames every 200 ms, published as commands and estimates 120 ms after their acquisition."""

    def __init__(self, config: Config | None = None, *, planes: dict[str, Any] | None = None) -> None:
        self.config = config or Config()
        self.book = PositionBook(self.config, "s1", "p1", CLOCK)
        self.planes = planes or {"sagittal": SAGITTAL}
        self.hear_engine("e1")
        self.now_ns = 0
        self.sequence = -1

    def hear_engine(self, engine_id: str, clock: str = CLOCK) -> None:
        self.book.hear(session_header(engine_id, clock))
        for plane, orientation in self.planes.items():
            alone = len(self.planes) == 1
            structure = "" if alone else "target"
            self.book.hear(reference("target" if alone else f"target {plane}", plane, orientation, structure))

    def command(self, sequence: int, reason: str = "in_window", **changed: Any) -> GateCommand:
        fields: dict[str, Any] = {
            "session_id": "s1", "engine_id": "e1", "command_sequence": sequence, "state": GateState.HOLD,
            "reason": reason, "engine_state": EngineState.ARMED, "frame_sequence": sequence, "renewal": False,
            "lease_ms": 0.0, "source_kind": SourceKind.REPLAY, "pacing": Pacing.REAL_TIME,
            "stamps": StageStamps(acquired_ns=sequence * INTERVAL_MS * MS, sent_ns=self.now_ns),
        }  # fmt: skip
        return GateCommand(**fields | changed)

    def estimate(self, sequence: int, **changed: Any) -> TargetEstimate:
        plane = [*self.planes][sequence % len(self.planes)]
        fields: dict[str, Any] = {
            "session_id": "s1", "frame_sequence": sequence, "plane": plane,
            "target": "target" if len(self.planes) == 1 else f"target {plane}", "x_px": 0.0, "y_px": 0.0,
            "position_mm": tuple(breathing(sequence * INTERVAL_MS / 1e3).tolist()), "confidence": 0.9, "score": 0.9,
            "status": "tracked", "target_out_fraction": 0.0, "acquired_ns": RAW_NS + sequence * INTERVAL_MS * MS,
            "gate": GateState.HOLD, "reason": "in_window",
        }  # fmt: skip
        return TargetEstimate(**fields | changed)

    def frames(self, count: int, **changed: Any) -> None:
        """Let the engine see frames, each published when it would be."""
        for _ in range(count):
            self.sequence += 1
            self.now_ns = (self.sequence * INTERVAL_MS + LATENCY_MS) * MS
            self.book.hear(self.command(self.sequence))
            self.book.hear(self.estimate(self.sequence, **changed))

    def position(self, later_ms: float = 0.0, *, renew: bool = True) -> TargetPosition:
        """The position now, or some time after the newest frame, with the engine alive until then."""
        self.now_ns = round((self.sequence * INTERVAL_MS + LATENCY_MS + later_ms) * MS)
        if renew:
            self.book.hear(self.command(self.sequence, renewal=True))
        (position,) = self.book.positions(self.now_ns)
        return position
