"""A small synthetic session, message by message, for the tests of logs and reports."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gating.messages import (
    BeamStatus,
    CineFrame,
    EngineState,
    Event,
    FrameHeader,
    GateCommand,
    GateState,
    Message,
    Pacing,
    SessionHeader,
    SourceKind,
    StageStamps,
    StampMeaning,
    StreamEnd,
    StreamInfo,
    TargetEstimate,
    TargetReference,
)
from gating.session.log_writer import SessionWriter
from gating.wire.codec import Part, encode, encode_frame
from gating.wire.pixels import content_hash

MS = 1_000_000
START_NS = 5_000 * MS
INTERVAL_MS = 125
CLOCK = "monotonic:test"
ACQUIRED_CLOCK = "recording"
SHAPE = (64, 64)
FRAMES = 40


def make_frame(
    sequence: int, at_ns: int, *, pacing: Pacing = Pacing.REAL_TIME, shape: tuple[int, int] = SHAPE, clock: str = CLOCK
) -> CineFrame:
    rows, columns = np.indices(shape)
    x, y = target_centre(sequence)
    disc = (columns - x) ** 2 + (rows - y) ** 2 < 36
    pixels = (200 + 40 * np.sin(columns / 5) + 500 * disc).astype(np.uint16)
    header = FrameHeader(
        session_id="s1",
        source="bench",
        source_kind=SourceKind.PHANTOM,
        pacing=pacing,
        sequence=sequence,
        acquired_ns=sequence * INTERVAL_MS * MS,
        acquired_clock=ACQUIRED_CLOCK,
        acquired_meaning=StampMeaning.END,
        acquired_on_publish_clock_ns=at_ns,
        published_ns=at_ns,
        publish_clock=clock,
        dtype="uint16",
        shape=shape,
        pixel_spacing_mm=(2.0, 2.0),
        image_orientation=(0, 1, 0, 0, 0, -1),
        image_position_mm=(0, 0, 0),
        content_hash=content_hash(pixels),
    )
    return CineFrame(header, pixels)


def target_centre(sequence: int) -> tuple[float, float]:
    return 30.0 + math.sin(sequence / 4), 32.0 + 6 * math.sin(sequence / 4)


def out_fraction(sequence: int) -> float:
    return max(0.0, 0.3 * math.sin(sequence / 4))


def ring(x: float, y: float, radius: float) -> list[tuple[float, float]]:
    return [(x + radius * math.cos(k / 10), y + radius * math.sin(k / 10)) for k in range(63)]


def reference() -> TargetReference:
    return TargetReference(
        session_id="s1",
        target="GTV",
        plane="sagittal",
        frame_sequence=0,
        contour_px=ring(30, 32, 6),
        boundary_px=ring(30, 32, 7.5),
        centre_px=(30, 32),
        centre_mm=(0, 60, -64),
    )


def session_header() -> SessionHeader:
    return SessionHeader(
        session_id="s1",
        engine_id="e1",
        started_at="2026-01-02T03:04:05+00:00",
        versions={"cinegate": "0.1.0", "numpy": "2"},
        config_toml="[gating]\nmax_out_fraction = 0.1\n",
        config_hash="abc123",
        tracker="template",
        clock=CLOCK,
    )


def stream_info(frames: int) -> StreamInfo:
    return StreamInfo(
        session_id="s1",
        source="bench",
        source_kind=SourceKind.PHANTOM,
        pacing=Pacing.REAL_TIME,
        dtype="uint16",
        shape=SHAPE,
        pixel_spacing_mm=(2.0, 2.0),
        image_orientation=(0, 1, 0, 0, 0, -1),
        image_position_mm=(0, 0, 0),
        nominal_interval_ns=INTERVAL_MS * MS,
        frame_count=frames,
        acquired_clock=ACQUIRED_CLOCK,
        acquired_meaning=StampMeaning.END,
    )


def decision(sequence: int) -> tuple[GateState, str]:
    if sequence < 4:
        return GateState.HOLD, "not_armed"
    if out_fraction(sequence) <= 0.1:
        return GateState.ON, "in_window"
    return GateState.HOLD, "out_of_window"


def estimate(sequence: int) -> TargetEstimate:
    (x, y), (gate, reason) = target_centre(sequence), decision(sequence)
    return TargetEstimate(
        session_id="s1",
        frame_sequence=sequence,
        plane="sagittal",
        target="GTV",
        x_px=x,
        y_px=y,
        position_mm=(0.0, 2 * x, -2 * y),
        confidence=0.95 - 0.3 * (sequence == 20),
        score=0.9,
        status="tracked",
        target_out_fraction=out_fraction(sequence),
        contour_px=ring(x, y, 6),
        templates=1,
        acquired_ns=sequence * INTERVAL_MS * MS,
        gate=gate,
        reason=reason,
    )


def command(sequence: int, at_ns: int, command_sequence: int, *, renewal: bool) -> GateCommand:
    """A command sent 0.8 ms after its frame, or a renewal sent 20 ms after it."""
    gate, reason = decision(sequence)
    return GateCommand(
        session_id="s1",
        engine_id="e1",
        command_sequence=command_sequence,
        state=gate,
        reason=reason,
        engine_state=EngineState.ARMED,
        frame_sequence=sequence,
        renewal=renewal,
        lease_ms=100.0 if gate is GateState.ON else 0.0,
        source_kind=SourceKind.PHANTOM,
        pacing=Pacing.REAL_TIME,
        stamps=StageStamps(
            acquired_ns=at_ns,
            published_ns=at_ns,
            received_ns=at_ns + 100_000,
            decoded_ns=at_ns + 200_000,
            tracked_ns=at_ns + 500_000,
            decided_ns=at_ns + 600_000,
            sent_ns=at_ns + (20 * MS if renewal else 800_000),
        ),
    )


def status(sequence: int, at_ns: int, status_sequence: int, *, changed: bool) -> BeamStatus:
    """The answer to the first of a frame's three commands, applied 1.2 ms after the frame where the beam changes."""
    gate, _ = decision(sequence)
    return BeamStatus(
        session_id="s1",
        beam="beam",
        beam_kind="simulated",
        status_sequence=status_sequence,
        commanded=gate,
        confirmed=gate,
        reason="commanded_on" if gate is GateState.ON else "commanded_hold",
        engine_id="e1",
        command_sequence=3 * status_sequence,
        frame_sequence=sequence,
        renewal=False,
        command_sent_ns=at_ns + 800_000,
        command_received_ns=at_ns + MS,
        applied_ns=at_ns + 1_200_000 if changed else at_ns - 1,
        sent_ns=at_ns + 1_300_000,
        clock=CLOCK,
    )


