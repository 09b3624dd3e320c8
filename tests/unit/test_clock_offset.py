"""Foreign clocks: counters that wrap, and an offset whose stated uncertainty covers the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gating.clocks.counter import DAY_NS, HOUR_NS, CounterUnwrapper
from gating.clocks.offset import MIN_SAMPLES, UNKNOWN_NS, OffsetEstimator

MS = 1_000_000
SECOND = 1_000_000_000
TICK_NS = 2_500_000
TICKS_A_DAY = DAY_NS // TICK_NS
HOST_START_NS = 10**15

Delays = Callable[[np.random.Generator], float]
JITTER: dict[str, Delays] = {
    "none": lambda _: 0.0,
    "uniform": lambda rng: rng.uniform(0, 10 * MS),
    "exponential": lambda rng: rng.exponential(5 * MS),
    "two queues": lambda rng: rng.gamma(2, 5 * MS),
    "heavy tail": lambda rng: rng.pareto(1.5) * 2 * MS,
    "lognormal": lambda rng: rng.lognormal(0, 1) * 5 * MS,
}


@dataclass(frozen=True)
class Pair:
    true_host_ns: int
    raw_ns: int
    arrival_ns: int


def pairs(
    jitter: Delays,
    *,
    seed: int = 0,
    count: int = 800,
    interval_ns: int = 125 * MS,
    drift: float = 0.0,
    delay_ns: int = 5 * MS,
    resolution_ns: int = 1,
    step: Callable[[int], int] = lambda _: 0,
    congestion: Callable[[int], int] = lambda _: 0,
) -> Iterator[Pair]:
    """A foreign clock that drifts and steps, seen through a path with a smallest delay and jitter."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        host_ns = HOST_START_NS + index * interval_ns + round(rng.normal(0, 2 * MS))
        raw_ns = round((host_ns - HOST_START_NS) * (1 + drift)) + 3 * HOUR_NS + step(index)
        arrival_ns = host_ns + delay_ns + round(jitter(rng)) + congestion(index)
        yield Pair(host_ns, raw_ns // resolution_ns * resolution_ns, arrival_ns)


def missed_fraction(estimator: OffsetEstimator, stream: Iterator[Pair], resolution_ns: int = 1) -> float:
    """The fraction of stamps with a stated uncertainty whose true time lies outside it."""
    missed = stated = 0
    for pair in stream:
        mapping = estimator.observe(pair.raw_ns, pair.arrival_ns, resolution_ns)
        if mapping.uncertainty_ns < UNKNOWN_NS:
            stated += 1
            missed += abs(mapping.host_ns - pair.true_host_ns) > mapping.uncertainty_ns
    assert stated > 0
    return missed / stated


@pytest.mark.parametrize("name", JITTER)
@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    drift_ppm=st.floats(-100, 100),
    frames_per_s=st.sampled_from([4, 8, 20]),
    resolution_ns=st.sampled_from([1, TICK_NS]),
)
def test_the_stated_uncertainty_covers_99_percent_of_true_offsets(
    name: str, seed: int, drift_ppm: float, frames_per_s: int, resolution_ns: int
) -> None:
    estimator = OffsetEstimator(5 * MS, 0)
    stream = pairs(
        JITTER[name],
        seed=seed,
        drift=drift_ppm * 1e-6,
        interval_ns=SECOND // frames_per_s,
        resolution_ns=resolution_ns,
    )
    assert missed_fraction(estimator, stream, resolution_ns) <= 0.01


@pytest.mark.parametrize("name", JITTER)
def test_the_uncertainty_is_soon_small_enough_to_gate_with(name: str) -> None:
    estimator = OffsetEstimator(5 * MS, 1 * MS)
    *_, last = [estimator.observe(pair.raw_ns, pair.arrival_ns) for pair in pairs(JITTER[name], count=160)]
    assert last.uncertainty_ns < 15 * MS


@pytest.mark.parametrize("drift_ppm", [-100, 0, 100])
def test_drift_is_found_within_minutes(drift_ppm: int) -> None:
    estimator = OffsetEstimator(5 * MS, 0)
    for pair in pairs(JITTER["exponential"], drift=drift_ppm * 1e-6, count=1600):
        estimator.observe(pair.raw_ns, pair.arrival_ns)
    assert estimator.drift * 1e6 == pytest.approx(-drift_ppm, abs=3)


