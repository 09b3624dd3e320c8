"""The matcher beside the functions that a user would call instead: one machine, run and thread, random order.

Each row times whole Python calls: `TemplateMatcher.match` (a sub-pixel peak), `TemplateMatcher.surface` (the float32
map), `cv2.matchTemplate` with TM_CCOEFF_NORMED on the same search region (the map only; no peak), scikit-image's
`match_template`, and an FFT ZNCC on scipy's transforms. OpenCV gets its best input: uint8 as it is, and float32
otherwise. It has no uint16 path, so the conversion of a uint16 region is part of its time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from bench.fma_peak import measure_fma_peak, median_s, run_map
from gating.tracking.zncc.dense import padded_rows
from gating.tracking.zncc.intrinsics import LANES, padded
from gating.tracking.zncc.matcher import TemplateMatcher, warm_up

WINDOWS_PX: Final = (8, 16, 24)
TEMPLATES_PX: Final = (32, 48, 64)
DTYPES: Final = ("uint8", "uint16", "float32")
FRAME_PX: Final = 256
FRAMES: Final = 9
SLOW_PEERS_EVERY: Final = 5

Frames = list[NDArray[Any]]

_scikit_image: Any
try:
    from skimage.feature import match_template as _scikit_image
except ImportError:  # a peer from the test extra; without it its column is missing
    _scikit_image = None


def _map_rate(template_px: int, window_px: int) -> float:
    """Return the rate of the float32 map kernel alone, GMAC/s, counting only the products that the map needs."""
    rows, region = 2 * window_px + 1, 2 * window_px + template_px
    pitch, out_pitch = padded(region), padded(rows)
    rng = np.random.default_rng(0)
    source = rng.normal(size=(region + 8) * pitch).astype(np.float32)
    taps = rng.normal(size=(template_px, template_px)).astype(np.float32)
    row_taps = np.zeros((padded_rows(template_px), padded(template_px)), np.float32)
    row_taps[:template_px, :template_px] = taps
    out = np.zeros(rows * out_pitch + 8 * LANES, np.float32)
    macs = rows * rows * template_px**2
    repeats = max(1, 2_000_000 // macs)
    arguments = (source, pitch, taps.ravel(), row_taps.ravel(), template_px, rows, out, out_pitch)
    run_map(1, *arguments)
    return macs * repeats / median_s(lambda: run_map(repeats, *arguments), 25) / 1e9


def _synthetic_frames(rng: np.random.Generator) -> Frames:
    """Return a seeded scene like an abdomen: organs of even intensity, fine vessels, a little noise, breathing."""
    y, x = np.mgrid[:FRAME_PX, :FRAME_PX].astype(np.float32)
    scene = np.full((FRAME_PX, FRAME_PX), 60.0, np.float32)
    for _ in range(40):
        centre, axes = rng.uniform(0, FRAME_PX, 2), rng.uniform(4, 45, 2)
        inside = ((y - centre[0]) / axes[0]) ** 2 + ((x - centre[1]) / axes[1]) ** 2 < 1.0
        scene[inside] += rng.uniform(-40, 120)
    scene = cv2.GaussianBlur(scene, (0, 0), 1.2) + cv2.GaussianBlur(
        rng.normal(0, 60, scene.shape).astype(np.float32), (0, 0), 2.5
    )
    frames = []
    for k in range(FRAMES):
        shift = np.array([[1, 0, 0], [0, 1, 6.0 * np.sin(k)]], np.float32)
        moved = cv2.warpAffine(scene, shift, (FRAME_PX, FRAME_PX), borderMode=cv2.BORDER_REFLECT)
        frames.append(np.clip(moved + rng.normal(0, 3, scene.shape), 0, None).astype(np.float32))
    return frames


def _real_frames(folder: Path) -> Frames | None:
    recordings = sorted((folder / "liver_cine").glob("*.npz"))
    if not recordings:
        return None
    with np.load(recordings[0]) as recording:
        chosen = recording["frames"][:: max(1, len(recording["frames"]) // FRAMES)][:FRAMES].astype(np.float32)
    size = (FRAME_PX, FRAME_PX)
    return [np.clip(cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC), 0, None) for frame in chosen]


def _noise_frames(rng: np.random.Generator) -> Frames:
    return [rng.uniform(0, 1000, (FRAME_PX, FRAME_PX)).astype(np.float32) for _ in range(FRAMES)]


def _as_dtype(frames: Frames, dtype: str) -> Frames:
    scale = 255.0 / max(float(frame.max()) for frame in frames) if dtype == "uint8" else 1.0
    return [np.ascontiguousarray((frame * scale).astype(dtype)) for frame in frames]


def _fft_zncc(region: NDArray[np.float32], weights: NDArray[np.float32], norm: float) -> NDArray[np.float32]:
    """Return the ZNCC by transforms of the next fast length, with box sums by cumulative sums."""
    shape = [scipy.fft.next_fast_len(n, real=True) for n in region.shape]
    height, width = weights.shape
    rows, cols = region.shape[0] - height + 1, region.shape[1] - width + 1
    centred = region - region.mean()
    product = scipy.fft.irfft2(scipy.fft.rfft2(centred, shape) * np.conj(scipy.fft.rfft2(weights, shape)), shape)
    sums = []
    for values in (centred, centred * centred):
        total = np.pad(values.astype(np.float64), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
        sums.append(
            total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
        )
    energy = np.maximum(sums[1] - sums[0] ** 2 / weights.size, 1e-6)
    return np.asarray(product[:rows, :cols] / (norm * np.sqrt(energy)), np.float32)


def _same_peaks(
    calls: dict[str, Callable[[NDArray[Any]], Any]], frames: Frames, region: slice, template: NDArray[Any]
) -> tuple[bool, bool]:
    """Return whether the exact search finds OpenCV's peak on every frame, and the half-resolution one the same peak."""
    exact_equal = coarse_equal = True
    for frame in frames:
        searched = frame[region, region].astype(np.float32)
        best = float(cv2.matchTemplate(searched, template.astype(np.float32), cv2.TM_CCOEFF_NORMED).max())
        exact = calls["exact_us"](frame)
        exact_equal &= abs(exact.score - best) < 2e-5
        coarse_equal &= abs(calls["coarse_to_fine_us"](frame).score - exact.score) < 1e-6
    return exact_equal, coarse_equal


