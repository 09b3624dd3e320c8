"""Who hears what: keys on every channel, over real sockets."""

from __future__ import annotations

import re
import socket as plain_sockets
import stat
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import zmq

from gating.settings.config import EndpointSettings
from gating.wire.codec import encode
from gating.wire.keys import ROLES, SERVERS, KeyProblem, allow, allowed, load_keyring, new_key
from gating.wire.security import secure
from gating.wire.sockets import bind, dial, subscribe
from tests.factories import beam_status
from tests.patience import PATIENCE_S, reserved_ports, wait_until

pytestmark = pytest.mark.deadlines


@pytest.fixture
def endpoints() -> Iterator[EndpointSettings]:
    names = EndpointSettings.__struct_fields__
    with reserved_ports(len(names)) as ports:
        yield EndpointSettings(**{name: f"tcp://127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)})


@pytest.fixture
def gate(context: zmq.Context, keys, endpoints: EndpointSettings):
    secure(load_keyring(keys, "engine", endpoints))
    server = bind(context, zmq.PUB, endpoints.gate)
    yield server
    server.close()


def hears(context: zmq.Context, server, endpoint: str, refused: Callable[[], bool] = lambda: False) -> bool:
    """Whether a subscriber opened now receives anything; it gives up half a second after it was refused."""
    ear = subscribe(context, endpoint)

    def heard() -> bool:
        server.send_multipart(encode(beam_status()))
        return bool(ear.poll(20))

    try:
        return (wait_until(lambda: heard() or refused()) and not refused()) or wait_until(heard, 0.5)
    finally:
        ear.close()


@pytest.fixture
def said(capfd) -> Callable[[str], bool]:
    """Whether a sentence has been logged since the test began."""
    log: list[str] = []

    def in_log(sentence: str) -> bool:
        log.append(capfd.readouterr().err)
        return sentence in "".join(log)

    return in_log


def test_an_admitted_key_hears_its_channel(context, gate, keys, endpoints):
    secure(load_keyring(keys, "beam", endpoints))
    assert hears(context, gate, endpoints.gate)


def test_the_consoles_own_key_opens_every_channel_of_a_session(keys, endpoints):
    console = load_keyring(keys, "console", endpoints).public
    for channel in EndpointSettings.__struct_fields__:
        assert load_keyring(keys, SERVERS[channel], endpoints).admits(channel, console)


def test_a_client_without_a_key_gets_nothing_and_is_logged(context, gate, endpoints, said):
    secure(None)
    logged = partial(said, "without a valid key failed to connect to gate")
    assert not hears(context, gate, endpoints.gate, logged)
    assert logged()


def test_an_unknown_key_gets_nothing_and_is_logged(context, gate, keys, endpoints, tmp_path, said):
    for role in ROLES:
        new_key(tmp_path / "other", role)
    for role in ROLES:
        (tmp_path / "other" / f"{role}.pub").write_bytes((keys / f"{role}.pub").read_bytes())
    secure(load_keyring(tmp_path / "other", "beam", endpoints))
    logged = partial(said, "turned away from gate")
    assert not hears(context, gate, endpoints.gate, logged)
    assert logged()


STRANGERS = 60


def test_a_flood_of_strangers_is_told_once_a_second_and_counted(context, gate, endpoints, capfd):
    secure(None)
    began_s = time.monotonic()
    strangers = [subscribe(context, endpoints.gate) for _ in range(STRANGERS)]
    log: list[str] = []

    def failures() -> int:
        log.append(capfd.readouterr().err)
        lines = "".join(log).splitlines()
        return sum(int(found[1]) if (found := re.search(r"(\d+) more handshakes", line)) else 1 for line in lines)

    assert wait_until(lambda: failures() >= STRANGERS)
    for one in strangers:
        one.close()
    assert len("".join(log).splitlines()) <= time.monotonic() - began_s + 1


def test_the_right_key_on_the_wrong_channel_gets_nothing_and_is_logged(context, gate, keys, endpoints, said):
    secure(load_keyring(keys, "visitor", endpoints))
    logged = partial(said, "turned away from gate")
    assert not hears(context, gate, endpoints.gate, logged)
    assert logged()


def test_control_answers_the_operator_and_nobody_else(context, keys, endpoints):
    secure(load_keyring(keys, "engine", endpoints))
    control = bind(context, zmq.ROUTER, endpoints.control)
    for role, admitted in (("operator", True), ("visitor", False)):
        secure(load_keyring(keys, role, endpoints))
        client = dial(context, endpoints.control)
        client.send_multipart([b"request", b"x"])
        assert bool(control.poll(PATIENCE_S * 1e3 if admitted else 600)) is admitted
        if admitted:
            control.recv_multipart()
        client.close()
    control.close()


def test_a_key_allowed_later_is_admitted_after_a_restart(context, keys, endpoints):
    allow(keys, "visitor", "gate")
    secure(load_keyring(keys, "engine", endpoints))
    server = bind(context, zmq.PUB, endpoints.gate)
    secure(load_keyring(keys, "visitor", endpoints))
    assert hears(context, server, endpoints.gate)
    assert "visitor" in allowed(keys)["gate"]
    server.close()


class Eavesdropper:
    """A relay between client and server that keeps every byte, as a listener on the wire would."""

    def __init__(self, port: int) -> None:
        self._server = plain_sockets.create_server(("127.0.0.1", 0))
        self._target = port
        self.port = self._server.getsockname()[1]
        self.heard = bytearray()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with self._server:
            inward, _ = self._server.accept()
        outward = plain_sockets.create_connection(("127.0.0.1", self._target))
        for one, other in ((inward, outward), (outward, inward)):
            threading.Thread(target=self._relay, args=(one, other), daemon=True).start()

    def _relay(self, one: plain_sockets.socket, other: plain_sockets.socket) -> None:
        try:
            while data := one.recv(65536):
                self.heard += data
                other.sendall(data)
        except OSError:
            pass
        finally:
            one.close()
            other.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("with_keys", [True, False])
def test_an_eavesdropper_reads_headers_only_where_there_are_no_keys(context, keys, endpoints, with_keys):
    own = load_keyring(keys, "engine", endpoints) if with_keys else None
    secure(own)
    server = bind(context, zmq.PUB, endpoints.gate)
    spy = Eavesdropper(int(endpoints.gate.rpartition(":")[2]))
    seen_through = f"tcp://127.0.0.1:{spy.port}"
    moved = EndpointSettings(
        **{**{n: getattr(endpoints, n) for n in endpoints.__struct_fields__}, "gate": seen_through}
    )
    secure(load_keyring(keys, "beam", moved) if with_keys else None)
    assert hears(context, server, seen_through)
    server.close()
    assert (b"session_id" in spy.heard) is not with_keys


def test_only_their_owner_can_read_the_secrets(keys, endpoints):
    assert stat.S_IMODE((keys / "engine.key").stat().st_mode) == 0o600
    (keys / "engine.key").chmod(0o644)
    with pytest.raises(KeyProblem, match="may be read by others"):
        load_keyring(keys, "engine", endpoints)


@pytest.mark.parametrize(
    "endpoint", ["tcp://*:5555", "tcp://0.0.0.0:5555", "tcp://192.0.2.1:5555", "tcp://eth0:5555", "tcp://lo1:5555"]
)
def test_listening_beyond_this_host_without_keys_is_refused(context, endpoint):
    with pytest.raises(PermissionError, match="listens beyond this host without keys"):
        bind(context, zmq.PUB, endpoint)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "lo"])
def test_listening_on_this_host_needs_no_keys(context, host):
    bind(context, zmq.PUB, f"tcp://{host}:*").close()


def test_listening_beyond_this_host_can_be_allowed(context):
    secure(None, open_network_allowed=True)
    bind(context, zmq.PUB, "tcp://0.0.0.0:0").close()
