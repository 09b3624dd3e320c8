"""Everything a tracker is judged on: scenes of every scenario and person, and real recordings.

A subject is named here and made where it is judged, so that only one is held in memory by each process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from bench.disturbances import SCENARIOS as EARLIER
from bench.disturbances import TARGETS_MM
from bench.truth.people import DATA
from bench.truth.scenarios import SCENARIOS
from bench.truth.subject import Subject
from gating.evaluation.case import Case
from gating.geometry.contours import box_contour, contour_centroid, contour_from_mask

LABELLED: Final = ("labelled/ETH3L", "labelled/RT_M1_033", "labelled/RT_M4_395", "labelled/TONGUE3T",
                   "trackrad_example/Z_001")  # fmt: skip
TRACKED: Final = ("KS81_1", "QN76_1", "II29_1", "CS31_2")
HOLD_MM: Final = 40.0
LOW_SIGNAL: Final = "ON65_2"
LOW_SIGNAL_BOXES: Final = ((60, 70, 36, 34), (62, 100, 34, 34), (88, 88, 34, 34), (62, 62, 34, 34), (84, 62, 34, 34),
                           (100, 100, 34, 34), (40, 88, 34, 34), (80, 110, 34, 34))  # fmt: skip
"""Boxes (x, y, width, height) px over the part of ON65_2 where a liver should be; nobody knows the truth there."""


@dataclass(frozen=True, slots=True)
class Named:
    """A subject by name: `kind` is `scene`, `earlier`, `labelled`, `tracked`, `shifted` or `low_signal`."""

    kind: str
    what: str
    who: str = ""
    seed: int = 0


def scenes(
    scenarios: Iterable[str], people: Iterable[str], seeds: Iterable[int], one_person_in: int = 1
) -> Iterator[Named]:
    """Yield the scenes of scenarios with those of their people who are wanted; all of them if none is named.

    With `one_person_in` = 3, a seed takes every third person of a scenario and the next seed the next of them, so that
    three seeds see every scenario with everyone at a third of the cost.
    """
    wanted = set(people)
    for turn, seed in enumerate(seeds):
        for scenario in scenarios or SCENARIOS:
            for place, person in enumerate(SCENARIOS[scenario].people):
                if (not wanted or person in wanted) and (turn + place) % one_person_in == 0:
                    yield Named("scene", scenario, person, seed)


def earlier_scenes(seeds: Iterable[int]) -> Iterator[Named]:
    """Yield the scenes of `bench.semi_synthetic`."""
    for seed in seeds:
        for scenario in EARLIER:
            yield from (
                Named("earlier", scenario, f"{who}/{one}", seed) for who in TARGETS_MM for one in TARGETS_MM[who]
            )


def recordings() -> Iterator[Named]:
    """Yield real recordings: labelled, with a reference track, with a hold added to it, and of low signal."""
    yield from (Named("labelled", path) for path in LABELLED)
    yield from (Named("tracked", name) for name in TRACKED)
    yield from (Named("shifted", name) for name in TRACKED)
    yield from (Named("low_signal", LOW_SIGNAL, seed=index) for index in range(len(LOW_SIGNAL_BOXES)))


def make(named: Named) -> Subject:
    """Return the subject of a name."""
    if named.kind == "scene":
        from bench.truth.scene import make_subject

        return make_subject(named.what, named.who, named.seed)
    if named.kind == "earlier":
        from bench.semi_synthetic import make_case

        person, _, target = named.who.partition("/")
        case = make_case(person, target, named.what, seed=named.seed, seconds=15.0)
        return _labelled(replace(case, name=f"{case.name}/{named.seed}"), f"earlier {named.what}", person)
    if named.kind == "low_signal":
        return _low_signal(named.seed)
    from cinegate.cases import read_cases

    if named.kind == "labelled":
        case = next(read_cases(DATA / named.what))
        return _labelled(case, case.name, case.name)
    case = next(case for case in read_cases(DATA / "liver_cine") if case.name == named.what)
    if named.kind == "tracked":
        return _tracked(case, case.name, case.name)
    from bench.semi_synthetic import shifted

    return _tracked(shifted(case, HOLD_MM), f"{case.name} + {HOLD_MM:.0f} mm", case.name)


def _labelled(case: Case, group: str, person: str) -> Subject:
    assert case.labels is not None
    contours = [contour_from_mask(label) for label in case.labels]
    outline_px = np.array([contour_centroid(contour) for contour in contours])
    return Subject(case, group, person, contours, outline_px, np.full_like(outline_px, np.nan))


def _tracked(case: Case, group: str, person: str) -> Subject:
    assert case.track_px is not None
    unknown = np.full_like(case.track_px, np.nan)
    return Subject(case, group, person, [], unknown, case.track_px)


def _low_signal(index: int) -> Subject:
    with np.load(DATA / "liver_cine" / f"{LOW_SIGNAL}.npz") as arrays:
        frames, time_s, spacing = arrays["frames"], arrays["t_s"], arrays["pixel_spacing_mm"]
    x, y, width, height = LOW_SIGNAL_BOXES[index]
    name = f"{LOW_SIGNAL} {x},{y}"
    elapsed_s = np.diff(time_s, prepend=time_s[0]).astype(np.float64)
    case = Case(name, frames, elapsed_s, (float(spacing[0]), float(spacing[1])), box_contour(x, y, width, height))
    unknown = np.full((len(frames), 2), np.nan)
    return Subject(case, name, LOW_SIGNAL, [], unknown, unknown)
