"""A peer on the network whose bytes break a parser is cut off, and the next one is served."""

from __future__ import annotations

import socket
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from drivers.errors import BadFrame
from drivers.sources.peer import NetworkPeer, PeerSettings


def _parser() -> Generator[int, bytes, Any]:
    while True:
        length = yield 1
        yield str(1 // length[0])


@pytest.fixture
def listening() -> Iterator[NetworkPeer]:
    peer = NetworkPeer(PeerSettings(port=0), _parser, listen=True)
    peer.open()
    yield peer
    peer.close()


def heard(listening: NetworkPeer) -> Any:
    for _ in range(100):
        message = listening.receive(50)
        if message is not None:
            return message
    return None


def test_a_peer_whose_bytes_break_the_parser_is_cut_off(listening: NetworkPeer) -> None:
    with socket.create_connection(("127.0.0.1", listening.port)) as first:
        first.sendall(b"\0")
        with pytest.raises(BadFrame, match="was cut off: its message cannot be read: ZeroDivisionError: integer"):
            heard(listening)
    with socket.create_connection(("127.0.0.1", listening.port)) as second:
        second.sendall(b"\1")
        assert heard(listening) == "1"
