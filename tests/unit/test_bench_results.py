"""What a benchmark run is kept as: its keys, its percentiles, and the page of one run or two."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram

from bench.loop import Case, Samples, pictures, target_speeds_mm_s
from bench.page import render
from bench.results import checks, collect, detail_row, distribution, loop_row
from gating.latency.budgets import load_budgets
from gating.latency.stages import in_millimetres
from tests.pages import fetched_addresses

CASE = Case("ipc", 200.0, 256, "uint16", 1000)
TAIL = {"p50", "p99", "p999", "max"}


def found(scale: float = 1.0) -> dict[str, Samples]:
    rng = np.random.default_rng(3)

    def samples(median_ms: float) -> Samples:
        return Samples(median_ms * rng.lognormal(0, 0.2, 1000), {"engine": [0.1, 0.2], "track": [0.05, 0.1]})

    return {"relay": samples(0.6), "cinegate": samples(0.7 * scale), "opencv": samples(1.0)}


def test_a_loop_row_has_exactly_its_keys() -> None:
    row = loop_row(CASE, found(), load_budgets())
    assert set(row) == {
        "transport", "rate_hz", "size_px", "dtype", "n", "skipped", "missed",
        "relay_ms", "cinegate_ms", "opencv_pipeline_ms", "stages",
    }  # fmt: skip
    for key in ("relay_ms", "cinegate_ms", "opencv_pipeline_ms"):
        assert set(row[key]) == TAIL
    assert all(set(stage) == TAIL for stage in row["stages"].values())


def test_a_frame_without_a_command_of_its_own_counts_as_skipped() -> None:
    one = found()
    one["cinegate"].loop_ms[[3, 5]] = np.nan
    row = loop_row(CASE, one, load_budgets())
    assert (row["n"], row["skipped"]) == (998, 2)


def test_a_frame_later_than_its_interval_has_missed() -> None:
    one = found()
    one["cinegate"].loop_ms[:7] = 5.1
    assert loop_row(CASE, one, load_budgets())["missed"] == 7


@pytest.mark.parametrize(("scale", "met"), [(1.0, True), (2.0, False)])
def test_ratios_to_the_floor_are_held_against_their_budget(scale: float, met: bool) -> None:
    row = loop_row(CASE, found(scale), load_budgets())
    verdict = next(one for one in checks([row], load_budgets()) if one["what"] == "p50 over relay")
    assert verdict["met"] is met


def test_a_histogram_can_be_read_back_and_says_nothing_beyond_its_samples() -> None:
    samples = np.random.default_rng(1).lognormal(0, 0.5, 500)
    kept = distribution(samples)
    histogram = HdrHistogram.decode(kept["hdr"])
    assert histogram.get_total_count() == 500
    assert histogram.get_value_at_percentile(50) / 1e3 == pytest.approx(np.median(samples), rel=0.01)
    assert max(kept["percentile"]) <= 99.8


def test_millimetres_are_latency_times_speed_at_the_same_ranks() -> None:
    moved = in_millimetres([1.0, 2.0, 10.0], [5.0, 10.0, 20.0])
    assert moved["largest_speed"]["max"] == pytest.approx(0.2)
    assert moved["median_speed"]["p50"] == pytest.approx(0.02)


def test_without_a_speed_there_are_no_millimetres() -> None:
    assert in_millimetres([1.0], []) == {}


def test_the_recording_moves_like_a_breathing_target() -> None:
    assert 5 < np.percentile(target_speeds_mm_s(), 95) < 60


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_pictures_have_the_size_and_type_asked_for_and_never_repeat(dtype: str) -> None:
    frames, spacing_mm, contour = pictures(128, dtype)
    assert (frames.dtype, frames.shape[1:]) == (np.dtype(dtype), (128, 128))
    assert not any((one == other).all() for one, other in pairwise(frames))
    assert spacing_mm[0] == pytest.approx(2.8 * 88 / 128)
    assert contour.min() > 0
    assert contour.max() < 127


def test_the_page_holds_every_run_and_opens_offline() -> None:
    result = collect(
        {"cpu": "<cpu>"},
        load_budgets(),
        kernels=[],
        loop=[loop_row(CASE, found(), load_budgets())],
        details=[detail_row(CASE, found())],
        engine=[],
    )
    json.dumps(result, allow_nan=False)
    page = render([result, result], ["mine", "<yours>"])
    assert "&lt;yours&gt;" in page
    assert "<yours>" not in page
    assert fetched_addresses(page) == []
