"""Live sources with a network peer, for the contract suite; see `tests.contract.feeds`."""

from __future__ import annotations

import socket
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zmq

from drivers.ports import CineSource
from drivers.sources.openigtlink import OpenigtlinkSettings, OpenigtlinkSource
from drivers.sources.zeromq import ZeromqSettings, ZeromqSource
from gating.messages import SourceKind
from gating.wire.codec import encode, encode_frame
from tests.contract.feeds import FRAMES, INTERVAL_S, feed
from tests.factories import frame, stream


def mrd(_: Path) -> CineSource:
    """A client built on the `ismrmrd` package sends an image every 10 ms."""
    pytest.importorskip("ismrmrd", reason="the ismrmrd package is not installed")
    from drivers.sources.mrd import MrdSettings, MrdSource
    from tests.mrd_client import image, packed, preamble, synthetic_cine

    cine = synthetic_cine(64)

    def message(index: int) -> bytes:
        ticks = 14_400_000 + index * 4
        return packed(image(cine, index % 64, acquisition_time_stamp=ticks, image_index=index % 2**16))

    source = MrdSource(MrdSettings(port=0))
    feed(source, sender(message, preamble()))
    return source


def openigtlink(_: Path) -> CineSource:
    """A client sends an IMAGE every 10 ms."""
    from drivers.formats.openigtlink import image_message
    from tests.mrd_client import synthetic_cine

    cine = synthetic_cine(64)

    def message(index: int) -> bytes:
        stamp_ns, geometry = 1_700_000_000 * 10**9 + index * 10_000_000, (cine["orientation"], cine["position"])
        return image_message("Cine", stamp_ns, cine["frames"][index % 64], cine["spacing"], *geometry)

    source = OpenigtlinkSource(OpenigtlinkSettings(port=0))
    feed(source, sender(message))
    return source


def zeromq(folder: Path) -> CineSource:
    """A bridge publishes a frame every 10 ms."""
    endpoint = f"ipc://{folder}/bridge"
    source = ZeromqSource(ZeromqSettings(endpoint=endpoint))
    there = weakref.ref(source)

    def run() -> None:
        with zmq.Context() as context, context.socket(zmq.PUB) as bridge:
            bridge.linger = 0
            bridge.bind(endpoint)
            for index in range(FRAMES):
                if there() is None:
                    break
                bridge.send_multipart(encode(stream(source_kind=SourceKind.LIVE)))
                bridge.send_multipart(encode_frame(frame(index, source_kind=SourceKind.LIVE)))
                time.sleep(INTERVAL_S)

    threading.Thread(target=run, daemon=True).start()
    return source


def sender(message: Callable[[int], bytes], greeting: bytes = b"") -> Callable[[Any, int], None]:
    """Return a function that sends message after message, and reconnects whenever it is disconnected."""
    links: list[socket.socket] = []

    def send(source: Any, index: int) -> None:
        if not links:
            links.append(socket.create_connection(("127.0.0.1", source.arrivals.peer.port), 1))
            weakref.finalize(source, links[0].close)
            links[0].sendall(greeting)
        try:
            links[0].sendall(message(index))
        except OSError:
            links.pop().close()

    return send
