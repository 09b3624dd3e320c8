"""What somebody on the network can do to a channel with keys: not be heard, and not disturb who is."""

from __future__ import annotations

import resource
import socket as plain_sockets
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import zmq

from gating.settings.config import EndpointSettings
from gating.wire.keys import ROLES, Keyring, load_keyring
from gating.wire.security import secure
from gating.wire.sockets import bind, dial, receive
from tests.patience import reserved_ports, wait_until

pytestmark = pytest.mark.deadlines

HALF_OPEN = 2000
REPLAY_S = 1.0
"""How long a replayed client is listened to; an honest one is heard within milliseconds."""


@pytest.fixture
def address() -> Iterator[str]:
    with reserved_ports() as (port,):
        yield f"tcp://127.0.0.1:{port}"


@pytest.fixture
def line(context, keys, address):
    """A beam line that listens on TCP, with keys."""
    secure(load_keyring(keys, "line", EndpointSettings()))
    return bind(context, zmq.ROUTER, address, channel="line")


@pytest.fixture
def beam(context, keys, line, address):
    """The beam interface, whose key the line admits, connected and heard."""
    secure(load_keyring(keys, "beam", EndpointSettings()))
    client = dial(context, address, channel="line")
    client.send(b"first")
    assert wait_until(lambda: receive(line) is not None)
    return client


def hears(line, seconds: float) -> bool:
    return wait_until(lambda: receive(line) is not None, seconds)


def way_ms(client, line, count: int = 300) -> np.ndarray:
    """How long messages from a client to the line take, one at a time."""
    times = []
    for _ in range(count):
        begin_s = time.perf_counter()
        client.send(b"on")
        assert line.poll(5000)
        line.recv_multipart()
        times.append(1e3 * (time.perf_counter() - begin_s))
    return np.array(times)


def test_the_key_of_the_beam_interface_is_heard(beam, line):
    beam.send(b"on")
    assert hears(line, 20)


def test_no_other_role_commands_the_line(context, keys, line, address):
    clients = []
    for role in ROLES:
        if role != "beam":
            secure(load_keyring(keys, role, EndpointSettings()))
            clients.append(dial(context, address, channel="line"))
            clients[-1].send(b"on")
    assert len(clients) == len(ROLES) - 1
    assert not hears(line, 0.5)
    for client in clients:
        client.close()


def test_public_keys_alone_do_not_command_the_line(context, keys, line, address):
    public, stolen = ((keys / name).read_bytes().strip() for name in ("line.pub", "beam.pub"))
    _, own_secret = zmq.curve_keypair()
    thief = context.socket(zmq.DEALER)
    thief.set(zmq.LINGER, 0)
    thief.set(zmq.CURVE_SERVERKEY, public)
    thief.set(zmq.CURVE_PUBLICKEY, stolen)
    thief.set(zmq.CURVE_SECRETKEY, own_secret)
    thief.connect(address)
    thief.send(b"on")
    assert not hears(line, 0.5)
    thief.close()


def test_a_recorded_connection_played_again_is_not_heard(context, keys, line, address):
    host, port = "127.0.0.1", int(address.rpartition(":")[2])
    spoken: list[bytes] = []
    with plain_sockets.create_server((host, 0)) as proxy:
        threading.Thread(target=_pass_on, args=(proxy, (host, port), spoken), daemon=True).start()
        secure(load_keyring(keys, "beam", EndpointSettings()))
        client = dial(context, f"tcp://{host}:{proxy.getsockname()[1]}", channel="line")
        client.send(b"on")
        assert hears(line, 20), "the recorded connection itself must be heard"
        client.close()
    with plain_sockets.create_connection((host, port)) as again:
        again.sendall(b"".join(spoken))
        assert not hears(line, REPLAY_S)


def _pass_on(proxy: plain_sockets.socket, server: tuple[str, int], spoken: list[bytes]) -> None:
    """Join one client with the server, and keep what the client says."""
    near, _ = proxy.accept()
    far = plain_sockets.create_connection(server)

    def pump(source: plain_sockets.socket, sink: plain_sockets.socket, kept: list[bytes]) -> None:
        try:
            while data := source.recv(65536):
                kept.append(data)
                sink.sendall(data)
        except OSError:
            pass
        finally:
            sink.close()

    threading.Thread(target=pump, args=(far, near, []), daemon=True).start()
    pump(near, far, spoken)


def test_while_the_authenticator_hangs_nobody_new_is_admitted(context, keys, address):
    asked, released = threading.Event(), threading.Event()

    class Hanging(Keyring):
        def admits(self, channel: str, public: bytes) -> bool:
            asked.set()
            released.wait()
            return channel == "line" and bool(public)

    real = load_keyring(keys, "line", EndpointSettings())
    secure(Hanging(real.name, real.public, real.secret, real.channels, real.servers, real.admitted))
    line = bind(context, zmq.ROUTER, address, channel="line")
    secure(load_keyring(keys, "beam", EndpointSettings()))
    client = dial(context, address, channel="line")
    client.send(b"on")
    try:
        assert asked.wait(20)
        assert not hears(line, 0.5)
    finally:
        released.set()
    assert hears(line, 20), "the same client is heard once the authenticator answers"
    client.close()
    line.close()


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * HALF_OPEN + 500
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this host allows {hard} open files; {wanted} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.alone
@pytest.mark.usefixtures("many_descriptors")
def test_half_open_connections_do_not_slow_the_line(beam, line, address):
    port = int(address.rpartition(":")[2])
    quiet, attacked = [], []
    for _ in range(2):
        quiet.append(way_ms(beam, line))
        held = [plain_sockets.create_connection(("127.0.0.1", port)) for _ in range(HALF_OPEN)]
        attacked.append(way_ms(beam, line))
        for one in held:
            one.close()
    before_ms, under_ms = (min(float(np.percentile(block, 99)) for block in blocks) for blocks in (quiet, attacked))
    print(f"p99 of one message: {before_ms:.3f} ms, with {HALF_OPEN} half-open connections {under_ms:.3f} ms")
    assert under_ms < 5 * before_ms + 5
