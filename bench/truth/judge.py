"""Run a tracker over subjects, in processes of their own, and gather its scores."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.truth.pictures import draw_worst
from bench.truth.score import Scores, figures, joined, score
from bench.truth.subjects import Named, make
from gating.evaluation.run import run_case
from gating.tracking.tracker import TrackerSettings, TrackingError


@dataclass(frozen=True, slots=True)
class Orders:
    """How every subject is judged.

    Attributes
    ----------
    tracker
        Its name in the registry.
    prepare_frames
        Frames at the start that are tracked but not scored. No tracker learns from them as a preparation yet.
    pictures, worst
        Folder for pictures of the worst frames of each subject, and how many.
    """

    tracker: str = "template"
    prepare_frames: int = 0
    pictures: Path | None = None
    worst: int = 2


@dataclass(slots=True)
class Verdict:
    """Scores by group and by subject, and a sentence for each subject that the tracker refused."""

    groups: dict[str, list[Scores]] = field(default_factory=dict)
    cases: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return the figures of every group over all its frames."""
        return {name: figures(joined(scores)) for name, scores in self.groups.items()}


def judge_one(named: Named, orders: Orders) -> tuple[str, str, str, Scores | str]:
    """Return group, case name, person, and scores; a sentence in place of scores where the tracker refuses."""
    subject = make(named)
    first = max(1, orders.prepare_frames)
    try:
        run = run_case(subject.case, orders.tracker, TrackerSettings())
    except TrackingError as error:
        return subject.group, subject.case.name, subject.person, str(error)
    scores = score(run, subject, first)
    if orders.pictures is not None:
        draw_worst(orders.pictures, run, subject, scores, first, orders.worst)
    return subject.group, subject.case.name, subject.person, scores


def judge(subjects: Sequence[Named], orders: Orders, jobs: int, progress: Callable[[str], None]) -> Verdict:
    """Judge all subjects in `jobs` processes; the order of rows is that of the subjects."""
    if orders.pictures is not None:
        orders.pictures.mkdir(parents=True, exist_ok=True)
    found: list[tuple[str, str, str, Scores | str] | None] = [None] * len(subjects)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_one_thread) as pool:
        pending = {pool.submit(judge_one, named, orders): place for place, named in enumerate(subjects)}
        for count, done in enumerate(as_completed(pending), 1):
            found[pending[done]] = done.result()
            progress(f"{count} of {len(subjects)}: {done.result()[1]}")
    verdict = Verdict()
    for one in found:
        assert one is not None
        group, name, person, scores = one
        if isinstance(scores, str):
            verdict.refused[name] = scores
            continue
        if len(scores.confidence):
            verdict.groups.setdefault(group, []).append(scores)
            verdict.cases[name] = {"group": group, "person": person, **figures(scores)}
    return verdict


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)