def make_session(frames: int, *, skipped: frozenset[int] = frozenset()) -> Iterator[tuple[list[Part], int]]:
    """Yield (wire parts, receive stamp) of a session in which decided frames take 1.0 ms to the command's receipt."""

    def pack(message: Message, at_ns: int) -> tuple[list[Part], int]:
        return list(encode(message)), at_ns

    for opening in (session_header(), stream_info(frames), reference()):
        yield pack(opening, START_NS)
    decided, beam = 0, GateState.HOLD
    for sequence in range(frames):
        at_ns = START_NS + (sequence + 1) * INTERVAL_MS * MS
        yield list(encode_frame(make_frame(sequence, at_ns))), at_ns
        if sequence in skipped:
            continue
        yield pack(estimate(sequence), at_ns + MS)
        for number, renewal in enumerate((False, True, True)):
            sent = command(sequence, at_ns, 3 * decided + number, renewal=renewal)
            yield pack(sent, sent.stamps.sent_ns + MS)
        gate, _ = decision(sequence)
        yield pack(status(sequence, at_ns, decided, changed=gate is not beam), at_ns + 2 * MS)
        decided, beam = decided + 1, gate
    end_ns = START_NS + (frames + 1) * INTERVAL_MS * MS
    doubt = Event(
        session_id="s1", role="engine", severity="warning", code="low_confidence", text="Frame 20.", at_ns=end_ns
    )
    yield pack(doubt, end_ns)
    yield pack(StreamEnd(session_id="s1", source="bench", frames_published=frames, why="the recording ended"), end_ns)


def write_session(path: Path, skipped: frozenset[int] = frozenset(), *, close: bool = True) -> Path:
    writer = SessionWriter(path, "s1", CLOCK)
    writer.open()
    for parts, at_ns in make_session(FRAMES, skipped=skipped):
        writer.write(parts, at_ns)
    if close:
        writer.close()
    else:
        writer.abandon()
    return path
