"""The targets of a session: learned on the first good frame of their plane, followed in every later one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gating.boundary import GatingBoundary
from gating.config import Margins
from gating.decision import GateDecision, TargetView
from gating.messages import CineFrame, FrameHeader, TargetEstimate, TargetReference
from gating.plane import ImagePlane
from gating.tracking.tracker import Tracker, TrackResult

MAX_TARGETS = 10


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """A target as it was drawn: (n, 2) contour of (x, y) px. `plane` "" means the stream's first plane."""

    name: str
    contour_px: NDArray[np.float32]
    plane: str = ""


@dataclass(slots=True)
class _TrackedTarget:
    spec: TargetSpec
    tracker: Tracker
    boundary: GatingBoundary
    result: TrackResult
    out_fraction: float
    acquired_ns: int


class TargetSet:
    """All targets, by plane.

    Parameters
    ----------
    specs : one to ten targets with different names.
    make_tracker : returns a new tracker; called once per target.
    margins : of every gating boundary.
    """

    def __init__(self, specs: Sequence[TargetSpec], make_tracker: Callable[[], Tracker], margins: Margins) -> None:
        if not 1 <= len(specs) <= MAX_TARGETS:
            raise ValueError(f"targets: {len(specs)} given; 1 to {MAX_TARGETS} are possible")
        if len({spec.name for spec in specs}) != len(specs):
            raise ValueError("targets: two have the same name; names must differ")
        self._specs = tuple(specs)
        self._make_tracker = make_tracker
        self._margins = margins
        self._planes: dict[str, ImagePlane] = {}
        self._tracked: dict[str, list[_TrackedTarget]] = {}
        self.references: list[TargetReference] = []

    def warm_up(self) -> None:
        """Compile and touch what `follow` needs."""
        self._make_tracker().warm_up()
        square = np.array([[20, 20], [40, 20], [40, 40], [20, 40]], np.float32)
        GatingBoundary(square, (1.0, 1.0, 1.0, 1.0)).out_fraction(square)

    def follow(self, frame: CineFrame, elapsed_s: float, first_plane: str) -> None:
        """Find the targets of the frame's plane; its first frame becomes their reference.

        Raises
        ------
        ValueError
            If a target cannot be learned from this frame; one sentence.
        """
        header = frame.header
        if header.plane not in self._tracked:
            self._learn(frame, first_plane)
            return
        for target in self._tracked[header.plane]:
            target.result = target.tracker.track(frame.pixels, elapsed_s)
            target.out_fraction = target.boundary.out_fraction(target.result.contour_px)
            target.acquired_ns = _oldest_ns(header)

    def views(self, now_ns: int) -> list[TargetView]:
        """Return the newest view of every target; empty until each has been seen."""
        views = [
            TargetView(
                target.spec.name,
                target.result.status,
                target.result.confidence,
                target.out_fraction,
                now_ns - target.acquired_ns,
                target.result.detail,
            )
            for targets in self._tracked.values()
            for target in targets
        ]
        return views if len(views) == len(self._specs) else []

    def estimates(self, header: FrameHeader, session_id: str, decision: GateDecision) -> list[TargetEstimate]:
        """Return what was found in the frame of `header`, with the decision that it led to."""
        return [
            TargetEstimate(
                session_id=session_id,
                frame_sequence=header.sequence,
                plane=header.plane,
                target=target.spec.name,
                x_px=target.result.x_px,
                y_px=target.result.y_px,
                position_mm=self._planes[header.plane].to_lps_mm(target.result.x_px, target.result.y_px),
                confidence=target.result.confidence,
                score=target.result.score,
                status=target.result.status,
                target_out_fraction=target.out_fraction,
                contour_px=target.result.contour_px.tolist(),
                templates=target.result.templates,
                detail=target.result.detail[:400],
                acquired_ns=header.acquired_ns,
                gate=decision.state,
                reason=decision.reason,
            )
            for target in self._tracked.get(header.plane, ())
        ]

    def _learn(self, frame: CineFrame, first_plane: str) -> None:
        header = frame.header
        plane = ImagePlane.of(header)
        margins_px = plane.margins_px(
            left=self._margins.left_mm,
            right=self._margins.right_mm,
            posterior=self._margins.posterior_mm,
            anterior=self._margins.anterior_mm,
            superior=self._margins.superior_mm,
            inferior=self._margins.inferior_mm,
        )
        learned = []
        for spec in self._specs:
            if (spec.plane or first_plane) != header.plane:
                continue
            tracker = self._make_tracker()
            tracker.set_reference(frame.pixels, spec.contour_px, header.pixel_spacing_mm)
            boundary = GatingBoundary(spec.contour_px, margins_px)
            result = tracker.track(frame.pixels, 0.0)
            out_fraction = boundary.out_fraction(result.contour_px)
            learned.append(_TrackedTarget(spec, tracker, boundary, result, out_fraction, _oldest_ns(header)))
        self._planes[header.plane] = plane
        self._tracked[header.plane] = learned
        self.references += [_reference(header, plane, target) for target in learned]


def _oldest_ns(header: FrameHeader) -> int:
    """Return when the frame was acquired at the earliest: its age is never taken for less than it may be."""
    return header.acquired_on_publish_clock_ns - header.acquired_uncertainty_ns


def _reference(header: FrameHeader, plane: ImagePlane, target: _TrackedTarget) -> TargetReference:
    x_px, y_px = target.result.x_px, target.result.y_px
    return TargetReference(
        session_id=header.session_id,
        target=target.spec.name,
        plane=header.plane,
        frame_sequence=header.sequence,
        contour_px=np.asarray(target.spec.contour_px).tolist(),
        boundary_px=target.boundary.outline_px.tolist(),
        centre_px=(x_px, y_px),
        centre_mm=plane.to_lps_mm(x_px, y_px),
    )
