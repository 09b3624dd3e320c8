"""Fit the confidence to known errors, and judge it on people who were not part of the fit.

`python -m bench.calibrate_confidence` fits both models, alone and with a memory, and prints them for
`gating/tracking/confidence.py`, with what each does to a person left out of the fit. `--check` fits nothing: it judges
the models in use on other seeds and draws `docs/img/reliability.svg`.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from bench.reliability import PICTURE, Frames, Verdict, draw, judged
from bench.truth.score import TOF_POINTS, score
from bench.truth.subjects import Named, make, recordings, scenes
from gating.evaluation.run import run_case
from gating.tracking import confidence
from gating.tracking.confidence import FEATURES, Model
from gating.tracking.template_tracker import TemplateTracker
from gating.tracking.tracker import TrackerSettings, TrackResult

Array = NDArray[np.float64]
GOOD_MM: Final = 2.0
WRONG_WEIGHT: Final = 5.0
RIDGE: Final = 1e-3
FITTING_SEEDS, CHECKING_SEEDS = (10, 11), tuple(range(20, 30))
PREPARATION: Final = 0.42
"""Share of a scene that is its preparation."""


class Observed(NamedTuple):
    """Evidence, reported confidence and truth of n frames of one subject.

    Attributes
    ----------
    group, person : str
    features : (n, k) float64
        In the order of `FEATURES`.
    reported : (n,) float64
        Confidence by the models in use.
    good : (n,) bool
        Whether position and shape are right, see `gating.tracking.confidence`.
    wrong : (n,) bool
        Whether the centre is more than 3 mm off (2 px where that is more).
    vetoes : (n,) str
        The veto that refused each frame, empty where the models have the say.
    """

    group: str
    person: str
    features: Array
    reported: Array
    good: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    vetoes: NDArray[np.str_]

    @property
    def vetoed(self) -> NDArray[np.bool_]:
        """Where the models have no say."""
        return np.asarray(self.vetoes != "", np.bool_)


class WitnessedTracker(TemplateTracker):
    """Keeps the evidence of every frame."""

    def __init__(self, settings: TrackerSettings) -> None:
        super().__init__(settings)
        self.rows: list[tuple[float, ...]] = []
        self.vetoes: list[str] = []

    def track(self, pixels: NDArray[np.generic], elapsed_s: float) -> TrackResult:
        """Track, and keep what the confidence was computed from."""
        result = super().track(pixels, elapsed_s)
        self.rows.append(confidence.features(self.evidence))
        self.vetoes.append(confidence.veto(self.evidence) or "")
        return result


def observe(named: Named, prepared: bool) -> Observed:
    """Run the tracker over a subject whose truth is known."""
    subject, made = make(named), list[WitnessedTracker]()
    frames = len(subject.case.frames)

    def tracker(settings: TrackerSettings) -> WitnessedTracker:
        made.append(WitnessedTracker(settings))
        return made[-1]

    run = run_case(subject.case, tracker, TrackerSettings(), int(PREPARATION * frames) if prepared else 0)
    scores = score(run, subject, run.first)
    witness, scored = made[-1], np.s_[-len(scores.judged_mm) :]
    known = np.isfinite(scores.judged_mm)
    right = (scores.judged_mm <= GOOD_MM) & ~(np.abs(scores.tof_points) > TOF_POINTS)
    return Observed(
        subject.group,
        subject.person,
        np.array(witness.rows)[scored][known],
        scores.confidence[known],
        right[known],
        (scores.judged_mm > scores.wrong_mm)[known],
        np.array(witness.vetoes)[scored][known],
    )


def observe_all(subjects: Sequence[Named], prepared: bool, jobs: int) -> Iterator[Observed]:
    """Observe subjects in processes of their own, in order."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        yield from pool.map(observe, subjects, itertools.repeat(prepared))


