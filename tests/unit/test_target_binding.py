"""A target is bound to the image in which it was drawn, and an operator confirms it in each life of the engine."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from gating.decision.reasons import GateReason
from gating.messages import EngineState, Event, GateState, SourceKind, TargetEstimate, TargetReference
from gating.targets.binding import FOUND_IN_A_ROW
from gating.targets.spec import TargetSpec
from gating.tracking.registry import make_tracker
from tests.engine_bench import BOX, CONFIG, Bench, drawn_on, states
from tests.factories import anatomy, frame

PHASE_PX = 10.0
"""How far breathing has moved everything when the engine is restarted: 20 mm."""
REFERENCE = frame(0)


def breathe(bench, count, start=0, shift=PHASE_PX):
    return [bench.step(n, anatomy(seed=n + 1, shift=shift)) for n in range(start, start + count)]


def bound(**how):
    return Bench(targets=[drawn_on(REFERENCE)], **how)


def live(**how):
    return bound(kind=SourceKind.LIVE, arm_by_itself=False, **how)


def of(outcomes, kind):
    return [message for outcome in outcomes for message in outcome.messages if isinstance(message, kind)]


def test_a_target_without_an_image_is_laid_on_whatever_phase_comes_first():
    assert GateState.ON in states(breathe(Bench(), 12))


def test_a_restart_at_another_phase_holds_outside_the_old_boundary():
    outcomes = breathe(bound(), 20)
    assert GateState.ON not in states(outcomes)
    assert outcomes[-1].command.reason is GateReason.OUT_OF_WINDOW
    assert min(estimate.target_out_fraction for estimate in of(outcomes, TargetEstimate)) > 0.25


def test_the_beam_comes_once_the_target_is_back_where_it_was_drawn():
    bench = bound()
    breathe(bench, 10)
    assert GateState.ON in states(breathe(bench, 6, start=10, shift=0.0))


def test_the_boundary_is_that_of_the_image_whatever_the_stream_shows():
    (there,) = of(breathe(bound(), 8), TargetReference)
    (here,) = of(breathe(bound(), 8, shift=0.0), TargetReference)
    assert there.boundary_px == here.boundary_px
    assert there.centre_px == here.centre_px
    assert there.image_hash == REFERENCE.header.content_hash


def test_the_target_is_found_where_it_has_moved_to():
    estimate = of(breathe(bound(), 8), TargetEstimate)[-1]
    assert estimate.y_px - BOX[:, 1].mean() == pytest.approx(PHASE_PX, abs=0.3)


def test_a_few_frames_that_look_alike_do_not_find_a_target():
    bench = bound()
    outcomes = breathe(bench, FOUND_IN_A_ROW - 1)
    assert not of(outcomes, TargetReference)
    held = bench.step(FOUND_IN_A_ROW - 1, anatomy(seed=99)[::-1, ::-1].copy()).command
    assert held.reason is GateReason.TARGET_NOT_MATCHED
    assert not of(breathe(bench, FOUND_IN_A_ROW - 1, start=FOUND_IN_A_ROW), TargetReference)


def test_the_anatomy_of_another_patient_is_never_armed():
    bench = bound()
    outcomes = [bench.step(n, np.ascontiguousarray(anatomy(seed=n)[::-1, ::-1])) for n in range(12)]
    assert {outcome.command.engine_state for outcome in outcomes} == {EngineState.READY}
    assert outcomes[-1].command.reason is GateReason.TARGET_NOT_MATCHED
    assert "tracked is needed" in outcomes[-1].command.detail
    assert not bench.request("arm").accepted


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pixel_spacing_mm", (2.1, 2.1)),
        ("image_orientation", (0.0, 1.0, 0.01, 0.0, 0.0, -1.0)),
        ("image_position_mm", (3.0, -96.0, 96.0)),
        ("image_position_mm", (0.0, -96.0, float("nan"))),
        ("pixels", anatomy((96, 88))),
        ("pixels", anatomy(dtype="uint8")),
    ],
    ids=["spacing", "orientation", "position", "position that is no number", "shape", "dtype"],
)
def test_an_image_of_another_geometry_latches_with_a_sentence(field, value):
    bench = Bench(targets=[drawn_on(REFERENCE, **{field: value})])
    bench.step(0)
    held = bench.step(1).command
    assert (held.reason, held.engine_state) == (GateReason.TARGET_UNUSABLE, EngineState.LATCHED)
    wrong = field if field != "pixels" else "shape" if value.shape != (96, 96) else "dtype"
    assert f"target: {wrong} is" in held.detail


def test_a_position_within_the_tolerance_is_the_same_plane():
    bench = Bench(targets=[drawn_on(REFERENCE, image_position_mm=(0.4, -96.0, 96.0))])
    assert GateState.ON in states(bench.steps(12))


def test_a_live_source_refuses_a_target_without_an_image():
    bench = Bench(kind=SourceKind.LIVE)
    bench.step(0)
    held = bench.step(1).command
    assert held.reason is GateReason.TARGET_UNUSABLE
    assert "`cinegate targets RECORDING --out FILE`" in held.detail


def test_a_live_source_is_armed_only_after_a_confirmation():
    bench = live()
    bench.steps(8)
    refused = bench.request("arm")
    assert not refused.accepted
    assert "`cinegate control confirm --operator NAME`" in refused.text
    assert bench.request("confirm").accepted
    assert bench.request("arm").accepted
    assert GateState.ON in states(bench.steps(4, start=8))


def test_a_confirmation_is_an_event_that_names_the_operator():
    bench = live()
    bench.steps(6)
    (event,) = bench.ask("confirm")[1]
    assert isinstance(event, Event)
    assert (event.code, "confirm by dr_who" in event.text) == ("confirm", True)


def test_a_target_that_has_not_been_found_cannot_be_confirmed():
    bench = live()
    assert not bench.request("confirm").accepted
    breathe(bench, 3)
    refused = bench.request("confirm")
    assert not refused.accepted
    assert "found in 3 frames in a row, 5 are needed" in refused.text


def test_a_confirmation_needs_every_target():
    second = replace(drawn_on(REFERENCE, "second"), plane="coronal")
    bench = Bench(targets=[drawn_on(REFERENCE), second], kind=SourceKind.LIVE, arm_by_itself=False)
    bench.steps(6)
    assert bench.request("confirm").text.endswith("not every target has been found yet")


def test_a_restarted_engine_needs_a_confirmation_of_its_own():
    first, restarted = live(), live()
    for bench in (first, restarted):
        bench.steps(6)
    first.request("confirm")
    assert first.request("arm").accepted
    assert not restarted.request("arm").accepted


def test_a_latch_voids_the_confirmation():
    bench = live()
    bench.steps(6)
    bench.request("confirm")
    bench.step(6, image_position_mm=(9.0, 9.0, 9.0))
    assert not bench.request("confirm").accepted
    assert bench.request("acknowledge", why="the table is back").accepted
    bench.steps(8, start=7)
    assert "nobody has confirmed" in bench.request("arm").text
    assert bench.request("confirm").accepted
    assert bench.request("arm").accepted


def test_arming_by_itself_says_that_nobody_has_confirmed_the_contour():
    armed = [event for event in of(bound().steps(8), Event) if event.code == "armed"]
    assert "nobody has confirmed the contour" in armed[0].text


@pytest.mark.parametrize("name", ["template", "rigid", "opencv"])
def test_a_tracker_learns_the_same_from_a_stored_as_from_a_live_frame(name):
    def estimates(target):
        bench = Bench(targets=[target], make_tracker=lambda: make_tracker(name, CONFIG.tracking))
        return [msgspec.to_builtins(one) for one in of(breathe(bench, 8, shift=0.0), TargetEstimate)]

    first = frame(0, anatomy(seed=1))
    stored = drawn_on(first, pixels=np.frombuffer(first.pixels.tobytes(), first.pixels.dtype).reshape(96, 96))
    assert estimates(stored) == estimates(TargetSpec("target", BOX))


@pytest.mark.parametrize("name", ["template", "rigid", "opencv"])
def test_a_tracker_that_learned_from_a_stored_frame_finds_another_phase(name):
    bench = bound(make_tracker=lambda: make_tracker(name, CONFIG.tracking))
    estimate = of(breathe(bench, 8), TargetEstimate)[-1]
    assert estimate.y_px - BOX[:, 1].mean() == pytest.approx(PHASE_PX, abs=0.3)
