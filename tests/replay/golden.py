"""Golden decisions of the bundled sessions: gate and reason exact, positions within 0.02 px.

python -m tests.replay.golden        rewrites them: a commit of its own, with the reason
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from cinegate.recordings import recording_images, recording_stream
from cinegate.verbs.options import load_targets
from drivers.recordings import open_recording
from gating.analysis.stretches import Stretch, StretchFinder, ranked
from gating.engine.offline import decide_offline, offline_frames
from gating.messages import GateCommand, GateState, TargetEstimate
from gating.settings.config import Config
from replay_data import session_names, session_path

FOLDER: Final = Path(__file__).parent / "golden"
COLUMNS: Final = ("frame", "x_px", "y_px", "gate", "reason")


def commands(name: str, config: Config | None = None) -> Iterator[tuple[GateCommand, TargetEstimate]]:
    """Run a bundled session through the engine; yield the command and the estimate of every frame."""
    recording = open_recording(session_path(name))
    stream = recording_stream(recording)
    frames = offline_frames(stream, recording_images(recording))
    for _, outcome in decide_offline(config or Config(), load_targets(recording, None, None), stream, frames):
        yield outcome.command, next(m for m in outcome.messages if isinstance(m, TargetEstimate))


def decisions(name: str) -> list[tuple[int, float, float, str, str]]:
    """Return a row per frame of a bundled session."""
    return [
        (command.frame_sequence, estimate.x_px, estimate.y_px, str(command.state), str(command.reason))
        for command, estimate in commands(name)
    ]


def differences(name: str, replayed: Iterable[GateCommand]) -> list[Stretch]:
    """Compare commands with the golden decisions of a session; return where they differ, the worst first."""
    finder = StretchFinder()
    for golden, command in zip(read(name), replayed, strict=True):
        finder.add(replace(command, state=GateState(golden[3]), reason=golden[4]), command)
    return ranked(finder.found)


def read(name: str) -> list[tuple[int, float, float, str, str]]:
    """Return the golden rows of a session."""
    with (FOLDER / f"{name}.csv").open(newline="") as file:
        return [
            (int(r["frame"]), float(r["x_px"]), float(r["y_px"]), r["gate"], r["reason"]) for r in csv.DictReader(file)
        ]


def refresh() -> None:
    """Rewrite every golden file."""
    FOLDER.mkdir(exist_ok=True)
    for name in session_names():
        with (FOLDER / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows((f, f"{x:.3f}", f"{y:.3f}", gate, reason) for f, x, y, gate, reason in decisions(name))


if __name__ == "__main__":
    refresh()
