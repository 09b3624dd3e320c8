"""The targets of a session: found in the first good frame of their plane, tracked in every later one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from gating.decision.decide import GateDecision, TargetView
from gating.errors import TargetError
from gating.geometry.plane import ImagePlane
from gating.messages import CineFrame, FrameHeader, ReferenceImage, TargetEstimate, TargetReference
from gating.prediction import make_predictor
from gating.settings.config import GatingSettings
from gating.settings.rules import PredictionSettings
from gating.targets.binding import Binding
from gating.targets.boundary import GatingBoundary
from gating.targets.from_settings import check_rules
from gating.targets.motion_3d import StructureMotion
from gating.targets.position_3d import PlanePosition, PositionMm, position_in_3d
from gating.targets.spec import TargetSpec
from gating.targets.structure import LpsMm, StructureGate
from gating.targets.tracked_target import TrackedTarget, reference_message
from gating.tracking.checked_tracker import checked_maker
from gating.tracking.frame_views import SharedViews
from gating.tracking.together import Together, one_by_one
from gating.tracking.tracker import Tracker, TrackResult, TrackStatus

MAX_TARGETS = 10
_PLACED = (TrackStatus.TRACKED, TrackStatus.LOW_CONFIDENCE)


class TargetSet:
    """All targets, by plane.

    Parameters
    ----------
    specs
        One to ten targets with unique names.
    make_tracker
        Returns a new tracker; called once per target.
    gating
        Margins and rules.
    prediction
        Settings of the prediction; off by default.
    live_needs_image
        Whether targets without an image are refused on a live source.
    together
        How the targets of one frame are tracked: one by one, or in several threads.

    Raises
    ------
    TargetError
        If the targets cannot be used together, or a rule names a structure that is not among them.
    """

    def __init__(
        self,
        specs: Sequence[TargetSpec],
        make_tracker: Callable[[], Tracker],
        gating: GatingSettings,
        prediction: PredictionSettings,
        *,
        live_needs_image: bool = True,
        together: Together = one_by_one,
    ) -> None:
        if not 1 <= len(specs) <= MAX_TARGETS:
            raise TargetError(f"targets: {len(specs)} given; 1 to {MAX_TARGETS} are possible")
        if len({spec.name for spec in specs}) != len(specs):
            raise TargetError("targets: two have the same name; names must differ")
        views = [(spec.structure, spec.plane) for spec in specs if spec.structure]
        if len(set(views)) != len(views):
            raise TargetError("targets: two of one plane name the same structure; each plane shows it once")
        self._specs = tuple(specs)
        self._make_tracker = checked_maker(make_tracker)
        self._binding = Binding(self._make_tracker, live_needs_image=live_needs_image)
        self._gating, self._prediction, self._together = gating, prediction, together
        check_rules(gating.rules, {spec.name for spec in specs})
        self._planes: dict[str, ImagePlane] = {}
        self._tracked: dict[str, list[TrackedTarget]] = {}
        self._views: dict[str, SharedViews] = {}
        self._motions: dict[str, StructureMotion] = {}
        self.references: list[TargetReference] = []

    def warm_up(self) -> None:
        """Compile and load what `update` needs. Raises `TrackerFault`."""
        self._make_tracker().warm_up()
        square = np.array([[20, 20], [40, 20], [40, 40], [20, 40]], np.float32)
        GatingBoundary(square, (1.0, 1.0, 1.0, 1.0)).out_fraction(square)
        if self._prediction.method != "off":
            predictor = make_predictor(self._prediction.method)
            for step in range(40):
                predictor.observe(0.2 * step, np.array([np.sin(step), np.cos(step)]))
                predictor.predict(0.1)

    def knows(self, plane: str) -> bool:
        """Return whether the targets of a plane have been learned."""
        return plane in self._tracked

    def update(self, frame: CineFrame, elapsed_s: float) -> None:
        """Track the targets of the frame's plane, if they have been learned. Raises `TrackerFault`."""
        header, targets = frame.header, self._tracked.get(frame.header.plane, [])
        together = self._prepared(frame)
        results = together([partial(target.tracker.track, frame.pixels, elapsed_s) for target in targets])
        for target, result in zip(targets, results, strict=True):
            self._update(target, result, header)

    def _update(self, target: TrackedTarget, result: TrackResult, header: FrameHeader) -> None:
        acquired_ns, raw_ns = _oldest_ns(header), header.acquired_ns
        away_mm = target.gate.displacement_mm(result) if self._gating.three_d.on else None
        if away_mm is None:
            target.update(result, acquired_ns, raw_ns, self._beside_mm(target, header.plane))
            return
        place = self._motions[target.spec.moves_as].see(header.plane, away_mm, raw_ns)
        target.update(result, acquired_ns, raw_ns, place=place)
        for _, other in self._beside(target, header.plane):
            other.gate.carry_on(place, other.result, acquired_ns)

    def _prepared(self, frame: CineFrame) -> Together:
        """Do what several targets need of a frame once for all of them; return how they are to be tracked in it.

        Trackers that do not share views may not be made for several threads, and the rigid one is done before another
        thread has woken up.
        """
        views = self._views.get(frame.header.plane)
        if views is None:
            return one_by_one
        views.load(frame.pixels, self._together)
        return self._together

    def finish_frame(self, plane: str) -> list[str]:
        """Let the trackers of a plane do their deferred work; return a sentence for each template they accepted.

        Raises
        ------
        TrackerFault
            If a tracker fails.
        """
        if self._gating.three_d.on:
            for motion in self._motions.values():
                motion.learn()
        learned = [(target.spec.name, target.tracker.finish_frame()) for target in self._tracked.get(plane, ())]
        return [f"{name}: {sentence}" for name, sentence in learned if sentence]

    def forget_motion(self, plane: str) -> None:
        """Let the trackers of a plane conclude nothing from what moved in it so far. Raises `TrackerFault`."""
        for target in self._tracked.get(plane, ()):
            target.tracker.forget_motion()

    def warm_caches(self, frame: CineFrame) -> None:
        """Repeat the work of `update` on the newest frame without any effect."""
        targets = self._tracked.get(frame.header.plane, [])
        self._prepared(frame)([target.tracker.warm_caches for target in targets])
        for target in targets:
            target.gate.warm_caches(target.result)

    def images(self, session_id: str) -> tuple[ReferenceImage, ...]:
        """Return the images in which the learned targets were drawn, each once."""
        learned = [target.spec.image for targets in self._tracked.values() for target in targets]
        images = {image.content_hash: image for image in learned if image is not None}
        return tuple(image.as_message(session_id) for image in images.values())

    def _beside(self, target: TrackedTarget, plane: str) -> list[tuple[str, TrackedTarget]]:
        """Return the views of a target's structure in other planes, each with its plane."""
        if not target.spec.structure or len(self._tracked) < 2:
            return []
        return [
            (name, other)
            for name, targets in self._tracked.items()
            for other in targets
            if name != plane and other.spec.structure == target.spec.structure
        ]

    def _beside_mm(self, target: TrackedTarget, plane: str) -> LpsMm | None:
        """Return the newest displacement of a target's structure in another plane; None if none shows where it is."""
        found = [one for _, one in self._beside(target, plane) if one.result.status is TrackStatus.TRACKED]
        return max(found, key=lambda other: other.raw_ns).gate.away_mm if found else None

    @property
    def are_learned(self) -> bool:
        """Whether every target has been learned."""
        return sum(map(len, self._tracked.values())) == len(self._specs)

    @property
    def acquired_ns(self) -> list[int]:
        """Time at which the newest frame of each target was acquired, on the engine's clock."""
        return [target.acquired_ns for targets in self._tracked.values() for target in targets]

    def views(self, now_ns: int) -> list[TargetView]:
        """Return the newest view of every target; empty until all have been learned."""
        views = [
            TargetView(
                target.spec.name,
                target.result.status,
                target.result.confidence,
                now_ns - target.acquired_ns,
                target.result.detail,
                target.gate.hold_reason(now_ns),
            )
            for targets in self._tracked.values()
            for target in targets
        ]
        return views if self.are_learned else []

    def estimates(self, header: FrameHeader, session_id: str, decision: GateDecision) -> list[TargetEstimate]:
        """Return the estimates for the frame of `header`, with the decision that followed."""
        return [
            TargetEstimate(
                session_id=session_id,
                frame_sequence=header.sequence,
                plane=header.plane,
                target=target.spec.name,
                x_px=target.result.x_px,
                y_px=target.result.y_px,
                position_mm=position_mm,
                ages_ms=ages_ms,
                displacement_mm=target.displacement_mm,
                bound_mm=target.bound_mm,
                confidence=target.result.confidence,
                score=target.result.score,
                status=target.result.status,
                target_out_fraction=target.gate.out_fraction,
                contour_px=target.result.contour_px.tolist(),
                templates=target.result.templates,
                detail=target.result.detail[:400],
                acquired_ns=header.acquired_ns,
                gate=decision.state,
                reason=decision.reason,
            )
            for target in self._tracked.get(header.plane, ())
            for position_mm, ages_ms in (self._position(target, header.plane),)
        ]

    def _position(self, target: TrackedTarget, plane: str) -> tuple[PositionMm, PositionMm | None]:
        """Return the position of a target in the newest frame, in 3D if another plane shows its structure."""
        here = self._plane_position(target, plane)
        others = [
            self._plane_position(other, name)
            for name, other in self._beside(target, plane)
            if other.result.status in _PLACED
        ]
        newest = max(others, key=lambda position: position.acquired_ns, default=None)
        return (newest and position_in_3d(here, newest)) or (here.position_mm, None)

    def _plane_position(self, target: TrackedTarget, name: str) -> PlanePosition:
        plane = self._planes[name]
        return PlanePosition(plane, plane.to_lps_mm(target.result.x_px, target.result.y_px), target.raw_ns)

    def _motion(self, spec: TargetSpec) -> StructureMotion:
        name = spec.moves_as
        return self._motions.setdefault(name, StructureMotion(name, self._gating.three_d))

    def learn(self, frame: CineFrame, first_plane: str) -> None:
        """Learn the targets of a frame's plane, each from its own image or else from this frame, and find them in it.

        Parameters
        ----------
        frame
            A frame in which every target of its plane can be found.
        first_plane
            Plane of the targets that name none.

        Raises
        ------
        TargetNotMatched
            If this frame does not show a target as its image does.
        ValueError
            If a target cannot be learned; one sentence.
        TrackerFault
            If a tracker fails.
        """
        header = frame.header
        plane = ImagePlane.of(header)
        specs = [spec for spec in self._specs if (spec.plane or first_plane) == header.plane]
        contours = {spec.name: spec.contour_px for spec in specs}
        learned = []
        for spec, bound in zip(specs, self._binding.place(specs, frame), strict=True):
            gate = StructureGate(spec.name, contours, plane, bound.reference, self._gating, self._prediction)
            target = TrackedTarget(spec, bound.tracker, bound.reference, gate, bound.found)
            self._motion(spec).add_plane(header.plane, plane)
            self._update(target, bound.found, header)
            learned.append(target)
        self._planes[header.plane] = plane
        if len(learned) > 1 and all(target.tracker.shares_views for target in learned):
            self._views[header.plane] = SharedViews()
            for target in learned:
                target.tracker.share(self._views[header.plane])
        self._tracked[header.plane] = learned
        self.references += [reference_message(header, plane, target) for target in learned]


def _oldest_ns(header: FrameHeader) -> int:
    """Return the earliest time at which the frame may have been acquired, so that its age is never underestimated."""
    return header.acquired_on_publish_clock_ns - header.age_uncertainty_ns
