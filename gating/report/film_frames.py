"""The frames of a film: which are shown, and how they are compressed into a given number of bytes."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from gating.messages import CineFrame, FrameHeader
from gating.pages.pictures import grey, window
from gating.session.log import read_session
from gating.session.summary_data import SessionData

T = TypeVar("T")
MIME: Final = "image/webp"
"""At one quality (PSNR), WebP takes 20 to 30 % less than JPEG on 2D cine MRI of the liver."""
MAX_FRAMES: Final = 600
"""More frames than these, about 100 s at 6 frames/s, are thinned out; so many changes of the gate are shown besides."""
_SAMPLED: Final = 24
"""Frames of each plane from which its window is taken, and as many from which the bytes are estimated."""
_THREADS: Final = 4
_RESERVE: Final = 1.03
"""The pictures of a sample may be smaller than the rest."""


class Step(NamedTuple):
    """A way to compress: length of the longer side, px, and quality of WebP, 1 to 100."""

    side_px: int
    quality: int


STEPS: Final = (
    *(Step(384, quality) for quality in (80, 65, 50, 40, 30)),
    *(Step(side_px, 40) for side_px in (256, 192, 160, 128, 96)),
)
"""From the best to the smallest: quality first, then size. The first is taken whose pictures fit."""


class Compressed(NamedTuple):
    """Pictures by the number of their frames, base64, and how they were made."""

    pictures: dict[int, str]
    step: Step
    reduced: bool
    """Whether any is smaller than its frame."""


def chosen_frames(data: SessionData) -> list[int]:
    """Return the frames to show: evenly chosen ones of each plane, and those at which the gate changes."""
    planes: dict[str, list[int]] = {}
    for sequence, header in data.frames.items():
        planes.setdefault(header.plane, []).append(sequence)
    kept = {one for own in planes.values() for one in _thinned(own, MAX_FRAMES // len(planes))}
    decided = [(sequence, outcome.command.state) for sequence, outcome in data.outcomes.items()]
    changes = [now[0] for before, now in pairwise(decided) if now[1] is not before[1]]
    kept.update(sequence for sequence in _thinned(changes, MAX_FRAMES) if sequence in data.frames)
    return sorted(kept)


def read_frames(path: Path, sequences: set[int]) -> Iterator[tuple[FrameHeader, NDArray[np.generic]]]:
    """Yield frames of a log, each once, as far as the log holds them."""
    missing = set(sequences)
    for _, _, message in read_session(path):
        if isinstance(message, CineFrame) and message.header.sequence in missing:
            missing.remove(message.header.sequence)
            yield message.header, message.pixels
            if not missing:
                return


def compress(data: SessionData, sequences: Sequence[int], limit_bytes: int) -> Compressed:
    """Compress frames as well as the limit allows; if even the smallest are too large, leave some out."""
    windows = _windows(data, sequences)
    images = {
        header.sequence: _reduced(grey(pixels, windows[header.plane]), STEPS[0].side_px)
        for header, pixels in read_frames(data.path, set(sequences))
    }
    with ThreadPoolExecutor(_THREADS) as pool:
        for step in STEPS:
            sample = pool.map(partial(_encoded, step), _thinned(list(images.values()), _SAMPLED))
            if _RESERVE * _mean([len(one) for one in sample]) * len(images) > limit_bytes and step is not STEPS[-1]:
                continue
            made = dict(zip(images, pool.map(partial(_encoded, step), images.values()), strict=True))
            if sum(map(len, made.values())) <= limit_bytes:
                break
    while sum(map(len, made.values())) > limit_bytes:
        made = {sequence: made[sequence] for sequence in list(made)[::2]}
    reduced = any(max(data.frames[sequence].shape) > step.side_px for sequence in made)
    return Compressed(made, step, reduced)


def _windows(data: SessionData, sequences: Sequence[int]) -> dict[str, tuple[float, float]]:
    """Return what is drawn black and white in each plane: one window for the whole film, or else it would flicker."""
    planes: dict[str, list[int]] = {}
    for sequence in sequences:
        planes.setdefault(data.frames[sequence].plane, []).append(sequence)
    sampled = {sequence for own in planes.values() for sequence in _thinned(own, _SAMPLED)}
    images: dict[str, list[NDArray[np.generic]]] = {}
    for header, pixels in read_frames(data.path, sampled):
        images.setdefault(header.plane, []).append(pixels)
    return {plane: window(own) for plane, own in images.items()}


def _encoded(step: Step, image: NDArray[np.uint8]) -> str:
    import cv2

    made = cv2.imencode(".webp", _reduced(image, step.side_px), [cv2.IMWRITE_WEBP_QUALITY, step.quality])[1]
    return base64.b64encode(made.tobytes()).decode("ascii")


def _reduced(image: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    import cv2

    share = side_px / max(image.shape)
    if share >= 1:
        return image
    rows, columns = (max(1, round(share * side)) for side in image.shape)
    return cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.uint8)


def _thinned(every: Sequence[T], most: int) -> Sequence[T]:
    """Return at most so many, evenly spread."""
    return every[:: max(1, -(-len(every) // most))]


def _mean(sizes: Sequence[int]) -> float:
    return sum(sizes) / max(1, len(sizes))