@example(seed=145, step_ms=40, backward=False, at=100).via("few pairs are mistaken for a step before it")
@example(seed=1_742_210_818, step_ms=45, backward=True, at=407).via("a late arrival just before it")
@example(seed=3_307_526_258, step_ms=80, backward=True, at=319).via("a late arrival just before it")
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), step_ms=st.integers(80, 5000), backward=st.booleans(), at=st.integers(100, 500))
def test_a_step_of_the_foreign_clock_is_found_and_followed(seed: int, step_ms: int, backward: bool, at: int) -> None:
    """Steps larger than the path's jitter, here up to 60 ms: smaller ones may be lost in it."""
    step_ns = -step_ms * MS if backward else step_ms * MS
    estimator = OffsetEstimator(5 * MS, 0)
    stream = list(pairs(JITTER["exponential"], seed=seed, step=lambda index: step_ns if index >= at else 0))
    missed = missed_fraction(estimator, iter(stream[:at]))
    before = estimator.steps
    missed = (at * missed + (len(stream) - at) * missed_fraction(estimator, iter(stream[at:]))) / len(stream)
    assert missed <= 0.01
    assert estimator.steps > before


def test_after_a_step_no_offset_is_stated_until_enough_is_known() -> None:
    estimator = OffsetEstimator(5 * MS, 0)
    stream = list(pairs(JITTER["uniform"], count=120, step=lambda index: SECOND if index >= 100 else 0))
    stated = [estimator.observe(pair.raw_ns, pair.arrival_ns).uncertainty_ns for pair in stream]
    assert stated[99] < 20 * MS
    assert stated[100 : 100 + MIN_SAMPLES - 1] == [UNKNOWN_NS] * (MIN_SAMPLES - 1)
    assert stated[119] < 60 * MS


def test_a_slower_path_widens_the_uncertainty_and_is_no_clock_step() -> None:
    estimator = OffsetEstimator(5 * MS, 0)
    congested = range(200, 400)
    stream = list(
        pairs(JITTER["exponential"], congestion=lambda index: 300 * MS if index in congested else 0, count=600)
    )
    mappings = [estimator.observe(pair.raw_ns, pair.arrival_ns) for pair in stream]
    assert estimator.steps == 0
    assert all(mappings[index].uncertainty_ns > 140 * MS for index in congested[3:])
    assert mappings[-1].uncertainty_ns < 20 * MS
    missed = sum(
        abs(mapping.host_ns - pair.true_host_ns) > mapping.uncertainty_ns
        for pair, mapping in zip(stream[MIN_SAMPLES:], mappings[MIN_SAMPLES:], strict=True)
    )
    assert missed <= 6


GROWTH_MS_PER_S = (0.2, 0.5, 1, 1.9, 5, 10)


@pytest.mark.parametrize("frames_per_s", [4, 8])
@pytest.mark.parametrize("jitter_ms", [0, 5])
@pytest.mark.parametrize("growth_ms_per_s", GROWTH_MS_PER_S)
def test_a_growing_delay_is_never_taken_for_drift(growth_ms_per_s: float, jitter_ms: int, frames_per_s: int) -> None:
    """Where the beam is not held for uncertainty, a frame is at most 50 ms older than is said."""
    for drift_ppm in (-40, 40):
        estimator = OffsetEstimator(5 * MS, 0)
        stream = pairs(
            lambda rng: rng.uniform(0, jitter_ms * MS),
            seed=drift_ppm + 100,
            interval_ns=SECOND // frames_per_s,
            count=3600 if growth_ms_per_s < 2 else 60 * frames_per_s,
            drift=drift_ppm * 1e-6,
            congestion=lambda index: round(index * growth_ms_per_s * MS / frames_per_s),
        )
        mappings = [(estimator.observe(pair.raw_ns, pair.arrival_ns), pair.true_host_ns) for pair in stream]
        too_young_ns = [mapped.host_ns - true_ns for mapped, true_ns in mappings if mapped.uncertainty_ns <= 50 * MS]
        assert len(too_young_ns) > 0
        assert max(too_young_ns) <= 50 * MS
        assert mappings[-1][0].uncertainty_ns > 50 * MS


@pytest.mark.parametrize(("drift_ppm", "jitter_ms"), [(-40, 0), (-40, 5), (0, 5), (40, 5)])
def test_an_hour_of_drift_that_is_believed_stays_certain(drift_ppm: int, jitter_ms: int) -> None:
    estimator = OffsetEstimator(5 * MS, 0)
    stream = pairs(
        lambda rng: rng.uniform(0, jitter_ms * MS), interval_ns=250 * MS, count=14_400, drift=drift_ppm * 1e-6
    )
    stated = [estimator.observe(pair.raw_ns, pair.arrival_ns).uncertainty_ns for pair in stream]
    assert max(stated[MIN_SAMPLES:]) < 50 * MS
    assert estimator.steps == 0