def _compare(
    template_px: int, window_px: int, dtype: str, frames: Frames, content: str, rounds: int, rng: np.random.Generator
) -> dict[str, Any]:
    top = FRAME_PX // 2 - template_px // 2
    template = np.ascontiguousarray(frames[0][top : top + template_px, top : top + template_px])
    region = slice(top - window_px, top + template_px + window_px)
    matcher = TemplateMatcher(template, max_radius_px=window_px)
    peer_template = template if dtype == "uint8" else template.astype(np.float32)
    weights = template.astype(np.float32) - template.mean(dtype=np.float64).astype(np.float32)
    norm = float(np.linalg.norm(weights))

    def opencv(frame: NDArray[Any]) -> Any:
        searched = frame[region, region]
        if dtype == "uint16":
            searched = searched.astype(np.float32)
        return cv2.matchTemplate(searched, peer_template, cv2.TM_CCOEFF_NORMED)

    calls: dict[str, Callable[[NDArray[Any]], Any]] = {
        "exact_us": lambda frame: matcher.match(frame, top, top, window_px, "exact"),
        "coarse_to_fine_us": lambda frame: matcher.match(frame, top, top, window_px, "coarse_to_fine"),
        "dense_us": lambda frame: matcher.surface(frame, top, top, window_px),
        "opencv_us": opencv,
    }
    slow: dict[str, Callable[[NDArray[Any]], Any]] = {
        "skimage_us": lambda frame: _scikit_image(frame[region, region].astype(np.float32), weights),
        "fft_us": lambda frame: _fft_zncc(frame[region, region].astype(np.float32), weights, norm),
    }
    if _scikit_image is None:
        del slow["skimage_us"]
    exact_equal, coarse_equal = _same_peaks(calls, frames[1:], region, template)
    samples: dict[str, list[int]] = {name: [] for name in (*calls, *slow)}
    for turn in range(rounds):
        frame = frames[1 + turn % (len(frames) - 1)]
        due = {**calls, **slow} if turn % SLOW_PEERS_EVERY == 0 else calls
        for name in rng.permutation(list(due)):
            start = time.perf_counter_ns()
            due[name](frame)
            samples[name].append(time.perf_counter_ns() - start)
    medians = {name: round(float(np.median(taken)) / 1e3, 2) for name, taken in samples.items()}
    return {
        "template_px": template_px, "window_px": window_px, "dtype": dtype, "content": content, **medians,
        "exact_ratio": round(medians["opencv_us"] / medians["exact_us"], 2),
        "coarse_to_fine_ratio": round(medians["opencv_us"] / medians["coarse_to_fine_us"], 2),
        "peaks_equal": exact_equal and coarse_equal, "exact_peaks_equal": exact_equal,
    }  # fmt: skip


