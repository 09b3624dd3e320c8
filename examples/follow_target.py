"""Follow a target from another program, with pyzmq and msgpack alone: what docs/messages.md says, in Python.

python follow_target.py ENDPOINT SESSION STRUCTURE [SECONDS]
"""

import sys
import time

import msgpack
import zmq

MOST_LEASE_S = 0.1
AXES = (1, 2)  # the coordinates that this machine needs: AP and SI of (LR, AP, SI)


class Follower:
    """Which position may be followed now; None: hold."""

    def __init__(self, session: str, structure: str) -> None:
        self.session, self.structure = session, structure
        self.publisher, self.sequence, self.heard_s = None, -1, 0.0
        self.fastest_s = float("inf")
        self.position, self.until_s = None, 0.0

    def hear(self, position: dict, now_s: float) -> None:
        if position["session_id"] != self.session or position["structure"] != self.structure:
            return
        running = self.position is not None and now_s < self.until_s
        self.position = None  # whatever is wrong with a position, the answer is to hold
        if position["publisher_id"] != self.publisher:
            if self.publisher is not None and now_s - self.heard_s < 1.0:
                return  # two publishers: believe neither
            self.publisher, self.fastest_s = position["publisher_id"], float("inf")
            self.sequence, self.heard_s = position["position_sequence"], now_s
            return  # the first one of a publisher permits nothing: it may be of an old log
        if position["position_sequence"] <= self.sequence:
            return
        self.sequence, self.heard_s = position["position_sequence"], now_s
        under_way_s = now_s - position["sent_ns"] / 1e9
        self.fastest_s = min(self.fastest_s, under_way_s)
        lease_s = min(position["lease_ms"] / 1e3, MOST_LEASE_S) - (under_way_s - self.fastest_s)
        known = all(position["predicted_mm"][axis] is not None for axis in AXES)
        if position["valid"] and known and lease_s > 0 and (running or not position["renewal"]):
            self.position, self.until_s = position, now_s + lease_s

    def now(self, now_s: float) -> dict | None:
        return self.position if now_s < self.until_s else None


def main() -> None:
    endpoint, session, structure = sys.argv[1:4]
    if not endpoint.startswith("ipc://"):
        sys.exit(f"{endpoint}: without keys (CURVE), anybody there could repeat old positions")
    end_s = time.monotonic() + float(sys.argv[4]) if len(sys.argv) > 4 else float("inf")
    follower, followed = Follower(session, structure), False
    with zmq.Context.instance().socket(zmq.SUB) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.subscribe(b"position")
        socket.connect(endpoint)
        while time.monotonic() < end_s:
            socket.poll(10)
            for _ in range(64):  # not all that come: a flood must not keep the lease from running out
                if not socket.poll(0):
                    break
                _, header = socket.recv_multipart()
                follower.hear(msgpack.unpackb(header, max_bin_len=0, max_ext_len=0), time.monotonic())
            position = follower.now(time.monotonic())
            if position is not None:
                x, y, z = position["predicted_mm"]
                print("follow", position["position_sequence"], x, y, z, flush=True)  # yours: move there
            elif followed:
                print("hold", flush=True)  # yours: stand still
            followed = position is not None


if __name__ == "__main__":
    main()
