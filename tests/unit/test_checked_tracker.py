"""Nothing that a tracker returns or raises reaches the decision unchecked."""

from __future__ import annotations

import math

import numpy as np
import pytest
from msgspec.structs import replace

import cinegate
from gating.clocks.clock import ManualClock
from gating.decision.reasons import GateReason
from gating.engine.engine import Engine
from gating.messages import EngineState, GateState
from gating.targets.spec import TargetSpec
from gating.tracking.checked_tracker import CheckedTracker, TrackerFault
from gating.tracking.tracker import TrackingError, TrackResult, TrackStatus
from replay_data import session_path
from tests.engine_bench import BOX, CONFIG, Bench
from tests.factories import START_NS, anatomy

SQUARE = np.array([[40, 40], [60, 40], [60, 60], [40, 60]], np.float32)
GOOD = TrackResult(50.0, 50.0, 0.9, 0.95, TrackStatus.TRACKED, SQUARE, "", 1)
PIXELS = anatomy()


class Site:
    """A site's tracker: it gives `results` in turn, the last of them for ever; a result that is an error is raised."""

    def __init__(self, *results) -> None:
        self.results = list(results)

    def warm_up(self) -> None: ...

    def set_reference(self, pixels, contour_px, pixel_spacing_mm) -> None: ...

    def track(self, pixels, elapsed_s):
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, BaseException):
            raise result
        return result


def engine_with(make_tracker) -> Bench:
    bench = Bench(peers_required=False)
    bench.engine = Engine(
        CONFIG, [TargetSpec("target", BOX)], make_tracker, ManualClock(START_NS), "s1", "e1", arm_by_itself=True
    )
    return bench


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("confidence", 7.0, "confidence is 7.0; 0 to 1 is possible"),
        ("confidence", math.nan, "confidence is nan"),
        ("confidence", None, "failed in track: TypeError"),
        ("score", -1.5, "score is -1.5; -1 to 1 is possible"),
        ("x_px", 1e9, "-48 to 144 is possible"),
        ("y_px", math.nan, "y_px is nan"),
        ("status", "tracked", "status is 'tracked'; a TrackStatus is needed"),
        ("contour_px", SQUARE * np.nan, "not finite"),
        ("contour_px", SQUARE * np.float32(1e6), "further than"),
        ("contour_px", SQUARE[:2], "contour_px has 2 points; 3 or more are needed"),
        ("contour_px", SQUARE.ravel(), "of shape (8,)"),
        ("contour_px", None, "contour_px is a NoneType"),
        ("detail", None, "detail is None"),
        ("content_px", (math.nan, 1.0), "x of content_px is nan"),
        ("content_px", (1.0, 1e9), "y of content_px is 1000000000.0"),
        ("content_px", (1.0,), "failed in track"),
    ],
)
def test_a_result_that_cannot_be_one_is_named(field, value, sentence):
    with pytest.raises(TrackerFault) as fault:
        CheckedTracker(Site(replace(GOOD, **{field: value}))).track(PIXELS, 0.1)
    assert sentence in str(fault.value)


@pytest.mark.parametrize("result", [None, 3, (1.0, 2.0)])
def test_anything_but_a_result_is_named(result):
    with pytest.raises(TrackerFault, match="a TrackResult is needed"):
        CheckedTracker(Site(result)).track(PIXELS, 0.1)


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), AssertionError()])
def test_every_exception_of_a_tracker_is_a_tracker_fault(error):
    with pytest.raises(TrackerFault, match="tracker Site failed in track"):
        CheckedTracker(Site(error)).track(PIXELS, 0.1)


def test_good_and_refused_results_pass_unchanged():
    refused = TrackResult(
        math.nan, math.nan, 0.0, 0.0, TrackStatus.REFUSED, np.empty((0, 2), np.float32), "too dark", 1
    )
    for result in (GOOD, refused):
        assert CheckedTracker(Site(result)).track(PIXELS, 0.1) is result


def test_a_target_that_cannot_be_tracked_is_still_the_tracker_s_own_word():
    site = Site(GOOD)
    site.set_reference = lambda *_: (_ for _ in ()).throw(TrackingError("the target is flat"))
    with pytest.raises(TrackingError, match="the target is flat"):
        CheckedTracker(site).set_reference(PIXELS, SQUARE, (1.0, 1.0))


@pytest.mark.parametrize("bad", [replace(GOOD, confidence=7.0), None, RuntimeError("broken")])
def test_a_bad_result_latches_the_engine_and_the_beam_is_held(bad):
    tracker = Site(*[GOOD] * 5, bad)
    bench = Bench(make_tracker=lambda: tracker)
    assert bench.steps(5)[-1].command.state is GateState.ON
    held = bench.step(5).command
    assert (held.state, held.reason, held.engine_state) == (
        GateState.HOLD,
        GateReason.TRACKER_FAULT,
        EngineState.LATCHED,
    )


def test_a_tracker_that_fails_after_the_frame_holds_the_next_decision():
    tracker = Site(GOOD)
    tracker.finish_frame, tracker.warm_caches = lambda: 1 / 0, lambda: None
    bench = Bench(make_tracker=lambda: tracker)
    bench.step(0)
    assert bench.engine.tick().command.reason is GateReason.TRACKER_FAULT


def test_a_tracker_that_cannot_be_made_latches_until_it_can():
    makers = [lambda: 1 / 0, lambda: 1 / 0, lambda: Site(GOOD)]
    bench = engine_with(lambda: makers.pop(0)() if len(makers) > 1 else makers[0]())
    with pytest.raises(TrackerFault, match="tracker cannot be made: ZeroDivisionError"):
        bench.engine.warm_up()
    assert bench.engine.state is EngineState.LATCHED
    refused, accepted = (bench.request("acknowledge", "mended") for _ in range(2))
    assert (refused.accepted, accepted.accepted) == (False, True)
    assert bench.engine.state is EngineState.READY


def test_an_evaluation_of_a_broken_tracker_ends_with_one_sentence():
    class Broken(Site):
        def __init__(self, settings) -> None:
            super().__init__(None)

    with pytest.raises(cinegate.CinegateError, match="tracker Broken: track gave a NoneType"):
        cinegate.evaluate(session_path("free_breathing"), tracker=Broken)
