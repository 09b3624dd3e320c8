"""Fit the confidence to known errors, and draw its reliability diagram on recordings that were not part of the fit.

`python -m bench.calibrate_confidence` prints the weights for `gating/tracking/confidence.py`. `--check` fits nothing
and draws `docs/img/reliability.svg` with the weights in use.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from bench.disturbances import SCENARIOS
from bench.semi_synthetic import recorded_cases, synthetic_cases
from gating.evaluation.case import Case
from gating.tracking import confidence
from gating.tracking.template_tracker import TemplateTracker
from gating.tracking.tracker import TrackerSettings

Array = NDArray[np.float64]
GOOD_MM, WRONG_MM, WRONG_WEIGHT = 2.0, 3.0, 5.0
RIDGE = 1e-3
SECONDS = 15.0
TRAINING_SEEDS, CHECKING_SEED = (10, 11), 17
PICTURE = Path(__file__).parents[1] / "docs" / "img" / "reliability.svg"


class Observed(NamedTuple):
    """Evidence, reported confidence and error of a tracker in n frames.

    Attributes
    ----------
    features
        (n, 10).
    reported
        (n,) confidence.
    errors_mm
        (n,) distance of the centre from the truth.
    vetoed
        (n,) bool; the model has no say there.
    """

    features: Array
    reported: Array
    errors_mm: Array
    vetoed: NDArray[np.bool_]


def observe(cases: Iterable[Case]) -> Observed:
    """Run the tracker over cases whose truth is known."""
    rows, reported, errors, vetoed = [], [], [], []
    for case in cases:
        tracker = TemplateTracker(TrackerSettings())
        tracker.set_reference(case.frames[0], case.contour_px, case.pixel_spacing_mm)
        truth = case.track_px if case.labels is None else np.array([_centre(label) for label in case.labels])
        assert truth is not None
        for index in range(1, len(case.frames)):
            result = tracker.track(case.frames[index], float(case.elapsed_s[index]))
            rows.append(confidence.features(tracker.evidence))
            reported.append(result.confidence)
            vetoed.append(confidence.veto(tracker.evidence) is not None)
            errors.append(np.hypot(*(truth[index] - (result.x_px, result.y_px))) * case.pixel_spacing_mm[0])
    known = np.isfinite(errors)
    return Observed(*(np.array(one)[known] for one in (rows, reported, errors, vetoed)))


def _centre(label: NDArray[np.bool_]) -> tuple[float, float]:
    rows, columns = np.nonzero(label)
    return (float(columns.mean()), float(rows.mean())) if len(rows) else (float("nan"), float("nan"))


def fit(features: Array, errors_mm: Array) -> Array:
    """Return intercept and weights (0 or more) of a logistic model of `error <= 2 mm`; wrong frames count more."""
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-9
    design = np.column_stack([np.ones(len(features)), (features - mean) / deviation])
    good = (errors_mm <= GOOD_MM).astype(float)
    weight = np.where(errors_mm > WRONG_MM, WRONG_WEIGHT, 1.0)
    ridge = np.r_[0.0, np.full(features.shape[1], RIDGE)]

    def loss(values: Array) -> tuple[float, Array]:
        logit = design @ values
        cost = np.logaddexp(0.0, -logit) * good + np.logaddexp(0.0, logit) * (1 - good)
        slope = design.T @ (weight * (1.0 / (1.0 + np.exp(-logit)) - good)) / weight.sum() + ridge * values
        return float((weight * cost).sum() / weight.sum() + 0.5 * (ridge * values**2).sum()), slope

    bounds = [(None, None)] + [(0.0, None)] * features.shape[1]
    found = minimize(loss, np.zeros(design.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds).x
    weights = found[1:] / deviation
    values: Array = np.r_[found[0] - weights @ mean, weights]
    return values


def reliability(reported: Array, errors_mm: Array) -> list[tuple[float, float, float, int, int]]:
    """Return for each bin of confidence: upper limit, mean, observed fraction, frames, frames wrong by > 3 mm."""
    table = []
    edges = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0]
    for low, high in itertools.pairwise(edges):
        inside = (reported >= low) & ((reported < high) | (high == 1.0))
        if inside.any():
            good = errors_mm[inside] <= GOOD_MM
            wrong = int((errors_mm[inside] > WRONG_MM).sum())
            table.append((high, float(reported[inside].mean()), float(good.mean()), int(inside.sum()), wrong))
    return table


def draw(path: Path, table: list[tuple[float, float, float, int, int]]) -> None:
    """Draw the reliability diagram as SVG. The area of a dot grows with its number of frames."""
    size, pad = 360, 50
    total = sum(row[3] for row in table)

    def at(x: float, y: float) -> tuple[float, float]:
        return pad + x * size, pad + (1.0 - y) * size

    (x0, y0), (x1, y1) = at(0, 0), at(1, 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size + 2 * pad}" height="{size + 2 * pad}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<path d="M{x0} {y1}V{y0}H{x1}" fill="none" stroke="black"/>',
        f'<path d="M{x0} {y0}L{x1} {y1}" stroke="gray" stroke-dasharray="4"/>',
    ]
    for tick in np.linspace(0, 1, 6):
        (x, _), (_, y) = at(tick, 0), at(0, tick)
        parts.append(f'<text x="{x}" y="{y0 + 18}" text-anchor="middle">{tick:.1f}</text>')
        parts.append(f'<text x="{x0 - 8}" y="{y + 4}" text-anchor="end">{tick:.1f}</text>')
    for _, mean, observed, count, _ in table:
        x, y = at(mean, observed)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{3 + 22 * np.sqrt(count / total):.1f}" fill="#1668b0" '
                     'fill-opacity="0.55"/>')  # fmt: skip
    parts.append(f'<text x="{x0 + size / 2}" y="{y0 + 40}" text-anchor="middle">reported confidence</text>')
    parts.append(
        f'<text transform="translate(14 {y0 - size / 2}) rotate(-90)" text-anchor="middle">'
        "observed fraction within 2 mm</text></svg>"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts) + "\n")


def main() -> None:
    """Fit, or check the weights in use."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args().check:
        seen = [observe(synthetic_cases(seed=seed, seconds=SECONDS)) for seed in TRAINING_SEEDS]
        seen.append(observe(recorded_cases()))
        features, _, errors_mm, vetoed = (np.concatenate(parts) for parts in zip(*seen, strict=True))
        values = fit(features[~vetoed], errors_mm[~vetoed])
        print("INTERCEPT =", round(float(values[0]), 3))
        print("WEIGHTS =", tuple(round(float(value), 3) for value in values[1:]))
        good = features[errors_mm <= GOOD_MM / 2.0]
        print("USUAL =", tuple(round(float(value), 2) for value in np.median(good, axis=0)))
        return
    limit = TrackerSettings().min_confidence
    checked: list[tuple[Array, Array]] = []
    print("| scenario | frames | within 2 mm | confident | confident and > 3 mm |\n|---|---|---|---|---|")
    for scenario in SCENARIOS:
        _, some, errors_mm, _ = observe(synthetic_cases(seed=CHECKING_SEED, scenarios=[scenario], seconds=SECONDS))
        checked.append((some, errors_mm))
        wrong = int(((some >= limit) & (errors_mm > WRONG_MM)).sum())
        within = float((errors_mm <= GOOD_MM).mean())
        print(
            f"| {scenario} | {len(some)} | {within:.3f} | {float((some >= limit).mean()):.3f} | {wrong} |", flush=True
        )
    reported, errors = (np.concatenate([one[part] for one in checked]) for part in (0, 1))
    table = reliability(reported, errors)
    print("\n| confidence | mean | within 2 mm | frames | > 3 mm |\n|---|---|---|---|---|")
    for high, mean, observed, count, wrong in table:
        print(f"| up to {high:.2f} | {mean:.3f} | {observed:.3f} | {count} | {wrong} |")
    confident = reported >= limit
    print(
        f"confident {confident.mean():.3f} of {len(errors)}, of the good ones {confident[errors <= GOOD_MM].mean():.3f}"
    )
    draw(PICTURE, table)


if __name__ == "__main__":
    main()
