"""Simulated machines that follow: what a lease permits, how axes move, and what a collimator leaves wrong."""

from __future__ import annotations

import numpy as np
import pytest

from bench.couch_bounds import STEPS, Planner
from bench.mlc import CYCLE_S
from bench.mlc_live import calm_figures
from drivers.machines.collimator import Collimator, CollimatorSettings, circle
from drivers.machines.couch import Couch, CouchSettings
from drivers.machines.drives import DriveLimits, Drives
from drivers.machines.lease import AP, LR, SI, PositionLease, displacement_mm
from drivers.machines.process import CouchMachine, FollowingMachine
from gating.messages import Pacing, SourceKind, TargetPosition
from gating.settings.config import Config, EndpointSettings

MS = 1_000_000
LIMITS = DriveLimits(speed_mm_s=30, acceleration_mm_s2=500, latency_ms=60)


def position(number: int, sent_ms: float, *, renewal: bool = False, **changed) -> TargetPosition:
    fields = {
        "session_id": "s1",
        "publisher_id": "p1",
        "position_sequence": number,
        "structure": "target",
        "valid": True,
        "reason": "tracked",
        "frame_sequence": number,
        "renewal": renewal,
        "lease_ms": 100.0,
        "source_kind": SourceKind.LIVE,
        "pacing": Pacing.REAL_TIME,
        "reference_mm": (None, 0.0, 0.0),
        "predicted_mm": (None, 1.0, 2.0),
        "measured_ages_ms": (None, 20.0, 20.0),
        "predicted_ns": round((sent_ms + 100) * MS),
        "sent_ns": round(sent_ms * MS),
        "clock": "theirs",
    }
    return TargetPosition(**fields | changed)


def lease(needed=(AP, SI), clock: str = "ours", **changed) -> PositionLease:
    return PositionLease("s1", "target", needed, max_lease_ms=100, allow_simulated=False, clock_name=clock, **changed)


def hear(made: PositionLease, *positions: TargetPosition) -> None:
    """Each arrives a millisecond after it was sent."""
    for one in positions:
        made.receive(one, one.sent_ns + MS)


def test_the_first_position_heard_permits_nothing():
    made = lease()
    hear(made, position(7, 0))
    assert made.followed(1 * MS) is None


def test_a_position_is_followed_until_its_lease_runs_out():
    made = lease()
    hear(made, position(7, 0), position(8, 20))
    assert made.followed(120 * MS).position_sequence == 8
    assert made.followed(121 * MS) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"valid": False, "lease_ms": 0.0},
        {"predicted_mm": (None, None, 2.0)},
        {"session_id": "s2"},
        {"publisher_id": "p2"},
        {"position_sequence": 8},
        {"position_sequence": 2**50},
        {"source_kind": SourceKind.PHANTOM},
        {"lease_ms": 0.0},
        {"reference_mm": (None, None, 0.0)},
        {"predicted_mm": (None, 1.0, -51.0)},
        {"predicted_mm": (None, 9_000.0, 2.0)},
        {"predicted_ns": 0},
        {"predicted_ns": 600 * MS},
        {"measured_ages_ms": (None, 450.0, 20.0)},
        {"measured_ages_ms": (None, None, 20.0)},
    ],
)
def test_a_position_that_cannot_be_followed_ends_the_lease_at_once(changed):
    made = lease()
    hear(made, position(7, 0), position(8, 20), position(9, 40, **changed))
    assert made.followed(41 * MS) is None


def test_a_machine_holds_where_it_cannot_reach():
    made = lease(reach_mm=30.0)
    hear(made, position(7, 0), position(8, 20, predicted_mm=(None, 1.0, -31.0)))
    assert made.followed(21 * MS) is None
    assert "31 mm from its reference, the limit is 30 mm" in made.reason(21 * MS)


@pytest.mark.parametrize("address", ["192.0.2.1", "127.0.0.1"])
def test_without_keys_a_machine_follows_nobody_over_tcp(address, tmp_path):
    """Another user of the host, or whoever holds that address, could publish there, and repeat what was published."""
    endpoints = EndpointSettings(positions=f"tcp://{address}:5559")
    couch, record = CouchMachine(Couch(), (AP, SI)), tmp_path / "followed.csv"
    machine = FollowingMachine(Config(endpoints=endpoints), "s1", "target", couch, record, allow_simulated=True)
    with pytest.raises(
        PermissionError, match=rf"machine would obey anybody at tcp://{address}:5559; set security\.keys"
    ):
        machine.run(lambda: True)
    assert not record.exists()


def test_an_expired_lease_is_not_renewed_until_a_new_frame():
    made = lease()
    hear(made, position(7, 0), position(8, 20), position(9, 200, renewal=True))
    assert made.followed(201 * MS) is None
    hear(made, position(10, 220))
    assert made.followed(221 * MS) is not None


def test_a_position_of_another_structure_changes_nothing():
    made = lease()
    hear(made, position(7, 0), position(8, 20), position(9, 40, structure="liver", valid=False))
    assert made.followed(60 * MS).structure == "target"


def test_a_machine_that_needs_an_axis_nobody_shows_stands_still():
    made = lease(needed=(LR, SI))
    hear(made, position(7, 0), position(8, 20))
    assert made.followed(22 * MS) is None


def test_an_old_position_of_this_hosts_clock_is_not_followed():
    made = lease(clock="theirs")
    made.receive(position(7, 0), 150 * MS)
    made.receive(position(8, 20), 170 * MS)
    assert made.followed(171 * MS) is None


def test_positions_that_queued_while_the_machine_stood_are_not_followed():
    made = lease()
    made.note_awake(0)
    hear(made, position(7, 0), position(8, 20))
    made.note_awake(400 * MS)
    made.receive(position(9, 300), 400 * MS)
    assert made.followed(401 * MS) is None


