"""Pictures of the worst frames: the true contour in green, the tracked one in orange."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.truth.score import Scores
from bench.truth.subject import Subject
from gating.evaluation.case import CaseRun
from gating.settings.private_file import private_file
from gating.tracking.tracker import TrackResult

Colour = tuple[int, int, int]
TRUE: Final[Colour] = (80, 220, 80)
TRACKED: Final[Colour] = (40, 140, 255)
WHITE: Final[Colour] = (255, 255, 255)
AROUND_PX: Final = 45
SIDE: Final = 640


def draw_worst(folder: Path, run: CaseRun, subject: Subject, scores: Scores, first: int, count: int) -> list[Path]:
    """Write the frames with the largest errors as PNG (mode 0600); the most confident ones where no error is known."""
    known = np.isfinite(scores.judged_mm)
    worst = np.argsort(-np.where(known, scores.judged_mm, -1.0) if known.any() else -scores.confidence)[:count]
    written = []
    for index in worst.tolist():
        frame = index + first
        result = run.results[frame - 1]
        error = f"{scores.judged_mm[index]:.1f} mm" if known[index] else "error unknown"
        words = f"{subject.case.name} frame {frame}: {error}, confidence {result.confidence:.2f}, {result.status}"
        path = folder / f"{subject.case.name.replace('/', '_').replace(' ', '_')}_{frame:04d}.png"
        encoded = cv2.imencode(".png", picture(run, subject, frame, result, words))[1]
        private_file(path).write_bytes(encoded.tobytes())
        written.append(path)
    return written


def picture(run: CaseRun, subject: Subject, frame: int, result: TrackResult, words: str) -> NDArray[np.uint8]:
    """Return the surroundings of the target in one frame, enlarged, as blue, green, red."""
    pixels = run.case.frames[frame].astype(np.float32)
    shown = [line for line in (_truth(subject, frame), result.contour_px) if line is not None and len(line)]
    points = np.vstack([*shown, run.case.contour_px])
    low = np.clip(np.floor(points.min(axis=0)) - AROUND_PX, 0, np.array(pixels.shape[::-1]) - 2).astype(int)
    high = np.clip(np.ceil(points.max(axis=0)) + AROUND_PX, low + 2, pixels.shape[::-1]).astype(int)
    part = pixels[low[1] : high[1], low[0] : high[0]]
    zoom = max(1.0, SIDE / max(part.shape))
    bright = np.clip(part / max(float(np.percentile(part, 99.5)), 1e-6), 0.0, 1.0) ** 0.7
    grey = cv2.resize((255 * bright).astype(np.uint8), None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LINEAR)
    image = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    truth = _truth(subject, frame)
    if truth is not None and len(truth):
        _outline(image, (truth - low + 0.5) * zoom - 0.5, TRUE)
    if len(result.contour_px):
        _outline(image, (result.contour_px - low + 0.5) * zoom - 0.5, TRACKED)
    framed = cv2.copyMakeBorder(image, 40, 0, 0, max(0, 640 - image.shape[1]), cv2.BORDER_CONSTANT)
    for line, text in enumerate((words.partition(":")[0], words.partition(": ")[2])):
        cv2.putText(framed, text, (4, 15 + 18 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.45, WHITE, 1, cv2.LINE_AA)
    return np.asarray(framed, np.uint8)


def _truth(subject: Subject, frame: int) -> NDArray[np.float32] | None:
    """Return the true contour; the first one moved with the content where only that is known; None otherwise."""
    if subject.contours:
        return subject.contours[frame]
    if np.isfinite(subject.content_px[frame]).all():
        return np.asarray(subject.case.contour_px + (subject.content_px[frame] - subject.content_px[0]), np.float32)
    return None


def _outline(image: NDArray[np.uint8], points: NDArray[np.floating], colour: Colour) -> None:
    cv2.polylines(image, [np.round(points * 16).astype(np.int32)], True, colour, 1, cv2.LINE_AA, 4)
