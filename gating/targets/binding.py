"""Binds each target to the image in which it was drawn, and finds it in the first frames of a stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gating.errors import TargetError
from gating.messages import CineFrame, Pixels, SourceKind
from gating.targets.spec import TargetSpec
from gating.tracking.checked_tracker import CheckedTracker
from gating.tracking.tracker import TrackResult, TrackStatus

HOW_TO_BIND: Final = "make one with `cinegate targets RECORDING --out FILE`, and use it with `--target FILE`"
HOW_TO_ACCEPT: Final = "look at its picture, then `cinegate accept FILE --operator NAME`"
FOUND_IN_A_ROW: Final = 5
"""Frames in a row that must show the target as its image does. A tracker may be sure of a look-alike in another patient
for a frame or a few: in 8 of 240 pairs of phantoms, in 1 of them for five in a row."""


class TargetNotMatched(TargetError):
    """A frame does not show a target as the image does in which it was drawn; a later frame may. One sentence."""


@dataclass(slots=True)
class BoundTarget:
    """A target that its tracker has learned from an image.

    Attributes
    ----------
    tracker
        Its tracker.
    reference
        Result of the tracker in the image in which the target was drawn.
    found
        Result of the tracker in the newest frame.
    doubt
        Why the frames seen so far do not show the target as its image does; empty if they do.
    """

    tracker: CheckedTracker
    reference: TrackResult
    found: TrackResult
    doubt: str = ""
    _in_a_row: int = 0

    def look(self, name: str, frame: CineFrame) -> None:
        """Look for the target in another frame than the image in which it was drawn. Raises `TrackerFault`."""
        found = self.found = self.tracker.track(frame.pixels, 0.0)
        is_found = found.status is TrackStatus.TRACKED
        self._in_a_row = self._in_a_row + 1 if is_found else 0
        if is_found:
            seen = f"found in {self._in_a_row} frames in a row, {FOUND_IN_A_ROW} are needed"
        else:
            seen = f"{found.status} where tracked is needed{f': {found.detail}' if found.detail else ''}"
        where = f"{name}, as its image shows it, in frame {frame.header.sequence}"
        measured = f"score {found.score:.2f}, confidence {found.confidence:.2f}"
        enough = self._in_a_row >= FOUND_IN_A_ROW
        self.doubt = "" if enough else f"{where}: {measured}, {seen}"


class Binding:
    """Targets bound to the images in which they were drawn.

    A target with an image is learned from that image, whatever the stream shows at first. A target without one has been
    drawn in the first good frame of the stream, which nobody but its source can know beforehand: a live source needs
    an image.

    Parameters
    ----------
    make_tracker
        Returns a new tracker; called once for each target.
    live_needs_image
        Whether targets without an image are refused on a live source.
    """

    def __init__(self, make_tracker: Callable[[], CheckedTracker], *, live_needs_image: bool = True) -> None:
        self._make_tracker, self._live_needs_image = make_tracker, live_needs_image
        self._bound: dict[str, BoundTarget] = {}

    def place(self, specs: Sequence[TargetSpec], frame: CineFrame) -> list[BoundTarget]:
        """Return the targets of a frame's plane, each bound to its image and found in the frame.

        Raises
        ------
        TargetNotMatched
            If the frames so far do not show a target as its image does.
        ValueError
            If a target cannot be learned, or does not belong to this stream; one sentence.
        TrackerFault
            If a tracker fails.
        """
        placed = [self._place(spec, frame) for spec in specs]
        doubt = next((bound.doubt for bound in placed if bound.doubt), "")
        if doubt:
            raise TargetNotMatched(doubt)
        return placed

    def _place(self, spec: TargetSpec, frame: CineFrame) -> BoundTarget:
        header, image = frame.header, spec.image
        if image is None:
            if self._live_needs_image and header.source_kind is SourceKind.LIVE:
                raise TargetError(f"{spec.name} has no image, which a live source needs: {HOW_TO_BIND}")
            return self._learn(spec, frame, frame.pixels)
        if spec.unaccepted and header.source_kind is SourceKind.LIVE:
            raise TargetError(f"{spec.name} {spec.unaccepted}: {HOW_TO_ACCEPT}")
        mismatch = image.mismatch(header)
        if mismatch is not None:
            raise TargetError(f"{spec.name}: {mismatch}")
        drawn_here = image.content_hash == header.content_hash
        bound = self._bound.get(spec.name)
        if bound is None:
            bound = self._bound[spec.name] = self._learn(spec, frame, frame.pixels if drawn_here else image.pixels)
        if not drawn_here:
            bound.look(spec.name, frame)
        return bound

    def _learn(self, spec: TargetSpec, frame: CineFrame, pixels: Pixels) -> BoundTarget:
        tracker = self._make_tracker()
        tracker.set_reference(pixels, spec.contour_px, frame.header.pixel_spacing_mm)
        if spec.memory is not None:
            tracker.use_memory(spec.memory)
        reference = tracker.track(pixels, 0.0)
        return BoundTarget(tracker, reference, reference)
