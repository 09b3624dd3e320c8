"""Publish a source through the pump, within a program or as a process of its own."""

from __future__ import annotations

from collections.abc import Callable

from drivers.ports import CineSource
from drivers.pump import Pump, PumpStatistics
from gating.clocks.clock import Clock, MonotonicClock
from gating.clocks.image_moment import ImageMoment
from gating.clocks.offset import offset_of_source
from gating.settings.config import ClockSettings
from gating.settings.host import HostSettings
from gating.wire.sockets import stop_on_signals


def publish(
    source: CineSource,
    endpoint: str,
    session_id: str,
    *,
    gate_endpoint: str | None = None,
    subscribers: int = 1,
    simulated_by: str = "",
    stop: Callable[[], bool] = lambda: False,
    clock: Clock | None = None,
    clocks: ClockSettings | None = None,
    host: HostSettings | None = None,
) -> PumpStatistics:
    """Open a source and publish it until it ends, it fails, or `stop` returns true.

    Parameters
    ----------
    source
        The source to publish; it is opened and closed here.
    endpoint
        Endpoint to bind, see `gating.settings.config.EndpointSettings.frames`. Folders of `ipc://` paths are made.
    session_id
        Session that every message names.
    gate_endpoint
        Endpoint of the engine's commands. `STEPPED` and `UNPACED` streams need it, since they wait for commands.
    subscribers
        Number of subscriptions to wait for before the first frame. A live source does not wait.
    simulated_by
        Name of what injects faults on purpose, in every header; empty if nothing does.
    stop
        Called at least every 10 ms.
    clock
        This host's clock; the monotonic one by default.
    clocks
        Measured delays of sources whose clock is not this host's.
    host
        What to request from the operating system.

    Raises
    ------
    DriverError
        If the source cannot be opened, or the endpoint cannot be bound.
    """
    clocks = clocks or ClockSettings()
    pump = Pump(
        source,
        session_id,
        simulated_by,
        clock or MonotonicClock(),
        offset_of_source(clocks),
        ImageMoment.of(clocks),
    )
    try:
        pump.open(endpoint, gate_endpoint)
        pump.apply_host_settings(host or HostSettings())
        pump.run(subscribers, stop)
    finally:
        pump.close()
    return pump.statistics


def run_source(
    source: CineSource,
    *,
    endpoint: str,
    gate_endpoint: str,
    session_id: str,
    subscribers: int = 1,
    clocks: ClockSettings | None = None,
    host: HostSettings | None = None,
) -> PumpStatistics:
    """Publish as a process of its own; SIGTERM and SIGINT end the stream cleanly. Raises as `publish` does.

    Until the source is open, which may have to wait for a peer, the signals end the process at once.
    """
    stop: list[Callable[[], bool]] = []

    def stopped() -> bool:
        if not stop:
            stop.append(stop_on_signals())
        return stop[0]()

    return publish(
        source,
        endpoint,
        session_id,
        gate_endpoint=gate_endpoint,
        subscribers=subscribers,
        stop=stopped,
        clocks=clocks,
        host=host,
    )
