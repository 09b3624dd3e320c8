"""Prediction at the rates of MRI: ridge and blend beside kernel and recurrent peers, all watched and calibrated.

Run: python -m bench.prediction [FOLDER] [--rates 2.5 4 8] [--latencies-ms 100 200 300 400 500 600]
     [--processes 2] [--json FILE] [--markdown FILE]
     python -m bench.prediction --cost

Every trace of the folder, and every reference track of a cine recording, is sampled as a scanner of 4 and of 8 frames/s
would, and as two interleaved planes of 5 frames/s show each (a slower recording as it is). The truth is the whole
recording at its own rate. Peers are fitted every second to the last 40 s, and predict displacements; all are under the
same watch (`gating.prediction.watched`).

rmse_mm           of the distance between prediction and truth
vs_persistence    RMSE divided by that of persistence
coverage          share of coordinates in their 90 % intervals (`gating.prediction.calibrated`), where the recording has
                  a position within a fifth of its interval of the predicted time: between positions the truth is not
                  known, and what is interpolated is smoother. Null where that is never so
half_width_mm     median half-width of those intervals, all axes
ms                time of one position and its prediction

With `--cost`: how long a position takes in the position stream, which predicts several horizons, where images come at
4 to 50/s. The slowest is that in which a kernel is fitted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from bench.bench_prediction import Peer
from bench.motion_traces import Trace, motion_files, read_trace, sampled, trace_name
from bench.row_tables import add_files, tell
from gating.positions.plane_track import PlaneTrack
from gating.prediction import Blend, Persistence, Predictor, Ridge, Watched
from gating.prediction.calibrated import NORMAL_HALF_WIDTH, Calibrated
from gating.settings.positions import PositionSettings

Series = NDArray[np.float64]
LATENCIES_MS: Final = (100, 200, 300, 400, 500, 600)
WINDOW_S: Final = 40.0
RECORDED: Final = 0.2
"""Coverage is judged where a recorded position is no farther than this part of the recording's interval."""


class KernelPeer(Peer):
    """scikit-learn's `KernelRidge` (Gaussian kernel) on the newest position and the last second before it."""

    def __init__(self, penalty: float = 0.03, width: float = 3.0) -> None:
        super().__init__()
        self._lags_s = 0.2 * np.arange(1, 6)
        self._penalty, self._width = penalty, width
        self._model: Any = None

    def _fit(self, t: Series, p: Series, horizon_s: float) -> None:
        from sklearn.kernel_ridge import KernelRidge

        rows = t[(t >= max(t[0] + self._lags_s[-1], t[-1] - WINDOW_S)) & (t + horizon_s <= t[-1])]
        self._centre, self._size = p.mean(axis=0), max(float(np.linalg.norm(p.std(axis=0))), 1e-6)
        seen = self._rows(rows, t, p)
        self._model = KernelRidge(alpha=self._penalty, kernel="rbf", gamma=1.0 / (self._width**2))
        self._model.fit(seen, (_at(rows + horizon_s, t, p) - _at(rows, t, p)) / self._size)

    def _forecast(self, t: Series, p: Series, horizon_s: float) -> Series:
        del horizon_s  # the model was fitted for it
        ahead: Series = p[-1] + self._size * self._model.predict(self._rows(t[-1:], t, p))[0]
        return ahead

    def _rows(self, when_s: Series, t: Series, p: Series) -> Series:
        here = _at(when_s, t, p)
        before = [3.0 * (_at(when_s - lag_s, t, p) - here) for lag_s in self._lags_s]
        return np.concatenate([here - self._centre, *before], axis=1) / self._size