def compare_kernels(*, quick: bool = False, recordings: Path | None = None) -> list[dict[str, Any]]:
    """Time every kernel and peer over windows, templates and frame types, on anatomy and on pure noise.

    Parameters
    ----------
    quick : bool
        Fewer rounds, and noise only at the corners of the grid: under 20 s.
    recordings : Path, optional
        Folder of the development recordings (default: CINEGATE_DATA, then ../shared/data beside the checkout). Without
        them the frames show a seeded synthetic scene.

    Returns
    -------
    list of dict
        One row per point: sizes, dtype, `content` ("recording", "synthetic" or "noise"), medians in microseconds,
        ratios to OpenCV, `fma_fraction` (the float32 map kernel's multiply-adds over the core's peak, both of this run)
        and `peaks_equal` (whether the exact and the half-resolution search were both at OpenCV's peak on every frame;
        on noise the latter need not be).
    """
    folder = recordings or Path(os.environ.get("CINEGATE_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        warm_up()
        rng = np.random.default_rng(20)
        real = _real_frames(folder)
        anatomy = ("recording", real) if real else ("synthetic", _synthetic_frames(rng))
        rounds = 40 if quick else 160
        rows = []
        peak = measure_fma_peak()
        fractions = {(t, w): _map_rate(t, w) / peak for t in TEMPLATES_PX for w in WINDOWS_PX}
        for content, frames in (anatomy, ("noise", _noise_frames(rng))):
            for dtype in DTYPES:
                typed = _as_dtype(frames, dtype)
                for window in WINDOWS_PX:
                    for template in TEMPLATES_PX:
                        if quick and content == "noise" and (dtype == "uint8" or template == 48):
                            continue
                        row = _compare(template, window, dtype, typed, content, rounds, rng)
                        rows.append(row | {"fma_fraction": round(fractions[template, window], 3)})
        return rows
    finally:
        cv2.setNumThreads(threads)


def summarise(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return the geometric mean and the worst of the ratios to OpenCV, on anatomy and on noise."""
    anatomy = [row for row in rows if row["content"] != "noise"]
    noise = [row for row in rows if row["content"] == "noise"]
    summary = {}
    for name, chosen, key in (
        ("exact", anatomy, "exact_ratio"),
        ("coarse_to_fine", anatomy, "coarse_to_fine_ratio"),
        ("exact_on_noise", noise, "exact_ratio"),
    ):
        ratios = np.array([row[key] for row in chosen])
        summary[f"{name}_mean"] = float(np.exp(np.log(ratios).mean()))
        summary[f"{name}_worst"] = float(ratios.min())
    summary["fma_fraction_best"] = max(row["fma_fraction"] for row in rows)
    summary["fma_fraction_worst"] = min(row["fma_fraction"] for row in rows)
    summary["peaks_equal"] = float(all(row["peaks_equal"] for row in anatomy))
    return summary
