"""How a recording is replayed by a source process: its arguments, and its pace."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gating.messages import Pacing
from gating.settings.config import ConfigError


def replay_arguments(
    path: str | os.PathLike[str],
    *,
    speed: float | str = 1,
    spacing_mm: float | None = None,
    plane: str = "",
    others: Sequence[str | os.PathLike[str]] = (),
    frames_per_s: float | None = None,
    skip_frames: int | None = None,
    position_is: str = "",
) -> list[str]:
    """Return the arguments of a source process that replays a recording. Raises `ConfigError`."""
    parse_speed(speed)
    asked = [str(Path(path).resolve()), "--speed", str(speed), "--subscribers", "2"]
    asked += [] if spacing_mm is None else ["--pixel-spacing-mm", str(spacing_mm)]
    asked += [] if frames_per_s is None else ["--frames-per-s", str(frames_per_s)]
    asked += [] if skip_frames is None else ["--skip-frames", str(skip_frames)]
    asked += ["--plane", plane] if plane else []
    asked += ["--position-is", position_is] if position_is else []
    return asked + [word for other in others for word in ("--with", str(Path(other).resolve()))]


def parse_speed(speed: float | str) -> tuple[Pacing, float]:
    """Return pacing and factor of a replay. Raises `ConfigError`."""
    if speed in ("stepped", "unpaced"):
        return Pacing(speed), 0.0
    try:
        factor = float(speed)
    except ValueError:
        factor = 0.0
    if not 0.01 <= factor <= 1000:
        raise ConfigError(f"speed is {speed!r}; a factor of 0.01 to 1000, `stepped` or `unpaced` is needed")
    return (Pacing.REAL_TIME, 1.0) if factor == 1 else (Pacing.SCALED, factor)
