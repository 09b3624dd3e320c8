"""Strategies on recorded motion: breath-holds and excursions driven through the phantom, the tracker and the engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.bench_strategies import strategy_row, trace_session
from cinegate.verbs.following import read_motion
from drivers.phantom import Phantom, PhantomSettings, Trace
from gating.analysis.couch_shift import propose_shift
from gating.analysis.replay_tracking import gated_motion, track_motion, track_session
from gating.engine.offline import offline_frames
from gating.messages import Pacing, SourceKind, StampMeaning, StreamInfo
from gating.settings.config import parse_config
from gating.settings.presets import NAMES, read_preset
from gating.targets.spec import TargetSpec

BREATH_HOLD = parse_config(read_preset("breath_hold"))
EXCEPTION = parse_config(read_preset("exception"))
(EXCURSION,) = (rule for rule in EXCEPTION.gating.rules if type(rule).__name__ == "ExcursionRule")


def drive(t_s, displacement_mm, config, *, frames_per_s=6.0):
    """Draw the motion, track it and decide; return the gated motion and the drawn truth, (n, 3) LPS mm."""
    lr, ap, si = np.asarray(displacement_mm, float).T
    settings = PhantomSettings(
        seed=5, rows=112, columns=112, pixel_spacing_mm=(2.0, 2.0), frames_per_s=frames_per_s, duration_s=float(t_s[-1])
    )
    phantom = Phantom(settings, Trace(t_s=t_s, si_mm=si, ap_mm=ap, lr_mm=lr))
    stream = StreamInfo(
        session_id="offline", source="phantom", source_kind=SourceKind.PHANTOM, pacing=Pacing.UNPACED, speed=0.0,
        dtype=settings.dtype, shape=phantom.shape, pixel_spacing_mm=phantom.spacing_mm,
        image_orientation=phantom.orientation, image_position_mm=phantom.position_mm,
        nominal_interval_ns=round(1e9 / frames_per_s), acquired_clock="phantom", acquired_meaning=StampMeaning.START,
    )  # fmt: skip

    def images():
        for index in range(settings.frame_count):
            pixels = np.empty(phantom.shape, settings.dtype)
            phantom.render_into(index, pixels)
            yield phantom.stamp_ns(index), pixels

    target = TargetSpec("target", phantom.truth(0).contour_px.astype(np.float32))
    followed = track_session(config, [target], stream, offline_frames(stream, images()))
    motion = gated_motion(followed, config)
    centres = np.array([phantom.truth(index).centre_px for index in range(settings.frame_count)])
    away_px = centres - centres[0]
    truth = np.stack([0 * away_px[:, 0], 2.0 * away_px[:, 0], -2.0 * away_px[:, 1]], axis=1)
    return motion, truth[-len(motion.t_s) :]


def joined(*pieces, ramp_s=1.5, dt_s=0.1):
    """Join pieces of motion; return times, motion, and when each piece begins and ends."""
    steps = [np.asarray(piece, float) for piece in pieces]
    whole, spans = [steps[0]], [(0.0, len(steps[0]) * dt_s)]
    for piece in steps[1:]:
        ramp = np.linspace(whole[-1][-1], piece[0], round(ramp_s / dt_s))
        begin_s = sum(len(w) for w in whole) * dt_s + ramp_s
        whole += [ramp, piece]
        spans.append((begin_s, begin_s + len(piece) * dt_s))
    motion = np.concatenate(whole)
    return dt_s * np.arange(len(motion)), motion, spans


def resampled(path, begin_s, seconds, dt_s=0.1):
    t, p = read_motion(path)
    when = begin_s + np.arange(0, seconds, dt_s)
    return np.stack([np.interp(when, t, axis) for axis in p.T], axis=1)


def during(motion, span):
    return (motion.t_s >= span[0]) & (motion.t_s < span[1])


@pytest.fixture(scope="module")
def held_session(shared_data):
    """Breathing, a hold at the reference, breathing, and a hold 8 mm elsewhere, each from a recorded trace."""
    traces = shared_data / "traces"
    breathing = resampled(traces / "LiverTraj_LargeSI70s_robot.txt", 0, 70)
    hold = resampled(traces / "LiverTraj_BreathHold1_robot.txt", 0, 20)
    elsewhere = resampled(traces / "LiverTraj_BreathHold1_robot.txt", 40, 15) + np.array([0.0, 0.0, -8.0])
    t, p, spans = joined(breathing[:200], hold, breathing[200:350], elsewhere)
    return (*drive(t, p, BREATH_HOLD), spans)


def test_the_drawn_breath_holds_are_followed(held_session):
    motion, truth, _ = held_session
    error_mm = np.linalg.norm(motion.displacement_mm - truth, axis=1)
    assert np.nanpercentile(error_mm, 99) < 1.0


def test_in_a_breath_hold_session_the_beam_is_on_only_in_plateaus(held_session):
    motion, truth, _ = held_session
    rule = BREATH_HOLD.gating.rules[1]
    for index in np.flatnonzero(motion.gate_on):
        before = (motion.t_s > motion.t_s[index] - rule.plateau_s + 0.2) & (motion.t_s <= motion.t_s[index])
        assert np.ptp(truth[before], axis=0).max() <= rule.flat_mm + 0.5, motion.t_s[index]
        assert np.linalg.norm(truth[index]) <= rule.reproducibility_mm + 0.5, motion.t_s[index]


def test_a_hold_at_the_reference_is_used_once_it_has_settled(held_session):
    motion, _, (_, hold, _, _) = held_session
    settled = during(motion, (hold[0] + 3.5, hold[1]))
    assert motion.gate_on[settled].mean() > 0.9


def test_a_hold_that_does_not_repeat_the_reference_is_not_used(held_session):
    motion, _, (*_, elsewhere) = held_session
    assert not motion.gate_on[during(motion, elsewhere)].any()


def test_the_beam_stays_on_in_a_recorded_hold_up_to_the_longest_hold(shared_data):
    t, p = read_motion(shared_data / "traces" / "LiverTraj_BreathHold1_robot.txt")
    motion, _ = drive(t[t <= 40], p[t <= 40], BREATH_HOLD)
    on_s = motion.t_s[motion.gate_on]
    longest_s = BREATH_HOLD.gating.rules[1].max_hold_s
    assert on_s[0] < 4.0
    assert on_s[-1] == pytest.approx(longest_s, abs=1.0)
    assert motion.gate_on[(motion.t_s >= on_s[0]) & (motion.t_s <= on_s[-1])].mean() > 0.95


@pytest.fixture(scope="module")
def excursions(shared_data):
    """The persistent-excursion trace, decided by the exception preset, and its excursions as (last inside, back in)."""
    t, p = read_motion(shared_data / "traces" / "Prostate_PersistentExcursion.txt")
    motion = gated_motion(track_motion(t, p * (0.0, 1.0, 1.0)), EXCEPTION)
    away = np.linalg.norm(motion.displacement_mm, axis=1) > EXCURSION.distance_mm
    edges = np.flatnonzero(np.diff(away.astype(int)))
    begins = edges[~away[edges]]
    ends = [next((e for e in edges if e > begin), len(away) - 2) for begin in begins]
    return motion, [(motion.t_s[b], motion.t_s[e + 1]) for b, e in zip(begins, ends, strict=True)]


def test_the_beam_is_never_on_once_an_excursion_has_lasted_its_seconds(excursions):
    motion, spans = excursions
    long = [(left, back) for left, back in spans if back - left > EXCURSION.duration_s + 0.2]
    assert len(long) == 8
    for left, back in long:
        outside = (motion.t_s >= left + EXCURSION.duration_s) & (motion.t_s < back)
        assert not motion.gate_on[outside].any(), left


def test_a_phantoms_excursion_holds_in_time_with_the_right_shift(shared_data):
    t, p = read_motion(shared_data / "traces" / "Prostate_PersistentExcursion.txt")
    chosen = (t >= 80) & (t <= 125)
    motion, truth = drive(t[chosen] - 80, p[chosen], EXCEPTION, frames_per_s=4.0)
    away = np.linalg.norm(truth, axis=1) > EXCURSION.distance_mm
    left_s = motion.t_s[np.flatnonzero(away)[0] - 1]
    assert away[motion.t_s > left_s].mean() > 0.9
    before = {reason for reason, at_s in zip(motion.reasons, motion.t_s, strict=True) if at_s < left_s}
    assert "in_window" in before
    assert not before & {"excursion", "off_centre"}
    assert not motion.gate_on[motion.t_s >= left_s + EXCURSION.duration_s].any()
    latest = motion.t_s >= motion.t_s[-1] - 20
    left, posterior, superior = np.median(truth[latest], axis=0)
    proposal = propose_shift(motion.t_s, motion.displacement_mm, (3.0, 3.0, 3.0))
    assert proposal.worthwhile
    np.testing.assert_allclose(proposal.iec_mm, (-left, -superior, posterior), atol=0.5)


@pytest.mark.parametrize("name", NAMES)
def test_the_document_holds_what_the_bench_prints(shared_data, name):
    document = (Path(__file__).parents[2] / "docs" / "gating.md").read_text()
    assert strategy_row(*trace_session(shared_data / "traces" / "LiverTraj_BreathHold1_robot.txt"), name) in document
