"""Prediction errors on recorded motion, beside persistence, scikit-learn's ridge and statsmodels' AutoReg.

Run: python -m bench.bench_prediction FOLDER_OF_TRACES [--out FILE.csv] [--markdown FILE.md]

Every predictor gets one position after another, as in a live session. The truth at `t + horizon` is the trace itself,
interpolated linearly. Figures, over all axes of the trace together (3D, or 1D for a surrogate signal):

rmse_mm, p95_mm   of the distance between prediction and truth
vs_persistence    RMSE divided by that of persistence
accuracy          share of time in which the predicted gate is the right one
gate_error_ms     mean time by which a transition of the predicted gate is early or late; unmatched ones do not count

The gate is open while the target is within the 60th percentile of its distances from its median position. That window
belongs to the scoring; no predictor sees it.
"""

from __future__ import annotations

import argparse
import csv
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.motion_traces import Trace, read_trace
from gating.prediction import PREDICTORS, Predictor, make_predictor

HORIZONS_S = (0.1, 0.25, 0.5)
COLUMNS = ("trace", "horizon_ms", "predictor", "rmse_mm", "p95_mm", "vs_persistence", "accuracy", "gate_error_ms")


class Peer(ABC):
    """A library's model, fitted every second to the last 40 s. For the first 5 s it predicts the newest position."""

    def __init__(self) -> None:
        self._t: list[float] = []
        self._p: list[Any] = []
        self._fitted_s = -np.inf

    def observe(self, t_s: float, position_mm: Any) -> None:
        self._t.append(t_s)
        self._p.append(np.asarray(position_mm, float))

    def predict(self, horizon_s: float) -> NDArray[np.float64]:
        t, p = np.array(self._t[-2048:]), np.array(self._p[-2048:])
        if t[-1] - t[0] < 5.0:
            newest: NDArray[np.float64] = p[-1]
            return newest
        if t[-1] - self._fitted_s >= 1.0:
            self._fit(t, p, horizon_s)
            self._fitted_s = t[-1]
        return self._forecast(t, p, horizon_s)

    @abstractmethod
    def _fit(self, t: NDArray[np.float64], p: NDArray[np.float64], horizon_s: float) -> None:
        """Fit the model to the samples of the last 40 s."""

    @abstractmethod
    def _forecast(self, t: NDArray[np.float64], p: NDArray[np.float64], horizon_s: float) -> NDArray[np.float64]:
        """Return the position `horizon_s` after the newest sample."""


class SklearnRidge(Peer):
    """scikit-learn's `Ridge` on lagged absolute positions."""

    def __init__(self, lag_s: float = 0.2, lags: int = 6) -> None:
        super().__init__()
        self._lags_s = lag_s * np.arange(lags)
        self._model: Any = None

    def _fit(self, t: NDArray[np.float64], p: NDArray[np.float64], horizon_s: float) -> None:
        from sklearn.linear_model import Ridge

        rows = t[(t >= max(t[0] + self._lags_s[-1], t[-1] - 40.0)) & (t + horizon_s <= t[-1])]
        self._model = Ridge(alpha=1.0).fit(self._lagged(rows, t, p), _at(rows + horizon_s, t, p))

    def _forecast(self, t: NDArray[np.float64], p: NDArray[np.float64], horizon_s: float) -> NDArray[np.float64]:
        del horizon_s  # the model was fitted for it
        predicted: NDArray[np.float64] = self._model.predict(self._lagged(t[-1:], t, p)).reshape(-1)
        return predicted

    def _lagged(self, rows: NDArray[np.float64], t: NDArray[np.float64], p: NDArray[np.float64]) -> Any:
        return np.concatenate([_at(rows - lag_s, t, p) for lag_s in self._lags_s], axis=1)


