"""Faults of origin: another peer or another series goes on with the stream."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from msgspec.structs import replace

from bench.faults.injections.registry import Steps, injects
from bench.faults.mrd_client import MrdClient
from bench.faults.scene import Scene
from gating.messages import StreamInfo
from gating.settings.config import ClockSettings, to_toml
from gating.wire.codec import encode


def use_mrd_source(scene: Scene) -> None:
    """Send the calm patient by MRD to a real source process, which publishes in place of the scripted source."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    config = Path(scene.folder / "source.toml")
    clocks = ClockSettings(source_delay_ms=0, source_delay_uncertainty_ms=5)
    config.write_text(to_toml(replace(scene.config, clocks=clocks)))
    scene.source.close()
    scene.source.open(scene.context, f"ipc://{scene.folder}/images")
    scene.scanner = MrdClient(port)
    scene.source.transform = scene.scanner.send
    command = [sys.executable, "-m", "cinegate", "source", "mrd", "-o", f"port={port}"]
    command += ["-o", f"frames_per_s={scene.book.rate_per_s:g}", "--session", scene.session, "--config", str(config)]
    scene.processes.start("source", command)


@injects("another_scanner_takes_over")
def _(scene: Scene) -> Steps:
    assert scene.scanner is not None
    scene.scanner.replace()
    scene.next_frame()
    scene.mark_visible()
    yield


def _declared(fault_id: str, **origin: str) -> None:
    def inject(scene: Scene) -> Steps:
        before = scene.source.stream
        changed: StreamInfo = replace(before, **origin)
        scene.source.stream = changed
        scene.source.send(encode(changed))
        scene.mark_visible(scene.source.sent_ns)
        yield
        scene.source.stream = before

    injects(fault_id)(inject)


_declared("another_peer_declared", peer="another scanner")
_declared("another_series_declared", series="scan 1")
