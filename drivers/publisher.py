"""A source published, within a program or as a process of its own, by the pump."""

from __future__ import annotations

from collections.abc import Callable

from drivers.ports import CineSource
from drivers.pump import Pump, PumpStatistics
from gating.clocks.clock import Clock, MonotonicClock
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
    """Open a source and publish it until it ends, fails or `stop` says so.

    Parameters
    ----------
    source
        What to publish; opened and closed here.
    endpoint
        Where to bind (`ipc://` folders are made), see `gating.settings.config.EndpointSettings.frames`.
    session_id
        Goes into every message.
    gate_endpoint
        Where the engine's commands are; needed by `STEPPED` and `UNPACED` streams, which wait for them.
    subscribers
        The first frame waits for so many subscriptions. A live source does not wait.
    simulated_by
        Non-empty where something is injected on purpose; goes into every header.
    stop
        Asked at least every 10 ms.
    clocks
        The measured delays of sources whose clock is not this host's.
    host
        What to ask of the operating system.

    Raises
    ------
    DriverError
        If the source cannot be opened, or the endpoint cannot be bound.
    """
    pump = Pump(
        source, session_id, simulated_by, clock or MonotonicClock(), offset_of_source(clocks or ClockSettings())
    )
    try:
        pump.open(endpoint, gate_endpoint)
        pump.ask_of_host(host or HostSettings())
        pump.run(subscribers, stop)
    finally:
        pump.close()
    return pump.published


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
    """Publish as a process of its own: SIGTERM and SIGINT end the stream cleanly. Raises as `publish`.

    Before the source is open, which may take until a peer comes, the signals simply end the process.
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
