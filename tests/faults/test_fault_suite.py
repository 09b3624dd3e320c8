"""The fault suite itself: its catalogue is complete, it finds what is wrong, and its short form passes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bench.faults.catalogue import read_catalogue
from bench.faults.injections import INJECTIONS
from gating.decision.reasons import LATCHING, GateReason

pytestmark = pytest.mark.alone

FAMILIES = {"stream", "targets", "time", "bytes", "processes", "anatomy", "beam", "disk"}


def suite(*arguments: str) -> tuple[int, dict]:
    done = subprocess.run(
        [sys.executable, "-m", "cinegate", "faults", "--json", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def test_the_catalogue_has_more_than_60_faults_and_every_family():
    families = Counter(fault.family for fault in read_catalogue())
    assert set(families) == FAMILIES
    assert sum(families.values()) >= 60
    assert min(families.values()) >= 6


def test_exactly_the_faults_of_the_catalogue_can_be_injected():
    assert {fault.id for fault in read_catalogue()} == set(INJECTIONS)


def test_a_latching_fault_expects_a_hard_reason_and_a_soft_one_does_not():
    hard = {str(reason) for reason in LATCHING} | {"switch_fault"}
    for fault in read_catalogue():
        if fault.reaction == "latch" and "stream_ended" not in fault.reason:
            assert hard & set(fault.reason), fault.id
        if fault.reaction == "hold" and fault.id != "header_bits_flipped":
            assert not LATCHING & {GateReason(r) for r in fault.reason if r in set(GateReason)} - {
                GateReason.CLOCK_FAULT
            }, fault.id


def test_the_short_form_covers_every_family():
    assert {fault.family for fault in read_catalogue() if fault.quick} == FAMILIES


BUSY_MACHINE_MS = 50
"""What a busy machine may add to a bound; the whole suite allows 20."""


def test_the_short_form_passes_with_no_unsafe_beam_and_every_record():
    code, found = suite("--quick", "--jobs", "4", "--tolerance-ms", str(BUSY_MACHINE_MS))
    failed = [fault for fault in found["faults"] if not (fault["skipped"] or (fault["passed"] and fault["log_intact"]))]
    assert failed == []
    assert (code, found["unsafe_on_ms"]) == (0, 0)


UNSAFE_ENGINE = """
import sys, time
import msgspec, zmq
from gating.settings.config import parse_config
from gating.messages import EngineState, GateCommand, GateState, StageStamps, ControlReply
from gating.wire.sockets import bind, subscribe
from gating.wire.codec import decode, encode

config = parse_config(open(sys.argv[1]).read())
gate = bind(zmq.Context.instance(), zmq.PUB, config.endpoints.gate)
beam = subscribe(zmq.Context.instance(), config.endpoints.beam)
interface_id = ""
for sequence in range(100_000):
    while beam.poll(0):
        interface_id = getattr(decode(beam.recv_multipart()), "interface_id", interface_id)
    on = sequence > 20 and interface_id != ""
    gate.send_multipart(encode(GateCommand(
        session_id=sys.argv[2], engine_id="reckless", command_sequence=sequence,
        state=GateState.ON if on else GateState.HOLD, reason="in_window" if on else "settling",
        engine_state=EngineState.ARMED, frame_sequence=sequence, renewal=False, lease_ms=100.0 if on else 0.0,
        source_kind="phantom", pacing="real_time", stamps=StageStamps(sent_ns=time.monotonic_ns()),
        interface_id=interface_id)))
    time.sleep(0.015)
"""


@pytest.mark.slow
def test_an_engine_that_ignores_frames_fails_with_unsafe_beam_measured(tmp_path):
    (tmp_path / "reckless.py").write_text(UNSAFE_ENGINE)
    command = f"{sys.executable} {tmp_path / 'reckless.py'} {{config}} {{session}}"
    code, found = suite("--engine-command", command, "--fault", "silence", "--keep", str(tmp_path / "kept"))
    (silence,) = found["faults"]
    assert code == 3
    assert sorted(one.name for one in Path(silence["kept"]).glob("*.out")) == ["beam.out", "engine.out", "recorder.out"]
    assert not silence["passed"]
    assert silence["unsafe_on_ms"] > 50
