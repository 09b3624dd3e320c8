"""ISMRM Raw Data streaming: a TCP server for FIRE, OpenRecon or Gadgetron."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from drivers.errors import BadFrame
from drivers.formats.mrd import CLOSE, FrameMaker, parse_messages, text_message
from drivers.formats.stream import StreamParser
from drivers.sources.live import Arrival, LiveSource
from drivers.sources.mrd_echo import Echo
from drivers.sources.peer import NetworkPeer, PeerSettings
from gating.clocks.clock import Clock, MonotonicClock
from gating.messages import StampMeaning

PORT: Final = 9002
"""Customary port of MRD servers."""


class MrdSettings(PeerSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to listen, and what the stamps and positions of images mean at this site."""

    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port to listen on; 0 takes a free one.")] = PORT
    stamp_meaning: Annotated[
        StampMeaning, Meta(description="Moment that acquisition_time_stamp marks; the format does not say.")
    ] = StampMeaning.START
    position_is: Annotated[
        Literal["centre", "corner"],
        Meta(description="What the position marks: the image's centre (the format) or its first pixel (converters)."),
    ] = "centre"
    tick_ms: Annotated[
        float,
        Meta(ge=0.1, le=100, description="Unit of acquisition_time_stamp; a day holds a whole number of them."),
    ] = 2.5
    echo: Annotated[
        Literal["", "images"],
        Meta(
            description="images: send each image back, with contour, boundary and gate as attributes; empty: nothing."
        ),
    ] = ""
    pixel_spacing_mm: Annotated[
        float, Meta(ge=0, le=100, description="Spacing where field_of_view gives pixels not square; 0: as it says.")
    ] = 0.0


class MrdArrivals:
    """Image messages of one MRD client."""

    name = "mrd"

    def __init__(self, settings: MrdSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._version = 1
        self._echo: Echo | None = None
        self._telemetry: str | None = None
        self.peer = NetworkPeer(
            settings, self._parser, listen=True, farewell=self._farewell, before_leaving=self._before_leaving
        )

    def hear_engine(self, telemetry: str) -> None:
        """Take the endpoint of the engine's telemetry."""
        self._telemetry = telemetry

    def open(self) -> None:
        """Listen. Raises `Unavailable`."""
        settings = self._settings
        spacing_mm = (settings.pixel_spacing_mm,) * 2 if settings.pixel_spacing_mm else None
        self._maker = FrameMaker(
            settings.stamp_meaning,
            settings.position_is,
            stamps_needed=not settings.arrival_time,
            tick_ns=round(settings.tick_ms * 1e6),
            spacing_mm=spacing_mm,
        )
        if settings.echo:
            self._echo = Echo(self._telemetry)
            self._echo.open()
        self.peer.open()

    def wait(self, timeout_ms: int) -> Arrival | None:
        """Return the next image as a frame, or what was wrong with it; None on time-out."""
        try:
            image = self.peer.receive(timeout_ms)
            arrived_ns = self._clock.now_ns()
            if image is None:
                return None
            connection, frame = self.peer.connection, self._maker.frame(image, arrived_ns)
            if self._echo is not None and image.raw and connection is not None:
                shown_ns = arrived_ns if self._settings.arrival_time else frame.acquired_ns
                self._echo.offer(image, shown_ns, connection)
            return Arrival(arrived_ns, (frame,), peer=self.peer.sender)
        except BadFrame as error:
            return Arrival(self._clock.now_ns(), problem=str(error))

    def _parser(self) -> StreamParser:
        self._version = 1
        return parse_messages(self._is_second)

    def _before_leaving(self, said_goodbye: bool) -> None:
        if self._echo is not None:
            if said_goodbye:
                self._echo.finish()
            self._echo.leave()

    def _is_second(self) -> None:
        self._version = 2

    def _farewell(self, sentence: str) -> bytes:
        """Version 2 has no messages for it: its streams hold data alone."""
        if self._version == 2:
            return b""
        return (text_message(sentence) if sentence else b"") + CLOSE

    @property
    def warnings(self) -> tuple[str, ...]:
        """About the stream as a whole."""
        return (self._maker.warning,) if self._maker.warning else ()

    def close(self) -> None:
        """Drop the client and stop listening."""
        if self._echo is not None:
            self._echo.close()
            self._echo = None
        self.peer.close()


class MrdSource(LiveSource):
    """Cine frames from an MRD client. Stamps are unwrapped 2.5 ms ticks since midnight (clock `mrd-time-of-day`).

    Parameters
    ----------
    settings
        See `MrdSettings`.
    clock
        The host's monotonic clock.
    """

    Settings = MrdSettings

    def __init__(self, settings: MrdSettings | None = None, *, clock: Clock | None = None) -> None:
        settings, clock = settings or MrdSettings(), clock or MonotonicClock()
        self.arrivals = MrdArrivals(settings, clock)
        super().__init__(self.arrivals, settings, clock)

    def hear_engine(self, telemetry: str) -> None:
        """Take the endpoint of the engine's telemetry, for what is sent back to the client. Opens nothing."""
        self.arrivals.hear_engine(telemetry)

    @property
    def warnings(self) -> tuple[str, ...]:
        """About pixels that are not square, which may mean that rows and columns have changed places."""
        return self.arrivals.warnings
