"""A recording, a session log or a motion trace as the session that `whatif` and `prepare` look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cinegate.verbs.app import CommandError
from cinegate.verbs.progress import progress

if TYPE_CHECKING:
    from gating.analysis.replay_tracking import TrackedSession
    from gating.settings.config import Config

TRACE_SUFFIXES = frozenset({".txt", ".csv", ".vxp"})


def followed_session(
    path: Path,
    config: Config,
    *,
    target_box: str | None = None,
    target_mask: Path | None = None,
    pixel_spacing_mm: float | None = None,
    frames_per_s: float | None = None,
    skip_frames: int | None = None,
    plane: str = "",
    others: Sequence[Path] = (),
    target_file: Path | None = None,
    seconds: float | None = None,
    begin_s: float = 0.0,
    shown: bool = False,
) -> TrackedSession:
    """Follow the target through a file, or several planes in turn, once; with `shown`, the time left is told.

    Raises
    ------
    CommandError, ValueError
        If the file or the target cannot be used; one sentence.
    """
    from gating.analysis.replay_tracking import track_motion

    if path.suffix in TRACE_SUFFIXES:
        t_s, away_mm = read_motion(path)
        chosen = (t_s >= begin_s) & (t_s <= begin_s + (np.inf if seconds is None else seconds))
        if chosen.sum() < 2:
            raise CommandError(f"{path}: {int(chosen.sum())} samples from {begin_s:g} s on; at least 2 are needed")
        return track_motion(t_s[chosen] - t_s[chosen][0], away_mm[chosen], name=path.stem)
    from cinegate.recordings import followed_recording, frames_within
    from cinegate.verbs.options import load_scan_targets
    from drivers.recordings.scan import open_scan

    scan = open_scan(
        path, pixel_spacing_mm, plane=plane, others=others, frames_per_s=frames_per_s, skip_frames=skip_frames
    )
    targets = load_scan_targets(scan, target_box, target_mask, target_file)
    with progress(f"tracking {scan.name}", frames_within(scan, seconds), shown=shown) as step:
        return followed_recording(scan, targets, config, seconds, tracked=step)


def read_motion(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return times, (n,) s, and displacements from the first sample, (n, 3) LPS mm, of the valid samples of a trace."""
    from drivers.recordings.traces import read_trace

    trace = read_trace(path)
    away = np.stack([trace.lr_mm, trace.ap_mm, trace.si_mm], axis=1)[trace.valid]
    return trace.t_s[trace.valid], away - away[0]
