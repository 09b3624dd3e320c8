"""Each fault of a stream has its reason."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from msgspec.structs import replace

from gating.decision.limits import stale_limit_ns
from gating.decision.reasons import GateReason
from gating.engine.peers import check_beam, check_recorder
from gating.messages import Heartbeat, StampMeaning
from gating.settings.config import HealthSettings, SafetySettings
from gating.stream.checks import check_frame, check_pixels, forget_stream, remember
from tests.factories import INTERVAL_NS, START_NS, anatomy, beam_status, frame, stream

MS = 1_000_000


def check(header, *, after=0, memory="one frame", since_ms=125.0):
    before = frame(after).header
    received = START_NS + after * INTERVAL_NS + MS
    known = remember(None, before, received) if memory == "one frame" else memory
    return check_frame(header, received + round(since_ms * MS), known, stream(), HealthSettings())


def reason(header, **kwargs):
    fault = check(header, **kwargs)
    return None if fault is None else fault.reason


def test_the_next_frame_in_time_is_healthy():
    assert check(frame(1).header) is None


@pytest.mark.parametrize("moved", [0, None], ids=["moved to the centre", "as it was stamped"])
def test_a_moment_after_its_publication_names_the_settings_to_look_at(moved):
    """As with an acquisition of 120 ms, and a delay of the source that was not entered."""
    header = frame(1).header
    late = {"acquired_on_publish_clock_ns": header.published_ns + 60 * MS, "moment_uncertainty_ns": moved}
    fault = check(replace(header, **late))
    assert fault.reason is GateReason.CLOCK_FAULT
    assert ("clocks.source_delay_ms is likely too small" in fault.detail) is (moved is not None)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"acquired_on_publish_clock_ns": 0}, GateReason.CLOCK_FAULT),
        ({"published_ns": 0}, GateReason.CLOCK_FAULT),
        ({"published_ns": START_NS + 10 * INTERVAL_NS}, GateReason.CLOCK_FAULT),
        ({"acquired_ns": 0}, GateReason.CLOCK_FAULT),
        ({"acquired_ns": 10 * INTERVAL_NS}, GateReason.CLOCK_FAULT),
        ({"acquired_uncertainty_ns": 51 * MS}, GateReason.STAMP_UNCERTAIN),
        ({"moment_uncertainty_ns": 51 * MS}, GateReason.STAMP_UNCERTAIN),
        ({"acquired_uncertainty_ns": 26 * MS, "moment_uncertainty_ns": 25 * MS}, GateReason.STAMP_UNCERTAIN),
        ({"publish_clock": "other"}, GateReason.CLOCK_FAULT),
        ({"session_id": "s2"}, GateReason.SESSION_CHANGED),
        ({"publisher_id": "p2"}, GateReason.TWO_PUBLISHERS),
        ({"source": "other"}, GateReason.TWO_PUBLISHERS),
        ({"plane": "coronal"}, GateReason.GEOMETRY_CHANGED),
        ({"pixel_spacing_mm": (1.0, 2.0)}, GateReason.GEOMETRY_CHANGED),
        ({"image_orientation": (1.0, 0, 0, 0, 0, -1.0)}, GateReason.GEOMETRY_CHANGED),
        ({"image_position_mm": (0.0, 0.0, 0.0)}, GateReason.GEOMETRY_CHANGED),
        ({"sequence": 0}, GateReason.FRAME_REPEATED),
        ({"sequence": 3}, GateReason.FRAME_GAP),
    ],
)
def test_a_frame_that_contradicts_the_stream_is_named(overrides, expected):
    assert reason(replace(frame(1).header, **overrides)) is expected


def test_a_frame_of_another_shape_is_a_change_of_geometry():
    assert reason(frame(1, anatomy((64, 96))).header) is GateReason.GEOMETRY_CHANGED


def test_an_older_frame_is_out_of_order():
    assert reason(frame(1).header, after=2) is GateReason.FRAME_OUT_OF_ORDER


def test_a_restarted_source_is_a_new_session_not_a_second_publisher():
    restarted = frame(1, publisher_id="p2").header
    assert reason(restarted, since_ms=1500) is GateReason.SESSION_CHANGED


def test_an_interval_far_from_the_nominal_one_is_irregular():
    late = {
        "acquired_ns": 3 * INTERVAL_NS,
        "acquired_on_publish_clock_ns": START_NS + 3 * INTERVAL_NS,
        "published_ns": START_NS + 3 * INTERVAL_NS,
    }
    assert reason(frame(1, **late).header, since_ms=400) is GateReason.IRREGULAR_RATE


def test_an_acknowledgement_admits_a_new_publisher_but_no_new_geometry():
    memory = forget_stream(remember(None, frame(5).header, START_NS))
    assert reason(frame(0, publisher_id="p2", pixels=anatomy(seed=99)).header, memory=memory) is None
    moved = frame(0, publisher_id="p2", image_position_mm=(1.0, 0.0, 0.0)).header
    assert reason(moved, memory=memory) is GateReason.GEOMETRY_CHANGED


@pytest.mark.parametrize(
    ("interval_ms", "planes", "speed", "limit_ms"),
    [(125, 1, 1.0, 237.5), (167.5, 1, 1.0, 301.25), (125, 2, 1.0, 400.0), (500, 1, 1.0, 400.0), (125, 1, 2.0, 143.75)],
)
def test_the_stale_limit_is_1_5_intervals_plus_a_margin_up_to_400_ms(interval_ms, planes, speed, limit_ms):
    assert stale_limit_ns(round(interval_ms * MS), planes, speed, SafetySettings()) == limit_ms * MS


def heartbeat(state="recording", **counters):
    return Heartbeat(session_id="s1", role="recorder", process_id=1, state=state, sent_ns=0, counters=counters)


@pytest.mark.parametrize(
    ("message", "silence_ms", "expected"),
    [
        (heartbeat(), 10, None),
        (None, 10, GateReason.RECORDER_BEHIND),
        (heartbeat(), 1001, GateReason.RECORDER_BEHIND),
        (heartbeat("failed"), 10, GateReason.AUDIT_LOSS),
        (heartbeat("starting"), 10, GateReason.RECORDER_BEHIND),
        (heartbeat(frames_lost=1), 10, GateReason.AUDIT_LOSS),
    ],
)
def test_a_recorder_that_does_not_keep_up_holds(message, silence_ms, expected):
    fault = check_recorder(message, 0, silence_ms * MS, 1000 * MS)
    assert (None if fault is None else fault.reason) is expected


def test_a_silent_or_latched_beam_interface_holds():
    assert check_beam(None, 0, 10).reason is GateReason.BEAM_SILENT
    assert check_beam(beam_status(), 0, 251 * MS).reason is GateReason.BEAM_SILENT
    assert check_beam(beam_status(latched=True), 0, 10).reason is GateReason.READ_BACK_MISMATCH
    assert check_beam(beam_status(), 0, 10) is None


def test_a_mapped_stamp_may_move_back_within_what_it_is_uncertain_by() -> None:
    before = frame(4, acquired_uncertainty_ns=30 * MS)
    back_ns = before.header.acquired_on_publish_clock_ns - 40 * MS
    memory = remember(None, before.header, before.header.published_ns)
    after = frame(5, acquired_on_publish_clock_ns=back_ns, acquired_uncertainty_ns=30 * MS)
    fault = check_frame(after.header, after.header.published_ns, memory, stream(), HealthSettings())
    assert fault is None or "ran backward" not in fault.detail


def through(headers):
    """Check frames one after another; return the first fault."""
    memory = None
    for number, header in enumerate(headers):
        received_ns = START_NS + number * INTERVAL_NS + MS
        fault = check_frame(header, received_ns, memory, stream(), HealthSettings())
        if fault is not None:
            return fault
        memory = remember(memory, header, received_ns)
    return None


def test_a_mapped_clock_that_drifts_from_the_raw_one_is_a_clock_fault():
    """Each step is within the tolerance of one frame; their sum is not."""
    headers = [frame(n).header for n in range(40)]
    steady = [replace(h, acquired_on_publish_clock_ns=h.acquired_on_publish_clock_ns - 50 * MS) for h in headers]
    creeping = [
        replace(h, acquired_on_publish_clock_ns=h.acquired_on_publish_clock_ns + n * MS) for n, h in enumerate(steady)
    ]
    assert through(steady) is None
    assert through(creeping).reason is GateReason.CLOCK_FAULT


def test_a_clock_that_is_off_by_100_ppm_is_no_fault():
    headers = [frame(n).header for n in range(200)]
    drifting = [
        replace(h, acquired_on_publish_clock_ns=h.acquired_on_publish_clock_ns - round(n * INTERVAL_NS * 1e-4))
        for n, h in enumerate(headers)
    ]
    assert through(drifting) is None


def test_an_unpaced_frame_in_a_paced_stream_is_a_clock_fault():
    assert reason(replace(frame(1).header, pacing="unpaced", speed=0.0)) is GateReason.CLOCK_FAULT


@pytest.mark.parametrize(("age_ms", "held"), [(40, False), (99, False), (101, True)])
def test_a_beam_interface_that_acknowledges_late_holds(age_ms, held):
    status = beam_status(engine_id="e1", command_sequence=7, command_sent_ns=START_NS)
    fault = check_beam(status, START_NS + age_ms * MS, START_NS + age_ms * MS, "e1")
    assert (fault is not None) is held
    assert fault is None or fault.reason is GateReason.BEAM_SILENT


def test_a_beam_interface_that_follows_another_engine_holds():
    status = beam_status(engine_id="e0", command_sequence=7, command_sent_ns=START_NS)
    assert check_beam(status, START_NS, START_NS, "e1").reason is GateReason.BEAM_SILENT


def test_a_beam_interface_that_stops_on_request_is_no_broken_line():
    status = beam_status(reason="stopping", latched=True)
    assert check_beam(status, START_NS, START_NS, "e1").reason is GateReason.BEAM_SILENT


@pytest.mark.parametrize(("dtype", "largest"), [(np.uint8, 255), (np.uint16, 65535), (">u2", 65535)])
def test_saturation_up_to_the_limit_is_healthy_and_refused_beyond(dtype, largest):
    pixels = np.zeros((80, 80), dtype)
    pixels[:, :20] = largest
    assert check_pixels(3, pixels, HealthSettings()) is None
    pixels[:, :22] = largest
    fault = check_pixels(3, pixels, HealthSettings())
    assert fault is not None
    assert fault.reason is GateReason.FRAME_REFUSED
    assert fault.detail == f"frame 3: 28% of the pixels are saturated at {largest}, the limit is 25%"


def test_floating_point_pixels_have_no_largest_value():
    assert check_pixels(0, np.full((80, 80), np.finfo(np.float32).max, np.float32), HealthSettings()) is None


@pytest.mark.parametrize("plane", ["coronal", "transversal"])
def test_a_plane_whose_label_contradicts_its_orientation_is_refused(plane):
    header = frame(0, plane=plane).header
    fault = check_frame(header, header.published_ns, None, stream(planes=(plane,)), HealthSettings())
    assert fault.reason is GateReason.GEOMETRY_CHANGED
    assert f"plane is '{plane}', but its orientation" in fault.detail


def arrivals(*intervals):
    """Frames without stamps of their own, that arrive after these shares of the nominal interval."""
    at = np.concatenate([[0], np.cumsum(intervals)]) * INTERVAL_NS + START_NS
    return [
        replace(
            frame(number).header,
            acquired_meaning=StampMeaning.ARRIVAL,
            acquired_ns=round(at_ns),
            acquired_on_publish_clock_ns=round(at_ns),
            published_ns=round(at_ns),
        )
        for number, at_ns in enumerate(at)
    ]


def health_of(headers):
    """What the checks say to each of some frames, each received when it arrived."""
    memory, faults = None, []
    for header in headers:
        faults.append(check_frame(header, header.acquired_ns, memory, stream(), HealthSettings()))
        memory = remember(memory, header, header.acquired_ns, stream().nominal_interval_ns)
    return [None if fault is None else fault.reason for fault in faults]


@pytest.mark.parametrize("rate", [1.5, 2, 4])
def test_arrivals_that_empty_a_queue_are_never_good_twice(rate):
    """After a pause of 5 s in the way of the images, those that waited are up to 5 s old, and look new."""
    after = health_of(arrivals(1, 1, 1, 40, *[1 / rate] * 30))[5:]
    assert not any(one is None and other is None for one, other in itertools.pairwise(after))
    assert after[-1] is GateReason.STAMP_UNCERTAIN


def test_an_emptied_queue_is_forgotten_within_three_seconds():
    assert health_of(arrivals(1, 20, *[0.5] * 10, *[1] * 24))[-1] is None


def test_arrivals_that_jitter_by_40_ms_are_healthy():
    jitter = np.random.default_rng(1).uniform(0, 40e6 / INTERVAL_NS, 200)
    assert set(health_of(arrivals(*(1 + np.diff(jitter))))) == {None}
