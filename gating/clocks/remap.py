"""Maps the stamps of frames from another host to the engine's clock, before anything subtracts them."""

from __future__ import annotations

from msgspec.structs import replace

from gating.clocks.offset import UNKNOWN_NS, Mapping, OffsetEstimator, offset_of_network
from gating.messages import CineFrame
from gating.settings.config import ClockSettings


class ClockMap:
    """Maps foreign frames to the engine's clock, and adds the uncertainty of the mapping to theirs.

    Frames that are already on the engine's clock pass unchanged.

    Parameters
    ----------
    clock_name
        Name of the engine's clock.
    settings
        Hold the measured delay of the network.
    """

    def __init__(self, clock_name: str, settings: ClockSettings) -> None:
        self._clock_name, self._settings = clock_name, settings
        self._foreign: tuple[str, str] | None = None
        self._offset = OffsetEstimator()
        self._published_ns = 0

    def frame(self, frame: CineFrame, received_ns: int) -> CineFrame:
        """Return the frame with its publish stamps on the engine's clock; its `acquired_clock` names the old one.

        Parameters
        ----------
        frame
            The frame as it came by wire.
        received_ns
            When it came, on the engine's clock.
        """
        header = frame.header
        if header.publish_clock == self._clock_name:
            return frame
        if self._foreign != (header.publish_clock, header.publisher_id):
            self._foreign = (header.publish_clock, header.publisher_id)
            self._offset = offset_of_network(self._settings)
            self._published_ns = 0
        published = self._offset.observe(header.published_ns, received_ns)
        self._published_ns = max(self._published_ns, published.host_ns)
        acquired_ns = published.host_ns - (header.published_ns - header.acquired_on_publish_clock_ns)
        on_our_clock = replace(
            header,
            acquired_on_publish_clock_ns=max(0, acquired_ns) if header.acquired_on_publish_clock_ns else 0,
            acquired_uncertainty_ns=_added(header.acquired_uncertainty_ns, published),
            acquired_clock=f"{header.acquired_clock} by {header.publish_clock}"[:64],
            published_ns=self._published_ns if header.published_ns else 0,
            publish_clock=self._clock_name,
        )
        return CineFrame(on_our_clock, frame.pixels)


def _added(uncertainty_ns: int, mapping: Mapping) -> int:
    """Return the sum of the uncertainties, because both errors may have the same sign."""
    return min(UNKNOWN_NS, uncertainty_ns + mapping.uncertainty_ns)