class RecurrentPeer(Peer):
    """An echo state network: reservoirpy's `Reservoir`, read out by ridge regression on the last 40 s of its states."""

    def __init__(self, units: int = 100) -> None:
        super().__init__()
        from reservoirpy.nodes import Reservoir

        self._reservoir = Reservoir(units, lr=0.6, sr=0.9, input_scaling=0.5, seed=1)
        self._states: list[Series] = []

    def observe(self, t_s: float, position_mm: Any) -> None:
        super().observe(t_s, position_mm)
        recent = np.array(self._p[-300:])
        size = max(float(np.linalg.norm(recent.std(axis=0))), 0.1)
        self._states.append(np.ravel(self._reservoir((recent[-1] - recent.mean(axis=0)) / size)))

    def _fit(self, t: Series, p: Series, horizon_s: float) -> None:
        from sklearn.linear_model import Ridge as Readout

        states = np.array(self._states[-len(t) :])
        rows = (t >= t[-1] - WINDOW_S) & (t + horizon_s <= t[-1])
        self._readout = Readout(alpha=0.3).fit(states[rows], _at(t[rows] + horizon_s, t, p) - p[rows])

    def _forecast(self, t: Series, p: Series, horizon_s: float) -> Series:
        del t, horizon_s  # the readout was fitted for it
        ahead: Series = p[-1] + self._readout.predict(self._states[-1][None]).reshape(-1)
        return ahead


PREDICTORS: Final[dict[str, Callable[[], Predictor]]] = {
    "persistence": Persistence,
    "ridge": Ridge,
    "blend": Blend,
    "kernel": KernelPeer,
    "recurrent": RecurrentPeer,
}


def _at(when_s: Series, t: Series, p: Series) -> Series:
    return np.stack([np.interp(when_s, t, axis) for axis in p.T], axis=1)


def _recorded(when_s: Series, t: Series) -> NDArray[np.bool_]:
    """Return whether the recording has a position close to each time."""
    after = np.clip(np.searchsorted(t, when_s), 1, len(t) - 1)
    near: NDArray[np.bool_] = np.minimum(np.abs(t[after] - when_s), np.abs(when_s - t[after - 1])) <= RECORDED * float(
        np.median(np.diff(t))
    )
    return near


def score(make: Callable[[], Predictor], seen: Trace, truth: Trace, horizon_s: float) -> dict[str, float | None]:
    """Return the figures of a predictor that is given the samples `seen`."""
    calibrated = Calibrated(make() if make is Persistence else Watched(make(), max_horizon_s=1.0))
    said, widths = [], []
    began_s = time.perf_counter()
    for t_s, position in zip(*seen, strict=True):
        calibrated.observe(float(t_s), position)
        prediction = calibrated.predict(horizon_s)
        covariance = prediction.covariance_mm2
        said.append(prediction.position_mm)
        unknown = np.full(len(position), np.nan)
        widths.append(unknown if covariance is None else NORMAL_HALF_WIDTH * np.sqrt(np.diag(covariance)))
    took_s = time.perf_counter() - began_s
    known = seen[0] + horizon_s <= truth[0][-1]
    due_s = seen[0][known] + horizon_s
    miss = np.array(said)[known] - _at(due_s, *truth)
    judged = np.isfinite(width := np.array(widths)[known]) & _recorded(due_s, truth[0])[:, None]
    return {
        "rmse_mm": float(np.sqrt((miss**2).sum(axis=1).mean())),
        "coverage": float((np.abs(miss) <= width + 1e-9)[judged].mean()) if judged.any() else None,
        "half_width_mm": float(np.median(width[np.isfinite(width)])),
        "ms": 1e3 * took_s / len(said),
    }