def test_a_message_that_cannot_be_read_ends_the_lease():
    made = lease()
    hear(made, position(7, 0), position(8, 20))
    made.refuse("garbage", 30 * MS)
    assert made.followed(31 * MS) is None


def moved(drives: Drives, seconds: float, begin_s: float = 0.0) -> np.ndarray:
    return np.array([drives.advance(t_s).copy() for t_s in np.arange(begin_s, begin_s + seconds, 0.01)])


def test_an_axis_waits_accelerates_cruises_and_stops_where_it_was_sent():
    drives = Drives(np.zeros(1), LIMITS)
    drives.set_point(0.0, np.array([12.0]))
    way = moved(drives, 1.0)[:, 0]
    speed = np.diff(way) / 0.01
    assert not way[:6].any()
    assert speed.max() == pytest.approx(30.0, abs=0.01)
    assert np.abs(np.diff(speed)).max() <= 500 * 0.01 + 1e-9
    assert way[-1] == pytest.approx(12.0, abs=1e-3)
    assert way.max() <= 12.3


def test_a_hold_stops_an_axis_within_its_braking_distance():
    drives = Drives(np.zeros(1), LIMITS)
    drives.set_point(0.0, np.array([100.0]))
    at_mm = moved(drives, 0.5)[-1, 0]
    drives.set_point(0.5, np.array([200.0]))
    drives.hold()
    rest_mm = moved(drives, 1.0, 0.5)[-1, 0]
    assert rest_mm - at_mm == pytest.approx(30**2 / (2 * 500), abs=0.5)


def settled(u_mm: float, v_mm: float, settings: CollimatorSettings | None = None) -> Collimator:
    made = Collimator(circle(40), settings)
    made.follow(0.0, u_mm, v_mm)
    for t_s in np.arange(0, 2, 0.02):
        made.advance(t_s)
    return made


def test_an_aperture_that_stands_still_misses_what_the_target_moves():
    over_mm2, under_mm2, off_u_mm, off_v_mm = Collimator(circle(40)).exposure(5.0, 0.0)
    assert (off_u_mm, off_v_mm) == (pytest.approx(-5.0), pytest.approx(0.0))
    assert over_mm2 == under_mm2 == pytest.approx(5.0 * 42.6, rel=0.02)


def test_along_the_leaves_an_aperture_follows_exactly():
    assert settled(-7.3, 0.0).exposure(-7.3, 0.0) == pytest.approx((0, 0, 0, 0), abs=1e-6)


def test_across_the_leaves_a_whole_leaf_is_exact():
    assert settled(0.0, 7.1).exposure(0.0, 7.1) == pytest.approx((0, 0, 0, 0), abs=1e-6)


def test_narrow_leaves_leave_less_wrong_between_two_leaves():
    wide, narrow = (
        settled(0.0, width / 2, CollimatorSettings(leaf_width_mm=width, leaf_pairs=2 * round(70 / width)))
        for width in (7.1, 2.0)
    )
    exposures = wide.exposure(0.0, 3.55), narrow.exposure(0.0, 1.0)
    wrong = [one.over_mm2 + one.under_mm2 for one in exposures]
    assert wrong[1] < 0.5 * wrong[0]
    assert abs(exposures[0].off_v_mm) < 1.0


def test_a_couch_undoes_a_displacement_as_far_as_it_reaches():
    couch = Couch(CouchSettings(reach_mm=10.0))
    couch.follow(0.0, np.array([0.0, 3.0, -50.0]))
    at = [couch.advance(t_s) for t_s in np.arange(0, 3, 0.02)][-1]
    np.testing.assert_allclose(at, [0.0, -3.0, 10.0], atol=0.01)


def test_a_planned_couch_keeps_to_its_acceleration_and_arrives_sooner():
    """It is what the bench compares the couch with: no follower can do much better."""
    away_mm, planner, couch = np.array([3.0, -5.0]), Planner(100.0), Couch()
    path, planned, followed = np.tile(away_mm, (STEPS, 1)), [], []
    for step in range(60):
        planned.append(planner.advance(path).copy())
        couch.follow(step * CYCLE_S, np.array([0.0, *away_mm]))
        followed.append(-couch.advance(step * CYCLE_S)[1:])
    assert np.abs(np.diff(planned, n=2, axis=0)).max() <= 100.0 * CYCLE_S**2 + 1e-9
    assert np.linalg.norm(planned[-1] - away_mm) < 0.05
    assert np.linalg.norm(planned - away_mm, axis=1).sum() < np.linalg.norm(followed - away_mm, axis=1).sum()


def test_a_couch_stands_on_an_axis_that_it_does_not_need():
    """Nothing has checked what a position says of that axis."""
    couch = Couch()
    machine = CouchMachine(couch, (AP, SI))
    told = position(8, 0, reference_mm=(0.0, 0.0, 0.0), predicted_mm=(9_000.0, 1.0, 2.0))
    machine.follow(0.0, displacement_mm(told, machine.needed))
    for step in range(300):
        machine.advance(step / 100)
    np.testing.assert_allclose(couch.advance(3.0), (0.0, -1.0, -2.0), atol=0.01)


def test_calm_time_counts_from_the_first_position_that_was_followed():
    followed = [("0", ""), ("1", "100.0"), ("1", "300.0"), ("0", "")]
    rows = [
        {"t_ns": str(number * 10 * MS), "following": following, "age_ms": age_ms}
        for number, (following, age_ms) in enumerate(followed)
    ]
    figures = calm_figures(rows)
    assert figures["valid"] == pytest.approx(2 / 3)
    assert figures["seconds"] == pytest.approx(0.02)
    assert figures["age_p50_ms"] == pytest.approx(200.0)