def test_a_queue_that_has_emptied_is_forgotten() -> None:
    estimator = OffsetEstimator(5 * MS, 0)
    stream = pairs(JITTER["none"], count=1200, congestion=lambda index: 2 * MS * index if index < 100 else 0)
    *_, last = [estimator.observe(pair.raw_ns, pair.arrival_ns) for pair in stream]
    assert last.uncertainty_ns < 15 * MS


def test_the_unseen_smallest_delays_uncertainty_is_always_included() -> None:
    estimator = OffsetEstimator(100 * MS, 30 * MS)
    stream = pairs(JITTER["exponential"], delay_ns=125 * MS)
    assert missed_fraction(estimator, stream) == 0


def test_without_a_measured_delay_no_offset_is_stated() -> None:
    estimator = OffsetEstimator()
    for pair in pairs(JITTER["none"], count=100):
        assert estimator.observe(pair.raw_ns, pair.arrival_ns).uncertainty_ns == UNKNOWN_NS


class TestCounterUnwrapper:
    def unwrapped(self, times_ns: list[int], start_ns: int, *, jitter_ms: int = 50) -> list[int]:
        rng = np.random.default_rng(0)
        unwrapper = CounterUnwrapper(TICKS_A_DAY, TICK_NS, wall_clock=True)
        return [
            unwrapper.unwrap(
                ((start_ns + t) // TICK_NS) % TICKS_A_DAY, HOST_START_NS + t + int(rng.integers(jitter_ms))
            )
            for t in times_ns
        ]

    def test_the_clock_passes_midnight_without_a_jump(self) -> None:
        times_ns = [index * 125 * MS for index in range(100)]
        steps = np.diff(self.unwrapped(times_ns, DAY_NS - 5 * SECOND))
        assert set(steps) == {125 * MS}

    @pytest.mark.parametrize("hour", [1, -1])
    def test_a_change_of_daylight_saving_is_removed_and_counted(self, hour: int) -> None:
        unwrapper = CounterUnwrapper(TICKS_A_DAY, TICK_NS, wall_clock=True)
        stamps = []
        for index in range(100):
            t = index * 125 * MS
            shown = 3 * HOUR_NS + t + (hour * HOUR_NS if index >= 50 else 0)
            stamps.append(unwrapper.unwrap(shown // TICK_NS % TICKS_A_DAY, HOST_START_NS + t))
        assert set(np.diff(stamps)) == {125 * MS}
        assert unwrapper.hour_changes == 1

    def test_a_change_of_daylight_saving_at_midnight_is_removed(self) -> None:
        unwrapper = CounterUnwrapper(TICKS_A_DAY, TICK_NS, wall_clock=True)
        shown = [DAY_NS - 2 * TICK_NS, DAY_NS - TICK_NS, DAY_NS - HOUR_NS, DAY_NS - HOUR_NS + TICK_NS]
        stamps = [unwrapper.unwrap(t // TICK_NS, HOST_START_NS + i * TICK_NS) for i, t in enumerate(shown)]
        assert set(np.diff(stamps)) == {TICK_NS}

    def test_a_step_of_another_size_is_left_to_the_checks(self) -> None:
        unwrapper = CounterUnwrapper(TICKS_A_DAY, TICK_NS, wall_clock=True)
        first = unwrapper.unwrap(4000, HOST_START_NS)
        assert unwrapper.unwrap(4000 - 800, HOST_START_NS + 125 * MS) - first == -800 * TICK_NS

    @settings(deadline=None)
    @given(
        modulus=st.sampled_from([2**16, 2**32, TICKS_A_DAY]),
        gaps=st.lists(st.integers(1, 200_000), min_size=1, max_size=50),
        start=st.integers(0, 2**32),
    )
    def test_a_wrapping_counter_gives_the_elapsed_time_over_any_pause(
        self, modulus: int, gaps: list[int], start: int
    ) -> None:
        unwrapper = CounterUnwrapper(modulus, TICK_NS)
        counts = np.cumsum([start, *gaps])
        stamps = [unwrapper.unwrap(int(c) % modulus, HOST_START_NS + int(c) * TICK_NS) for c in counts]
        assert np.array_equal(np.diff(stamps), np.array(gaps) * TICK_NS)

    def test_a_count_that_the_counter_cannot_show_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"40000000 ticks; 0 to 34559999 are possible"):
            CounterUnwrapper(TICKS_A_DAY, TICK_NS).unwrap(40_000_000, 0)
