"""Frames of a source on another host, as the engine sees them."""

from __future__ import annotations

import numpy as np

from gating.clocks.offset import MIN_SAMPLES, UNKNOWN_NS
from gating.clocks.remap import ClockMap
from gating.decision.reasons import GateReason
from gating.messages import CineFrame
from gating.settings.config import ClockSettings, HealthSettings
from gating.stream.checks import StreamMemory, check_frame, remember
from tests.factories import INTERVAL_NS, frame, stream

MS = 1_000_000
OFFSET_NS = -7_000_000_000_000
MEASURED = ClockSettings(network_delay_ms=1.0, network_delay_uncertainty_ms=0.5)


def arrivals(count: int = 60, seed: int = 0, **overrides: object) -> list[tuple[CineFrame, int]]:
    """Frames of a host whose clock is 7000 s ahead of the engine's, and when the engine receives them."""
    rng = np.random.default_rng(seed)
    pairs = []
    for sequence in range(count):
        sent = frame(sequence, publish_clock="monotonic:far", **overrides)
        delay_ns = 1 * MS + int(rng.exponential(0.3 * MS))
        received_ns = sent.header.published_ns + 10**13 + OFFSET_NS + delay_ns
        pairs.append((sent, received_ns))
    return pairs


def test_a_frame_on_the_engines_clock_passes_untouched() -> None:
    near = frame(publish_clock="manual")
    assert ClockMap("manual", MEASURED).frame(near, near.header.published_ns) is near


def test_another_hosts_frame_maps_to_our_clock_within_its_uncertainty() -> None:
    clock_map, newest_ns = ClockMap("manual", MEASURED), 0
    for sent, received_ns in arrivals():
        mapped = clock_map.frame(sent, received_ns).header
        true_ns = sent.header.published_ns + 10**13 + OFFSET_NS
        assert mapped.publish_clock == "manual"
        assert abs(mapped.published_ns - true_ns) <= mapped.acquired_uncertainty_ns
        age_ns = sent.header.published_ns - sent.header.acquired_on_publish_clock_ns
        assert abs(mapped.published_ns - mapped.acquired_on_publish_clock_ns - age_ns) <= mapped.acquired_uncertainty_ns
        assert mapped.published_ns >= newest_ns, "a stamp that is known better must not make time run backward"
        newest_ns = mapped.published_ns
    assert mapped.acquired_uncertainty_ns < 10 * MS


def test_the_sources_own_uncertainty_is_added() -> None:
    plain, uncertain = (ClockMap("manual", MEASURED) for _ in range(2))
    for (sent, received_ns), (worse, _) in zip(arrivals(), arrivals(acquired_uncertainty_ns=3 * MS), strict=True):
        a, b = plain.frame(sent, received_ns), uncertain.frame(worse, received_ns)
    assert b.header.acquired_uncertainty_ns == a.header.acquired_uncertainty_ns + 3 * MS


def test_the_engines_checks_accept_the_mapped_frames_once_enough_is_known() -> None:
    clock_map, memory = ClockMap("manual", MEASURED), None
    faults = []
    for sent, received_ns in arrivals():
        mapped = clock_map.frame(sent, received_ns)
        faults.append(check_frame(mapped.header, received_ns, memory, stream(), HealthSettings()))
        memory = remember(memory, mapped.header, received_ns)
    reasons = [fault.reason if fault else None for fault in faults]
    assert reasons[: MIN_SAMPLES - 1] == [GateReason.STAMP_UNCERTAIN] * (MIN_SAMPLES - 1)
    assert reasons[MIN_SAMPLES:] == [None] * (60 - MIN_SAMPLES)


def test_another_hosts_frame_is_unusable_without_a_measured_delay() -> None:
    clock_map = ClockMap("manual", ClockSettings())
    mapped = [clock_map.frame(sent, received_ns).header for sent, received_ns in arrivals()]
    assert {header.acquired_uncertainty_ns for header in mapped} == {UNKNOWN_NS}


def test_a_stamp_of_zero_stays_zero_and_is_refused() -> None:
    sent = frame(publish_clock="monotonic:far", acquired_on_publish_clock_ns=0)
    mapped = ClockMap("manual", MEASURED).frame(sent, 10**12)
    memory: StreamMemory | None = None
    fault = check_frame(mapped.header, 10**12, memory, stream(), HealthSettings())
    assert fault is not None
    assert fault.reason is GateReason.CLOCK_FAULT


def test_a_restarted_publisher_begins_anew() -> None:
    clock_map = ClockMap("manual", MEASURED)
    for sent, received_ns in arrivals():
        clock_map.frame(sent, received_ns)
    restarted = frame(60, publish_clock="monotonic:far", publisher_id="p2")
    received_ns = 10**13 + OFFSET_NS + 60 * INTERVAL_NS
    assert clock_map.frame(restarted, received_ns).header.acquired_uncertainty_ns == UNKNOWN_NS