def fit(seen: Iterable[Observed]) -> Model:
    """Return a logistic model with weights of 0 or more; a frame that is wrong counts several times."""
    rows = list(seen)
    free = [~one.vetoed for one in rows]
    features, good, wrong = (
        np.concatenate([getattr(one, name)[kept] for one, kept in zip(rows, free, strict=True)])
        for name in ("features", "good", "wrong")
    )
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-9
    design = np.column_stack([np.ones(len(features)), (features - mean) / deviation])
    weight = np.where(wrong, WRONG_WEIGHT, 1.0)
    ridge = np.r_[0.0, np.full(features.shape[1], RIDGE)]

    def loss(values: Array) -> tuple[float, Array]:
        log_odds = design @ values
        cost = np.logaddexp(0.0, -log_odds) * good + np.logaddexp(0.0, log_odds) * ~good
        slope = design.T @ (weight * (expit(log_odds) - good)) / weight.sum() + ridge * values
        return float((weight * cost).sum() / weight.sum() + 0.5 * (ridge * values**2).sum()), slope

    varies = deviation > 1e-6
    bounds = [(None, None)] + [(0.0, None) if varies[k] else (0.0, 0.0) for k in range(len(FEATURES))]
    found = minimize(loss, np.zeros(design.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds).x
    weights = found[1:] / deviation
    return Model(
        round(float(found[0] - weights @ mean), 3),
        tuple(round(float(value), 3) for value in weights),
        tuple(round(float(value), 2) for value in np.median(features[good], axis=0)),
    )


def believed(model: Model, one: Observed) -> Array:
    """Return the confidence by a model."""
    stated = expit(model.intercept + one.features @ np.array(model.weights))
    return np.asarray(np.where(one.vetoed, np.minimum(stated, confidence.VETO_LIMIT), stated), np.float64)


def left_out(seen: Sequence[Observed]) -> Verdict:
    """Return how a model judges each person after a fit to all others."""
    models = {
        person: fit(one for one in seen if one.person != person) for person in dict.fromkeys(one.person for one in seen)
    }
    return judged(
        (one.group, Frames(believed(models[one.person], one), one.good, one.wrong, one.vetoed)) for one in seen
    )


def refusals(seen: Iterable[Observed]) -> str:
    """Return a row for each veto, the most frequent first: the frames it refused, and how many of them were right.

    A frame counts for the first veto that refused it, in the order of `gating.tracking.confidence.veto`.
    """
    rows = list(seen)
    vetoes, good, wrong = (np.concatenate([getattr(one, name) for one in rows]) for name in ("vetoes", "good", "wrong"))
    lines = ["| veto | frames refused | right | wrong by more than 3 mm |", "|---|---|---|---|"]
    for veto, count in Counter(vetoes[vetoes != ""].tolist()).most_common():
        refused = vetoes == veto
        lines.append(f"| {veto} | {count} | {good[refused].sum()} | {wrong[refused].sum()} |")
    return "\n".join(lines)


def main() -> None:
    """Fit, or check the models in use."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="judge the models in use, and draw")
    parser.add_argument("--seeds", type=int, nargs="+", help="of the scenes")
    parser.add_argument("--only", choices=["alone", "prepared"], help="one of the two models")
    parser.add_argument("--one-person-in", type=int, default=1, help="every nth person of a scenario, in turn by seed")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    given = parser.parse_args()
    seeds = given.seeds or (CHECKING_SEEDS if given.check else FITTING_SEEDS)
    tracked = [] if given.check else [named for named in recordings() if named.kind in ("tracked", "shifted")]
    chosen = list(scenes([], [], seeds, given.one_person_in))
    verdicts = {}
    for name in ("ALONE", "PREPARED"):
        if given.only not in (None, name.lower()):
            continue
        seen = list(observe_all([*chosen, *tracked], name == "PREPARED", given.jobs))
        if given.check:
            verdicts[name] = judged((one.group, Frames(one.reported, one.good, one.wrong, one.vetoed)) for one in seen)
        else:
            print(f"{name} = {fit(seen)}\n\nEvery person judged by a fit to all others:\n")
            verdicts[name] = left_out(seen)
        print(f"{name}\n\n{verdicts[name].table()}\n\n{refusals(seen)}\n", flush=True)
    if given.check:
        draw(PICTURE, verdicts)


if __name__ == "__main__":
    main()
