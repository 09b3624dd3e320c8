"""When the image of a frame was acquired, on the clock of this host, and how uncertain that is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from drivers.ports import FrameStamp
from gating.clocks.image_moment import ImageMoment
from gating.clocks.offset import OffsetEstimator
from gating.messages import StampMeaning, StreamInfo

UNMEASURED: Final = (
    "{}: stamps mark {}, and the image shows the centre of k-space; set clocks.acquisition_ms (and, for "
    "reconstruction_done, clocks.reconstruction_ms): until then each stamp is less certain by {:.0f} ms"
)
Report = Callable[[Literal["warning", "fault"], str, str], None]
"""Tells severity, code and sentence."""


class FrameDating:
    """Dates the frames of one stream.

    Parameters
    ----------
    info
        The stream's declaration.
    offset, moment
        How the source's clock stands to this host's, and a stamp to the moment that the image shows.
    report
        Is told once of stamps whose moment was not measured, and of each step of the source's clock.

    Attributes
    ----------
    warning
        What every new subscriber is to be told of stamps whose moment was not measured; empty if there are none.
    """

    def __init__(self, info: StreamInfo, offset: OffsetEstimator, moment: ImageMoment, report: Report) -> None:
        self._info, self._offset, self._moment, self._report = info, offset, moment, report
        self.warning = ""

    def acquired(self, stamp: FrameStamp, published_ns: int) -> tuple[int, int, int | None]:
        """Return the moment that the image shows, and the uncertainties of clock and moment, ns.

        A frame without a pace of its own, or of a recording or phantom, shows the moment at which it is due.
        """
        info = self._info
        if not info.pacing.is_timed:
            return published_ns, 0, 0
        stamped_ns, uncertainty_ns = self._on_host_clock(stamp)
        if stamp.meaning is StampMeaning.ARRIVAL or stamp.moment_uncertainty_ns is not None:
            return stamped_ns, uncertainty_ns, stamp.moment_uncertainty_ns
        after_ns, moment_uncertainty_ns = self._moment.after_stamp(stamp.meaning, info.nominal_interval_ns)
        if moment_uncertainty_ns and not self.warning:
            self.warning = UNMEASURED.format(info.source, stamp.meaning, moment_uncertainty_ns / 1e6)
            self._report("warning", "moment_uncertain", self.warning)
        return max(0, stamped_ns + after_ns), uncertainty_ns, moment_uncertainty_ns

    def forget_clock(self) -> None:
        """Measure the source's clock anew: it is another one, whatever its name."""
        self._offset.forget()

    def _on_host_clock(self, stamp: FrameStamp) -> tuple[int, int]:
        """Return the moment that was stamped, and its uncertainty, ns.

        An arrival time needs no mapping. Any other stamp of a foreign clock is mapped; its uncertainty follows from the
        measured delays and the spread of the arrivals.
        """
        if stamp.acquired_on_host_ns is not None:
            return stamp.acquired_on_host_ns, stamp.uncertainty_ns
        steps = self._offset.steps
        mapping = self._offset.observe(stamp.acquired_ns, stamp.arrived_ns, stamp.resolution_ns)
        if self._offset.steps > steps:
            text = f"{self._info.source}: the clock {self._info.acquired_clock} stepped"
            self._report("fault", "clock_stepped", text)
        return mapping.host_ns, mapping.uncertainty_ns
