"""A flood of operators' requests does not disturb the engine's commands."""

from __future__ import annotations

import time

import pytest
import zmq

from gating.messages import ControlRequest
from gating.service.pipeline import Session
from gating.settings.config import Config
from gating.wire.codec import encode
from gating.wire.sockets import subscribe
from tests.patience import wait_until

pytestmark = pytest.mark.deadlines

FLOOD_S = 2.0


@pytest.fixture
def session(tmp_path_factory):
    running = Session(Config(), "s1", tmp_path_factory.mktemp("f"))
    running.start("engine", "--target-box", "30,30,20,20")
    yield running
    running.stop()


@pytest.fixture
def context():
    made = zmq.Context()
    yield made
    made.destroy(linger=0)


def commands_in(gate, asker=None):
    """Count the gate commands of some seconds, while requests are sent as fast as they are taken."""
    request = encode(ControlRequest(session_id="s1", action="status", operator="flood"))
    count, ends = 0, time.monotonic() + FLOOD_S
    while time.monotonic() < ends:
        if asker is not None:
            for _ in range(50):
                try:
                    asker.send_multipart(request, zmq.NOBLOCK)
                except zmq.Again:
                    break
            while asker.poll(0):
                asker.recv_multipart()
        while gate.poll(1):
            gate.recv_multipart()
            count += 1
    return count


def test_a_flood_of_status_requests_adds_no_gate_commands(session, context):
    endpoints = session.config.endpoints
    with subscribe(context, endpoints.gate) as gate, context.socket(zmq.DEALER) as asker:
        asker.connect(endpoints.control)
        asker.send_multipart(encode(ControlRequest(session_id="s1", action="status", operator="test")))
        assert wait_until(lambda: asker.poll(0) or session.check(), 600), session.output("engine")
        calm = commands_in(gate)
        assert calm > 20
        assert 0.5 * calm < commands_in(gate, asker) < 2 * calm
