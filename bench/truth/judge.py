"""Run a tracker over subjects, in processes of their own, and gather its scores."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

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
        Frames at the start that are the preparation and not scored.
    pictures, worst
        Folder for pictures of the worst frames of each subject, and how many.
    """

    tracker: str = "template"
    prepare_frames: int = 0
    pictures: Path | None = None
    worst: int = 2


class Judged(NamedTuple):
    """One subject: its row of the table, its person and name, and its scores; a sentence if the tracker refused it."""

    group: str
    person: str
    name: str
    scores: Scores | str


@dataclass(frozen=True, slots=True)
class Verdict:
    """All subjects, in the order in which they were given."""

    judged: list[Judged]

    def rows(self, by: str = "group") -> dict[str, dict[str, Any]]:
        """Return the figures of every `group`, `person` or `name`, each over all its frames."""
        found: dict[str, list[Scores]] = {}
        for one in self.judged:
            if not isinstance(one.scores, str) and len(one.scores.confidence):
                found.setdefault(getattr(one, by), []).append(one.scores)
        return {key: figures(joined(scores)) for key, scores in found.items()}

    def refused(self) -> dict[str, str]:
        """Return one sentence for every subject that the tracker refused."""
        return {one.name: one.scores for one in self.judged if isinstance(one.scores, str)}


def judge_one(named: Named, orders: Orders) -> Judged:
    """Make a subject, run the tracker over it and score it."""
    subject = make(named)
    first = max(1, orders.prepare_frames)
    try:
        run = run_case(subject.case, orders.tracker, TrackerSettings(), orders.prepare_frames)
    except TrackingError as error:
        return Judged(subject.group, subject.person, subject.case.name, str(error))
    scores = score(run, subject, first)
    if orders.pictures is not None:
        draw_worst(orders.pictures, run, subject, scores, first, orders.worst)
    return Judged(subject.group, subject.person, subject.case.name, scores)


def judge(subjects: Sequence[Named], orders: Orders, jobs: int, progress: Callable[[str], None]) -> Verdict:
    """Judge all subjects in `jobs` processes; the order of rows is that of the subjects."""
    if orders.pictures is not None:
        orders.pictures.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_one_thread) as pool:
        pending = [pool.submit(judge_one, named, orders) for named in subjects]
        for count, done in enumerate(as_completed(pending), 1):
            progress(f"{count} of {len(subjects)}: {done.result().name}")
    return Verdict([one.result() for one in pending])


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)