def compare(path: Path, rate_hz: float, latencies_ms: Sequence[float]) -> dict[str, Any]:
    """Return the figures of every predictor on one trace, for each latency."""
    truth = read_trace(path)
    seen = sampled(truth, rate_hz)
    rows = []
    for latency_ms in latencies_ms:
        figures: dict[str, dict[str, Any]] = {
            name: dict(score(make, seen, truth, latency_ms / 1e3)) for name, make in PREDICTORS.items()
        }
        still = figures["persistence"]["rmse_mm"]
        for found in figures.values():
            found["vs_persistence"] = found["rmse_mm"] / still if still else 1.0
        rows.append({"latency_ms": latency_ms, "predictors": figures})
    actual_hz = (len(seen[0]) - 1) / float(seen[0][-1] - seen[0][0])
    return {"trace": trace_name(path), "asked_hz": rate_hz, "rate_hz": round(actual_hz, 2), "latencies": rows}


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of docs/explanation/following.md."""
    latencies = [one["latency_ms"] for one in rows[0]["latencies"]]
    heads = [f"{latency_ms:g} ms" for latency_ms in latencies]
    lines = [f"| trace | frames/s | {' | '.join(heads)} | coverage of blend %: {' / '.join(heads)} |"]
    lines.append("|---|---|" + "---|" * (len(heads) + 1))
    for row in rows:
        by_latency = [one["predictors"] for one in row["latencies"]]
        rmse = " | ".join(" / ".join(f"{one['rmse_mm']:.2f}" for one in each.values()) for each in by_latency)
        shares = [each["blend"]["coverage"] for each in by_latency]
        coverage = " / ".join("-" if share is None else f"{100 * share:.0f}" for share in shares)
        lines.append(f"| {row['trace']} | {row['asked_hz']:g} | {rmse} | {coverage} |")
    return "\n".join(lines) + "\n"


def one_thread() -> None:
    """Give linear algebra one thread: two wait for each other. Libraries that are loaded later are not told."""
    for library in ("sklearn.kernel_ridge", "sklearn.linear_model", "reservoirpy.nodes"):
        import_module(library)
    threadpool_limits(1)


def costs(seconds: float = 60.0) -> Iterator[dict[str, Any]]:
    """Yield the time that a position of steady breathing takes, for each method and rate, once the window is full."""
    settings = (PositionSettings(method="ridge"), PositionSettings(method="blend"))
    for rate_hz, one in product((4, 8, 25, 50), settings):
        track, took_ms = PlaneTrack((0.0, 1.0, 0.0, 0.0, 0.0, -1.0), one), []
        noise = np.random.default_rng(1)
        for t_s in np.arange(0.0, seconds, 1.0 / rate_hz):
            ap, si = np.array([2.0, 7.0]) * np.cos(1.6 * t_s) + noise.normal(0.0, 0.2, 2)
            began_ns, at_ns = time.perf_counter_ns(), round(1e9 * t_s)
            track.observe(at_ns, at_ns, (0.0, float(ap), float(si)))
            took_ms.append((time.perf_counter_ns() - began_ns) / 1e6)
        late = took_ms[len(took_ms) * 3 // 4 :]
        yield {"rate_hz": rate_hz, "method": one.method, "mean_ms": float(np.mean(late)), "max_ms": max(late)}


def cost_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of costs of docs/explanation/following.md."""
    lines = ["| images/s | method | mean ms | slowest ms |", "|---|---|---|---|"]
    lines += [f"| {row['rate_hz']} | {row['method']} | {row['mean_ms']:.1f} | {row['max_ms']:.1f} |" for row in rows]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"), help="folder with traces")
    parser.add_argument("--rates", type=float, nargs="+", default=[2.5, 4.0, 8.0], help="frames/s")
    parser.add_argument("--latencies-ms", type=float, nargs="+", default=list(LATENCIES_MS))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--cost", action="store_true", help="how long a position takes, at 4 to 50 images/s")
    add_files(parser)
    arguments = parser.parse_args()
    if arguments.cost:
        one_thread()
        tell(costs(), cost_markdown, arguments)
        return
    asked = list(product(motion_files(arguments.data), arguments.rates))
    with ProcessPoolExecutor(arguments.processes, initializer=one_thread) as pool:
        work = partial(compare, latencies_ms=arguments.latencies_ms)
        tell(pool.map(work, *zip(*asked, strict=True)), markdown, arguments)


if __name__ == "__main__":
    main()
