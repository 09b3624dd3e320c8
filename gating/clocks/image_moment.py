"""The moment that an image shows, the centre of k-space, from a stamp that marks another moment of its acquisition.

An image shows the anatomy of the time at which the centre of k-space was read (Borman et al., ISMRM 2018, 4166). With
linear ordering of all of k-space, which is assumed here, that is the middle of the acquisition. Where its duration has
not been measured, it is taken as unknown between nothing and one frame interval.
"""

from __future__ import annotations

from dataclasses import dataclass

from gating.clocks.offset import UNKNOWN_NS
from gating.messages import StampMeaning
from gating.settings.config import ClockSettings


@dataclass(frozen=True, slots=True)
class ImageMoment:
    """Where the centre of k-space lies relative to a source's stamps.

    Attributes
    ----------
    acquisition_ns
        Duration of the acquisition of one image; None if it was not measured.
    reconstruction_ns
        From the end of the acquisition to a stamp of `StampMeaning.RECONSTRUCTED`; None if it was not measured.
    """

    acquisition_ns: int | None = None
    reconstruction_ns: int | None = None

    @classmethod
    def of(cls, settings: ClockSettings) -> ImageMoment:
        """Return the moment that the site's measurements give."""
        return cls(round(settings.acquisition_ms * 1e6) or None, round(settings.reconstruction_ms * 1e6) or None)

    def after_stamp(self, meaning: StampMeaning, interval_ns: int) -> tuple[int, int]:
        """Return how far the centre of k-space lies after a stamp, negative if before, and its uncertainty, ns.

        The earliest moment within the uncertainty is never later than the truth: a start is moved forward by half an
        interval at most, whatever duration is set, so that no setting can make a frame younger than it may be.

        Parameters
        ----------
        meaning
            What the stamp marks; of an arrival nothing is known, and it stays as it is.
        interval_ns
            Nominal frame interval; 0 if it is not known.
        """
        if meaning in (StampMeaning.KSPACE_CENTRE, StampMeaning.ARRIVAL):
            return 0, 0
        if self.acquisition_ns is None:
            half_ns = quarter_ns = interval_ns // 4
            if not interval_ns:
                return 0, UNKNOWN_NS
        else:
            half_ns, quarter_ns = self.acquisition_ns // 2, 0
        if meaning is StampMeaning.START:
            return min(half_ns, interval_ns // 2), quarter_ns
        if meaning is StampMeaning.END:
            return -half_ns, quarter_ns
        if self.reconstruction_ns is None:
            return -half_ns, UNKNOWN_NS
        return -half_ns - self.reconstruction_ns, quarter_ns
