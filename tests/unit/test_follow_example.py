"""The example of a machine that follows, in Python: what a stream of positions cannot make it do."""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

import msgpack
import pytest
import zmq

FILE = Path(__file__).parents[2] / "examples" / "follow_target.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("follow_target", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def position(number: int, structure: str = "target", **changed) -> dict:
    said = {"session_id": "s1", "structure": structure, "publisher_id": "p1", "position_sequence": number}
    said |= {"sent_ns": time.monotonic_ns(), "lease_ms": 100.0, "valid": True, "renewal": False}
    return said | {"predicted_mm": [None, 1.0, 2.0]} | changed


def test_the_first_position_of_a_publisher_permits_nothing(example):
    follower = example.Follower("s1", "target")
    follower.hear(position(5), 1.0)
    assert follower.now(1.0) is None
    follower.hear(position(6, sent_ns=0), 1.02)
    follower.hear(position(7, sent_ns=0), 1.02)
    assert follower.now(1.02)["position_sequence"] == 7
    follower.hear(position(8, publisher_id="p2"), 3.0)
    assert follower.now(3.0) is None


def test_a_consumer_without_keys_follows_nobody_over_tcp(example, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["follow_target.py", "tcp://192.0.2.1:5559", "s1", "target", "0.1"])
    with pytest.raises(SystemExit, match="without keys"):
        example.main()


@pytest.mark.deadlines
def test_a_flood_of_other_positions_does_not_outlast_a_lease(example, tmp_path, capsys, monkeypatch):
    endpoint = f"ipc://{tmp_path}/positions"
    monkeypatch.setattr(sys, "argv", ["follow_target.py", endpoint, "s1", "target", "0.5"])
    context = zmq.Context()
    publisher = context.socket(zmq.XPUB)
    publisher.bind(endpoint)

    def publish() -> None:
        publisher.recv()  # its subscription
        for number in range(3):
            publisher.send_multipart([b"position", msgpack.packb(position(number))])
            time.sleep(0.02)
        end_s = time.monotonic() + 0.8
        while time.monotonic() < end_s:
            publisher.send_multipart([b"position", msgpack.packb(position(0, "another"))])
            time.sleep(0.002)

    sending = threading.Thread(target=publish)
    sending.start()
    began_s = time.monotonic()
    example.main()
    took_s = time.monotonic() - began_s
    sending.join()
    context.destroy(linger=0)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("follow ")
    assert said[-1] == "hold"
    assert took_s < 0.75
