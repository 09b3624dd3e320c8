"""A memory of a target, learned from a recording and written with the page on which it is accepted."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from drivers.recordings import Recording
from drivers.recordings.masks import read_target_mask
from gating.geometry.contours import contour_from_mask
from gating.report.memory_page import write_memory_page
from gating.targets.spec import TargetSpec
from gating.tracking.memory_file import write_memory
from gating.tracking.memory_learning import learn_memory
from gating.tracking.tracker import TrackerSettings


def learn_to_file(
    recording: Recording,
    target: TargetSpec,
    out: Path,
    settings: TrackerSettings,
    seconds: float,
    drop: Collection[int] = (),
    accept: Collection[int] = (),
    correct: Mapping[int, Path] | None = None,
) -> dict[str, Any]:
    """Learn a memory from the first seconds of a recording, and write it with its page.

    Parameters
    ----------
    recording
        Its first frame is the reference, in which the target was drawn.
    target
        The target.
    out
        The memory; the page lies beside it.
    settings
        Of the tracker that will use it.
    seconds
        Length of the preparation.
    drop
        Numbers of key frames that were not accepted.
    accept
        Numbers of key frames whose contour a person has accepted, though it was not surely carried there.
    correct
        Masks, as target masks are read, for key frames whose contour was not accepted.

    Returns
    -------
    dict
        What was learned, in plain figures.

    Raises
    ------
    CinegateError
        If recording, target or preparation cannot be used; one sentence.
    OSError
        If a file cannot be written.
    """
    count = int(np.searchsorted(recording.stamps_ns, recording.stamps_ns[0] + 1e9 * seconds, side="right"))
    frames = np.stack([recording.frames[number] for number in range(count)])
    elapsed_s = np.diff(recording.stamps_ns[:count], prepend=recording.stamps_ns[0]) / 1e9
    memory = learn_memory(frames, elapsed_s, target.contour_px, recording.pixel_spacing_mm, settings)
    memory = memory.without(set(drop)).accepted(set(accept))
    for number, mask in (correct or {}).items():
        memory = memory.corrected(number, contour_from_mask(read_target_mask(mask, recording)))
    page = out.with_suffix(".html")
    write_memory(out, memory)
    write_memory_page(page, memory, frames[0])
    return {
        "file": str(out),
        "page": str(page),
        "hash": memory.content_hash,
        "picture_hash": memory.picture_hash,
        "key_frames": [key.number for key in memory.key_frames],
        "fits": [key.fit for key in memory.key_frames],
        "rest_score": memory.rest_score,
        "amplitude_mm": memory.amplitude_mm,
        "usual": [[one.excursion_mm, one.score] for one in memory.usual],
        "seconds": memory.seconds,
        "remarks": list(memory.remarks),
    }
