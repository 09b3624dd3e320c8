"""What trackers see of a frame, computed once for all targets of a plane where they see the same."""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gating.tracking.local_contrast import Picture, SmoothedFrame
from gating.tracking.reference import checked_pixels
from gating.tracking.saturation_band import SaturationBands
from gating.tracking.template import reduce
from gating.tracking.together import Together
from gating.tracking.tracker import Tracker, TrackingError

Image = NDArray[np.float32]
Kind = tuple[tuple[int, int], float, SaturationBands]


class FrameBase:
    """The newest frame with its bands filled, smoothed, and its block means.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the frames.
    spacing_mm : float
        Size of a pixel.
    bands : SaturationBands

    Attributes
    ----------
    pixels : (rows, columns) real numbers
        As they came.
    frame : (rows, columns) uint8, uint16 or float32
        With the bands filled.
    smoothed : SmoothedFrame
    reduced : dict of int to float32
        Block means, by the side of the blocks in px.
    """

    def __init__(self, shape: tuple[int, int], spacing_mm: float, bands: SaturationBands) -> None:
        self.kind: Kind = (shape, spacing_mm, bands)
        self.pixels: NDArray[Any] = np.zeros(shape, np.uint16)
        self.frame = self.pixels
        self.smoothed = SmoothedFrame(shape, spacing_mm)
        self.reduced: dict[int, Image] = {}

    def load(self, pixels: NDArray[Any]) -> None:
        """Take the next frame. Raises `TrackingError` if it cannot be tracked in."""
        shape, _, bands = self.kind
        self.take(bands.filled(checked_pixels(pixels, shape)))
        self.pixels = pixels

    def take(self, frame: NDArray[Any]) -> None:
        """Take a frame that has been checked and filled."""
        self.pixels = self.frame = frame
        self.smoothed.load(frame)

    def reduce(self, reduction: int) -> None:
        """Compute the block means of one size."""
        self.reduced[reduction] = reduce(self.frame, reduction)


class FrameView:
    """What one tracker sees of the newest frame: the frame, its block means, and its picture.

    Parameters
    ----------
    base : FrameBase
    window_mm : float
        Width of the window of the picture.
    reduction : int
        Side of the blocks, px.
    """

    def __init__(self, base: FrameBase, window_mm: float, reduction: int) -> None:
        self.base, self.window_mm, self.reduction = base, window_mm, reduction
        shape, spacing_mm, bands = base.kind
        self.picture = Picture(shape, spacing_mm, window_mm, bands, base.smoothed)

    @property
    def pixels(self) -> NDArray[Any]:
        """The frame as it came."""
        return self.base.pixels

    @property
    def frame(self) -> NDArray[Any]:
        """The frame with its bands filled, (rows, columns) uint8, uint16 or float32."""
        return self.base.frame

    @property
    def reduced(self) -> Image:
        """Its block means, float32."""
        return self.base.reduced[self.reduction]

    def load(self, pixels: NDArray[Any]) -> None:
        """Take the next frame. Raises `TrackingError` if it cannot be tracked in."""
        self.base.load(pixels)
        self._compute()

    def take(self, frame: NDArray[Any]) -> None:
        """Take a frame that has been checked and filled."""
        self.base.take(frame)
        self._compute()

    def _compute(self) -> None:
        self.base.reduce(self.reduction)
        self.picture.compute()


class SharedViews:
    """The views of one plane's trackers. They are loaded once per frame; trackers only read them."""

    def __init__(self) -> None:
        self._bases: dict[Kind, FrameBase] = {}
        self._views: dict[tuple[Kind, float, int], FrameView] = {}
        self._pixels: NDArray[Any] | None = None

    def like(self, own: FrameView) -> FrameView:
        """Return the view that all trackers share whose own views are like this one."""
        kind = own.base.kind
        base = self._bases.setdefault(kind, FrameBase(*kind))
        view = FrameView(base, own.window_mm, own.reduction)
        for other in self._views.values():
            if other.base is base and other.window_mm == own.window_mm:
                view.picture = other.picture
        return self._views.setdefault((kind, own.window_mm, own.reduction), view)

    def load(self, pixels: NDArray[Any], together: Together) -> None:
        """Take the next frame of the plane; one that cannot be tracked in is left to the trackers to refuse."""
        self._pixels = None
        try:
            together([partial(base.load, pixels) for base in self._bases.values()])
        except TrackingError:
            return
        pictures = {id(view.picture): view.picture for view in self._views.values()}
        reductions = {(id(view.base), view.reduction): view for view in self._views.values()}
        together(
            [picture.compute for picture in pictures.values()]
            + [partial(view.base.reduce, view.reduction) for view in reductions.values()]
        )
        self._pixels = pixels

    def shows(self, pixels: NDArray[Any]) -> bool:
        """Return whether these pixels were loaded last: the very array, not one like it."""
        return self._pixels is pixels


class TrackerViews:
    """A tracker's own view, and the one it shares with others.

    Parameters
    ----------
    own : FrameView

    Attributes
    ----------
    own, newest : FrameView
        The tracker's own; and the one that it looked through last.
    """

    def __init__(self, own: FrameView) -> None:
        self.own = self.newest = own
        self._shared: tuple[SharedViews, FrameView] | None = None

    def share(self, views: SharedViews) -> None:
        """Look at frames through views that other trackers use too, whenever these show the frame."""
        self._shared = views, views.like(self.own)

    def of(self, pixels: NDArray[Any]) -> FrameView:
        """Return a view that shows a frame. Raises `TrackingError` if it cannot be tracked in."""
        if self._shared is not None and self._shared[0].shows(pixels):
            self.newest = self._shared[1]
        else:
            self.newest = self.own
            self.own.load(pixels)
        return self.newest


@runtime_checkable
class SharingTracker(Tracker, Protocol):
    """A tracker that can look at frames through views that it shares with others, and beside them in another thread."""

    def share(self, views: SharedViews) -> None:
        """Use these views for every frame that they show; called after `set_reference`."""
