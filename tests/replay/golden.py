"""Golden decisions of the bundled sessions: gate and reason exact, positions within 0.02 px.

python -m tests.replay.golden        rewrites them: a commit of its own, with the reason
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

from cinegate.recordings import recording_images, recording_stream
from cinegate.verbs.options import load_targets
from drivers.recordings import open_recording
from gating.engine.offline import decide_offline, offline_frames
from gating.messages import TargetEstimate
from gating.settings.config import Config
from replay_data import session_names, session_path

FOLDER: Final = Path(__file__).parent / "golden"
COLUMNS: Final = ("frame", "x_px", "y_px", "gate", "reason")


def decisions(name: str) -> list[tuple[int, float, float, str, str]]:
    """Run a bundled session through the engine; return a row per frame."""
    recording = open_recording(session_path(name))
    stream = recording_stream(recording)
    frames = offline_frames(stream, recording_images(recording))
    rows = []
    for frame, outcome in decide_offline(Config(), load_targets(recording, None, None), stream, frames):
        estimate = next(m for m in outcome.messages if isinstance(m, TargetEstimate))
        command = outcome.command
        rows.append((frame.header.sequence, estimate.x_px, estimate.y_px, str(command.state), str(command.reason)))
    return rows


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