class StatsmodelsAutoReg(Peer):
    """statsmodels' `AutoReg` for each axis, on even samples.

    Its coefficients are applied to the newest positions, one even sample after another.
    """

    def __init__(self, span_s: float = 1.0) -> None:
        super().__init__()
        self._span_s = span_s
        self._models: list[NDArray[np.float64]] = []
        self._step_s = 0.0

    def _fit(self, t: NDArray[np.float64], p: NDArray[np.float64], horizon_s: float) -> None:
        del horizon_s  # one model serves them all
        from statsmodels.tsa.ar_model import AutoReg

        self._step_s = max(0.1, float(np.median(np.diff(t))))
        even = _at(np.arange(t[-1], max(t[0], t[-1] - 40.0), -self._step_s)[::-1], t, p)
        lags = min(round(self._span_s / self._step_s) + 1, len(even) // 4)
        self._models = [AutoReg(axis, lags, trend="c").fit().params for axis in even.T]

    def _forecast(self, t: NDArray[np.float64], p: NDArray[np.float64], horizon_s: float) -> NDArray[np.float64]:
        lags = len(self._models[0]) - 1
        even = _at(t[-1] - self._step_s * np.arange(lags)[::-1], t, p)
        return np.array([self._ahead(axis, model, horizon_s) for axis, model in zip(even.T, self._models, strict=True)])

    def _ahead(self, axis: NDArray[np.float64], model: NDArray[np.float64], horizon_s: float) -> float:
        known = axis.tolist()
        steps = horizon_s / self._step_s
        for _ in range(int(np.ceil(steps))):
            known.append(float(model[0] + model[1:] @ np.array(known[: -len(model) : -1])))
        return float(np.interp(len(axis) - 1 + steps, np.arange(len(known)), known))


def predict_all(predictor: Predictor, trace: Trace, horizon_s: float) -> NDArray[np.float64]:
    """Return the prediction at every sample for `horizon_s` later, (samples, axes)."""
    predicted = []
    for t_s, position in zip(*trace, strict=True):
        predictor.observe(float(t_s), position)
        predicted.append(predictor.predict(horizon_s))
    return np.array(predicted)


def score(predicted: NDArray[np.float64], trace: Trace, horizon_s: float) -> dict[str, float]:
    """Compare predictions with the trace."""
    t, p = trace
    known = t + horizon_s <= t[-1]
    truth, predicted, t = _at(t[known] + horizon_s, *trace), predicted[known], t[known]
    miss = np.linalg.norm(predicted - truth, axis=1)
    centre = np.median(p, axis=0)
    radius = np.percentile(np.linalg.norm(p - centre, axis=1), 60)
    true_gate, predicted_gate = (np.linalg.norm(x - centre, axis=1) <= radius for x in (truth, predicted))
    return {
        "rmse_mm": float(np.sqrt((miss**2).mean())),
        "p95_mm": float(np.percentile(miss, 95)),
        "accuracy": float((true_gate == predicted_gate).mean()),
        "gate_error_ms": 1e3 * _transition_error_s(t, true_gate, predicted_gate),
    }


def _transition_error_s(
    t: NDArray[np.float64], true_gate: NDArray[np.bool_], predicted_gate: NDArray[np.bool_]
) -> float:
    """Return the mean time between each true transition and the nearest predicted one of its direction within 1 s."""
    errors = []
    for direction in (1, -1):
        true_s, predicted_s = (t[1:][np.diff(x.astype(int)) == direction] for x in (true_gate, predicted_gate))
        if len(predicted_s):
            away_s = np.abs(true_s[:, None] - predicted_s[None]).min(axis=1)
            errors += away_s[away_s <= 1.0].tolist()
    return float(np.mean(errors)) if errors else float("nan")


def _at(when_s: NDArray[np.float64], t: NDArray[np.float64], p: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([np.interp(when_s, t, axis) for axis in p.T], axis=1)


def bench(path: Path) -> list[dict[str, Any]]:
    """Return one row per horizon and predictor."""
    trace = read_trace(path)
    makers: dict[str, Callable[[], Predictor]] = {name: partial(make_predictor, name) for name in PREDICTORS}
    makers["sklearn Ridge"] = SklearnRidge
    makers["statsmodels AutoReg"] = StatsmodelsAutoReg
    rows = []
    for horizon_s in HORIZONS_S:
        scores = {n: score(predict_all(make(), trace, horizon_s), trace, horizon_s) for n, make in makers.items()}
        still = scores["persistence"]["rmse_mm"]
        for name, figures in scores.items():
            row = {"trace": path.name, "horizon_ms": round(1e3 * horizon_s), "predictor": name}
            rows.append(row | figures | {"vs_persistence": figures["rmse_mm"] / still if still else 1.0})
    return rows


NAMES = {
    "201205101519-UAC": "marker UAC",
    "201205181211-LAC": "marker LAC",
    "LiverTraj_BreathHold1": "liver, held",
    "LiverTraj_LargeSI70s": "liver, large SI",
    "LiverTraj_RegularBreathing70s": "liver, regular",
    "PT01_13112021": "RPM surrogate",
    "Prostate_PersistentExcursion": "prostate",
}
SHOWN = ("persistence", "ridge", "rls", "kalman", "sklearn Ridge", "statsmodels AutoReg")


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return the table of docs/gating.md."""
    lines = [
        "| trace | horizon ms | persistence | ridge | RLS | Kalman | scikit-learn Ridge | statsmodels AutoReg | "
        "gating accuracy %, persistence / ridge | gating error ms, persistence / ridge |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for trace, horizon_ms in dict.fromkeys((row["trace"], row["horizon_ms"]) for row in rows):
        by = {r["predictor"]: r for r in rows if (r["trace"], r["horizon_ms"]) == (trace, horizon_ms)}
        name = next((name for start, name in NAMES.items() if trace.startswith(start)), trace)
        cells = [_cell(by[predictor]) for predictor in SHOWN]
        still, ours = by["persistence"], by["ridge"]
        right = f"{100 * still['accuracy']:.0f} / {100 * ours['accuracy']:.0f}"
        late = f"{still['gate_error_ms']:.0f} / {ours['gate_error_ms']:.0f}"
        lines.append(f"| {name} | {horizon_ms} | {' | '.join(cells)} | {right} | {late} |")
    return "\n".join(lines) + "\n"


def _cell(row: dict[str, Any]) -> str:
    share = "" if row["predictor"] == "persistence" else f" ({_two_digits(row['vs_persistence'])})"
    return f"{_two_digits(row['rmse_mm'])} / {_two_digits(row['p95_mm'])}{share}"


def _two_digits(value: float) -> str:
    return f"{value:.2f}" if value < 99 else ">99"


def main() -> None:
    """Print one line per trace, horizon and predictor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("traces", type=Path, nargs="+", help="trace files, or folders of them")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    files = [f for p in arguments.traces for f in (sorted(p.iterdir()) if p.is_dir() else [p])]
    writer = csv.DictWriter(sys.stdout, COLUMNS)
    writer.writeheader()
    everything: list[dict[str, Any]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in files:
            for row in bench(path):
                writer.writerow(_shown(row))
                everything.append(row)
                sys.stdout.flush()
    if arguments.out is not None:
        with arguments.out.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, COLUMNS)
            table.writeheader()
            table.writerows(_shown(row) for row in everything)
    if arguments.markdown is not None:
        arguments.markdown.write_text(markdown(everything), encoding="utf-8")


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {k: f"{v:.3f}" if isinstance(v, float) else v for k, v in row.items()}


if __name__ == "__main__":
    main()
