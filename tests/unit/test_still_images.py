"""Still and repeated images hold the beam, a breath-hold does not, and the beam comes back as after any hold."""

from __future__ import annotations

import numpy as np
import pytest

from bench.still_images import alarms, breath_hold, longest_still_s
from gating.decision.reasons import GateReason
from gating.messages import GateState, SourceKind
from gating.settings.config import HealthSettings
from gating.stream.stream import Stream
from tests.engine_bench import Bench
from tests.factories import START_NS, anatomy, frame, stream

RECORDINGS = ("CS31_2", "II29_1", "KS81_1", "ON65_2", "QN76_1")
DEFAULT = HealthSettings()


def opened(kind: SourceKind, frame_count: int | None = None) -> Stream:
    opened_stream = Stream("s1", HealthSettings())
    opened_stream.declare(stream(source_kind=kind, frame_count=frame_count))
    return opened_stream


def reasons(of: Stream, images: list, kind: SourceKind) -> list[GateReason | None]:
    found = []
    for number, pixels in enumerate(images):
        shown = frame(number, pixels, source_kind=kind)
        fault = of.check(shown, START_NS + 10**12)
        of.remember(shown, START_NS + 10**12)
        found.append(None if fault is None else fault.reason)
    return found


def counted(pixels, number: int):
    pixels = pixels.copy()
    pixels[0, 0] = number
    return pixels


@pytest.mark.parametrize("loop", [2, 17, 40])
@pytest.mark.parametrize("kind", [SourceKind.LIVE, SourceKind.PHANTOM])
def test_every_image_of_a_loop_is_frozen(loop, kind):
    images = [anatomy(seed=number % loop) for number in range(loop + 5)]
    assert reasons(opened(kind), images, kind) == [None] * loop + [GateReason.FROZEN_IMAGE] * 5


@pytest.mark.parametrize(("frame_count", "held"), [(None, False), (200, True)])
def test_only_an_endless_replay_may_begin_again(frame_count, held):
    images = [anatomy(seed=number % 20) for number in range(25)]
    found = reasons(opened(SourceKind.REPLAY, frame_count), images, SourceKind.REPLAY)
    assert (GateReason.FROZEN_IMAGE in found) is held


def test_a_buffer_that_stands_still_holds_in_an_endless_replay_too():
    images = [anatomy(seed=0)] * 3
    assert reasons(opened(SourceKind.REPLAY), images, SourceKind.REPLAY)[1:] == [GateReason.FROZEN_IMAGE] * 2


@pytest.mark.parametrize(("kind", "held"), [(SourceKind.LIVE, True), (SourceKind.REPLAY, False)])
def test_after_a_restart_only_live_images_must_still_be_new(kind, held):
    one = opened(kind, frame_count=200)
    images = [anatomy(seed=number) for number in range(3)]
    reasons(one, images, kind)
    one.forget()
    assert (GateReason.FROZEN_IMAGE in reasons(one, images, kind)) is held


def test_a_counting_pixel_holds_between_two_frames():
    bench = Bench()
    bench.steps(10)
    assert bench.step(10, counted(anatomy(seed=9), 1)).command.state is GateState.ON
    command = bench.engine.tick().command
    assert (command.state, command.reason) == (GateState.HOLD, GateReason.FROZEN_IMAGE)
    assert "frame 10: it repeats frame 9" in command.detail


def test_the_hold_stands_until_a_living_image_was_looked_at():
    bench = Bench()
    bench.steps(10)
    for sequence in (10, 11):
        bench.step(sequence, counted(anatomy(seed=9), sequence))
    commands = [outcome.command for outcome in bench.steps(4, start=12)]
    assert [command.reason for command in commands] == ["frozen_image", "settling", "in_window", "in_window"]


def test_an_image_that_stands_still_cannot_be_armed():
    bench = Bench(arm_by_itself=False)
    bench.steps(5)
    for sequence in range(5, 12):
        bench.step(sequence, counted(anatomy(seed=4), sequence))
    reply = bench.request("arm")
    assert not reply.accepted
    assert "it repeats frame" in reply.text


def held_breath(shared_data, name: str, noise: float):
    with np.load(shared_data / "liver_cine" / f"{name}.npz") as recording:
        frames, t_s = recording["frames"], recording["t_s"]
    held = breath_hold(frames, t_s, 20.0, noise)
    return held, np.arange(len(held)) * float(np.median(np.diff(t_s)))


@pytest.mark.parametrize("noise", [0.0, 1.0])
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_breath_hold_of_20_s_is_not_held(shared_data, name, noise):
    images, t_s = held_breath(shared_data, name, noise)
    assert len(images) * (t_s[1] - t_s[0]) == pytest.approx(20, abs=0.2)
    assert not any(alarms(images, t_s, DEFAULT.max_still_s))
    assert longest_still_s(images, t_s) < DEFAULT.max_still_s / 20


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_frozen_frame_of_a_recording_is_held_at_once(shared_data, name):
    images, t_s = held_breath(shared_data, name, 0.0)
    stuck = [*images[:20], *(counted(images[19], number) for number in range(5))]
    assert list(alarms(stuck, t_s, DEFAULT.max_still_s)) == [False] * 20 + [True] * 5


@pytest.mark.parametrize("name", RECORDINGS)
def test_no_image_of_a_free_breathing_patient_is_held(shared_data, name):
    with np.load(shared_data / "liver_cine" / f"{name}.npz") as recording:
        assert not any(alarms(recording["frames"], recording["t_s"], DEFAULT.max_still_s))
