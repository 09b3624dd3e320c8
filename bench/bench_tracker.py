"""The tracker alone on an organ of 90 x 170 mm in breath-holds, 350x350: `pytest bench/bench_tracker.py`.

`python -m bench.bench_tracker` prints what every part takes of a frame, by the processor's clock: waiting for a core
does not count.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle
from typing import Any, Final
from unittest.mock import patch

import cv2
import numpy as np
import pytest

from bench.sampling import measure
from bench.truth.scene import make_subject
from bench.truth.subject import Subject
from gating.latency.budgets import load_budgets
from gating.tracking import contour, frame_views, template_tracker
from gating.tracking.fixed_pattern import FixedPattern
from gating.tracking.local_contrast import Picture, SmoothedFrame
from gating.tracking.surroundings import Surroundings
from gating.tracking.template_tracker import TemplateTracker
from gating.tracking.tracker import TrackerSettings

PARTS: Final[dict[str, tuple[Any, str]]] = {
    "checks of the frame": (frame_views, "checked_pixels"),
    "search": (template_tracker, "place"),
    "smoothing": (SmoothedFrame, "load"),
    "local contrast": (Picture, "compute"),
    "fit": (contour.ContourFit, "propagate"),
    "fixed pattern": (FixedPattern, "lead_elsewhere"),
    "surroundings, in doubt": (Surroundings, "find"),
}
SCENES: Final = {"sure": "holds_organ", "in doubt": "holds_organ_0.35T"}


def referenced(subject: Subject) -> TemplateTracker:
    """Return a warm tracker with the reference of a subject."""
    cv2.setNumThreads(1)
    tracker, case = TemplateTracker(TrackerSettings()), subject.case
    tracker.warm_up()
    tracker.set_reference(case.frames[0], case.contour_px, case.pixel_spacing_mm)
    return tracker


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES.keys())
def test_an_organ_is_tracked_within_its_budget(benchmark: Any, scene: str) -> None:
    subject = make_subject(scene, "KS81", 0)
    tracker, frames = referenced(subject), cycle(subject.case.frames[1:])
    found = measure(benchmark, lambda: tracker.track(next(frames), 0.25), samples=600)
    budget = load_budgets().stage["track_organ"]
    assert found["p50"] <= budget.p50_ms
    assert found["p99"] <= budget.p99_ms


def main() -> None:
    """Print how long every part takes of a frame, ms."""
    for name, scene in SCENES.items():
        subject = make_subject(scene, "KS81", 0)
        print(f"\n{name}: {scene}\n| part | calls a frame | p50 ms | p99 ms |\n|---|---|---|---|")
        spent: dict[str, list[float]] = {"whole step": [], **{part: [] for part in PARTS}}
        tracker = referenced(subject)
        patches = [patch.object(owner, one, _timed(owner, one, spent[part])) for part, (owner, one) in PARTS.items()]
        for one in patches:
            one.start()
        for frame in subject.case.frames[1:]:
            began = time.thread_time()
            tracker.track(frame, 0.25)
            spent["whole step"].append(1e3 * (time.thread_time() - began))
        for one in patches:
            one.stop()
        for part, taken in spent.items():
            if taken:
                p50, p99 = np.percentile(taken, [50, 99])
                print(f"| {part} | {len(taken) / len(spent['whole step']):.2f} | {p50:.2f} | {p99:.2f} |")


def _timed(owner: Any, name: str, spent: list[float]) -> Callable[..., Any]:
    plain = getattr(owner, name)

    def timed(*given: Any, **named: Any) -> Any:
        began = time.thread_time()
        found = plain(*given, **named)
        spent.append(1e3 * (time.thread_time() - began))
        return found

    return timed


if __name__ == "__main__":
    main()
