"""OpenIGTLink IMAGE messages from PLUS, 3D Slicer or a scanner bridge as cine frames, as server or client."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from drivers.errors import BadFrame
from drivers.formats.frame import VendorFrame, checked_frame
from drivers.formats.openigtlink import Image, Other, Transform, geometry, parse_messages
from drivers.formats.pixels import wire_pixels
from drivers.sources.live import Arrival, LiveSource
from drivers.sources.peer import NetworkPeer, PeerSettings
from gating.clocks.clock import Clock, MonotonicClock
from gating.messages import StampMeaning

PORT: Final = 18944
CLOCK: Final = "openigtlink-utc"
MAX_NAMED: Final = 16
"""How many devices that send no cine are named."""


class OpenigtlinkSettings(PeerSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the peer is, and which of its devices sends the cine."""

    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port to listen on or connect to; 0: a free one.")] = PORT
    role: Annotated[Literal["server", "client"], Meta(description="Wait for the peer, or connect to it.")] = "server"
    device: Annotated[
        str, Meta(max_length=20, description="Device name of the cine; empty: that of the first image.")
    ] = ""
    pose_from: Annotated[
        str, Meta(max_length=20, description="Device whose TRANSFORM places the images in the patient; empty: none.")
    ] = ""
    stamp_meaning: Annotated[
        StampMeaning, Meta(description="Moment that the messages' time stamps mark; the protocol does not say.")
    ] = StampMeaning.RECONSTRUCTED


class OpenigtlinkArrivals:
    """IMAGE messages of one peer; those of other devices than the cine are skipped."""

    name = "openigtlink"

    def __init__(self, settings: OpenigtlinkSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._pose: NDArray[np.float64] | None = None
        self._named: list[str] = []
        self.peer = NetworkPeer(settings, parse_messages, listen=settings.role == "server")

    def open(self) -> None:
        """Listen, or prepare to connect. Raises `Unavailable`."""
        self._pose, self._named = None, []
        self.peer.open()

    def wait(self, timeout_ms: int) -> Arrival | None:
        """Return the next image as a frame, or what was wrong with it; None on time-out."""
        try:
            message: Any = self.peer.receive(timeout_ms)
            arrived_ns = self._clock.now_ns()
            if isinstance(message, Transform) and message.device == self._settings.pose_from:
                self._pose = message.matrix
            elif isinstance(message, Image) and self._settings.device in ("", message.device):
                return Arrival(arrived_ns, (self._frame(message, arrived_ns),), peer=self.peer.sender)
            elif message is not None:
                return self._other(arrived_ns, message)
        except BadFrame as error:
            return Arrival(self._clock.now_ns(), problem=str(error))
        return None

    def close(self) -> None:
        """Drop the peer."""
        self.peer.close()

    def _other(self, arrived_ns: int, message: Image | Transform | Other) -> Arrival | None:
        """Return a remark that names what comes besides the cine, whenever something new does."""
        name = f"{message.kind if isinstance(message, Other) else type(message).__name__.upper()} {message.device}"
        if name in self._named or len(self._named) >= MAX_NAMED:
            return None
        self._named.append(name)
        cine = f"IMAGE {self._settings.device}" if self._settings.device else "an IMAGE of any device"
        return Arrival(arrived_ns, remark=f"the peer sends {', '.join(self._named)}; {cine} is the cine")

    def _frame(self, image: Image, arrived_ns: int) -> VendorFrame:
        settings = self._settings
        if settings.pose_from and self._pose is None:
            raise BadFrame(
                f"IMAGE {image.device} came before any TRANSFORM {settings.pose_from}; a pose is needed first"
            )
        if image.stamp_ns == 0 and not settings.arrival_time:
            raise BadFrame(f"timestamp of IMAGE {image.device} is 0; every image needs one (or ask for arrival times)")
        return checked_frame(
            wire_pixels(image.pixels),
            geometry(image, self._pose),
            acquired_ns=image.stamp_ns or arrived_ns,
            clock=CLOCK,
            meaning=settings.stamp_meaning,
            name=f"of {image.device}",
            series=image.device,
        )


class OpenigtlinkSource(LiveSource):
    """Cine frames from an OpenIGTLink peer. Stamps are UTC of the peer's clock (clock `openigtlink-utc`).

    Parameters
    ----------
    settings
        See `OpenigtlinkSettings`.
    clock
        The host's monotonic clock.
    """

    Settings = OpenigtlinkSettings

    def __init__(self, settings: OpenigtlinkSettings | None = None, *, clock: Clock | None = None) -> None:
        settings, clock = settings or OpenigtlinkSettings(), clock or MonotonicClock()
        self.arrivals = OpenigtlinkArrivals(settings, clock)
        super().__init__(self.arrivals, settings, clock)
