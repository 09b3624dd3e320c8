"""The default tracker: matches templates, sees rivals, fits the shape directly, and tells its doubt."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from gating.tracking.zncc import matcher  # first: a cold start then compiles in two processes at once

# isort: split
from gating.geometry.contours import box_contour, contour_centroid
from gating.tracking.carrying import centroid_of
from gating.tracking.choice import Choice
from gating.tracking.confidence import probability, reason_for_doubt
from gating.tracking.contour import ContourFit, Propagation
from gating.tracking.evidence import Evidence, History, gather
from gating.tracking.fixed_pattern import FixedPattern
from gating.tracking.frame_views import FrameBase, FrameView, SharedViews, TrackerViews
from gating.tracking.local_contrast import window_mm
from gating.tracking.memory import Memory
from gating.tracking.opencv_tracker import refused
from gating.tracking.recall import Carried, Recall, Recalled, between
from gating.tracking.reference import checked_pixels, checked_target
from gating.tracking.saturation_band import find_bands
from gating.tracking.surroundings import Surroundings
from gating.tracking.template import (
    Placement,
    SearchRegion,
    Template,
    cut_template,
    margin_for,
    place,
    place_at,
    reduction_for,
)
from gating.tracking.template_set import TemplateSet
from gating.tracking.tracker import (
    DEFAULT_ELAPSED_S,
    TrackerSettings,
    TrackingError,
    TrackResult,
    TrackStatus,
    reach_mm,
)
from gating.tracking.trust import Trust

Image = NDArray[np.float32]
Point = tuple[float, float]

QUIET_SPEED_MM_S = 40.0
FREE_MM = 4.0
QUIET_RANGE_MM = 12.0
"""A target out of sight may have moved this much farther at no cost, however long ago it was seen."""
COST_PER_MM = 0.1 / 60.0
APART_MM = 6.0
APART_SHARE = 0.3
SAME_PICTURE = 0.9999
"""Raw ZNCC of the reference with its own picture, which says nothing of the noise in others."""


class _Seen(Struct, frozen=True):
    """What was found in a frame; `finish_frame` may learn from it."""

    pixels: NDArray[Any]
    frame: NDArray[Any]
    elapsed_s: float
    moved: Propagation
    winner: Placement
    centre: tuple[float, float]
    evidence: Evidence
    probability: float
    recalled: Recalled | None


class TemplateTracker:
    """See `gating.tracking.tracker.Tracker` for the contract and `docs/tracking.md` for the rules."""

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings
        self._reference: Template | None = None
        self._seen: _Seen | None = None
        self._last: _Seen | None = None

    def warm_up(self) -> None:
        """Compile the kernels, or load them from their cache, and track a made-up scene: first calls are slow.

        OpenCV and numpy's linear algebra get one thread each. A second one gains little on such small problems, and
        where the cores are busy, one waits tens of ms for the other.
        """
        cv2.setNumThreads(1)
        threadpool_limits(1)
        matcher.warm_up()
        scene = np.random.default_rng(0).integers(100, 1000, (16, 16)).astype(np.uint16).repeat(8, 0).repeat(8, 1)
        tracker = TemplateTracker(self._settings)
        tracker.set_reference(scene, box_contour(44, 44, 40, 40), (1.5, 1.5))
        for shift in range(3):
            tracker.track(np.roll(scene, shift, axis=0), 0.1)

    def set_reference(
        self, pixels: NDArray[Any], contour_px: NDArray[np.floating[Any]], pixel_spacing_mm: tuple[float, float]
    ) -> None:
        """Cut the reference template; see the contract for the errors raised."""
        self._reference, self._seen, self._last = None, None, None
        frame = checked_pixels(pixels)
        contour = checked_target(contour_px, frame.shape)
        if not (min(pixel_spacing_mm) > 0 and np.isfinite(pixel_spacing_mm).all()):
            raise TrackingError(f"the pixel spacing must be above 0 mm, got {pixel_spacing_mm}")
        self._shape, self._pixel_spacing_mm = frame.shape, pixel_spacing_mm
        self._spacing_mm = float(np.sqrt(pixel_spacing_mm[0] * pixel_spacing_mm[1]))
        self._reference_frame = frame
        self._bands = find_bands(frame, self._spacing_mm)
        frame = self._bands.filled(frame)
        self._margin_px = margin_for(contour, self._settings.margin_mm, self._spacing_mm)
        self._reach_px = int(np.ceil(self._settings.search_radius_mm / self._spacing_mm))
        side_px = float(np.sqrt(np.prod(np.ptp(contour, axis=0))))
        self._apart_px = max(APART_MM / self._spacing_mm, APART_SHARE * side_px)
        self._reduction = reduction_for(contour, self._margin_px)
        base = FrameBase((frame.shape[0], frame.shape[1]), self._spacing_mm, self._bands)
        self._views = TrackerViews(FrameView(base, window_mm(contour, self._spacing_mm), self._reduction))
        self._recall: Recall | None = None
        reference = self._cut(frame, contour, contour_centroid(contour))
        self.templates = TemplateSet(reference, self._settings.max_templates)
        surroundings = Surroundings(frame, contour, self._margin_px, self._spacing_mm, self._reach_px)
        self._choice = Choice(self.templates, surroundings, self._apart_px)
        row, column = reference.top // self._reduction, reference.left // self._reduction
        pixel_mm = self._reduction * self._spacing_mm
        self._pattern = FixedPattern(self._views.own.reduced, row, column, *reference.coarse.shape, pixel_mm)
        self._centre = reference.centre_px
        self._now_s, self._unseen_s, self._rest_score = 0.0, 0.0, 0.0
        self._typical, self._graded_s, self._confidence = 0.0, 0.0, 0.0
        self._trust = Trust(self._centre, self._spacing_mm, self._settings.min_confidence)
        self._reference = reference

    def use_memory(self, memory: Memory) -> None:
        """Look for the key frames of a memory beside the reference from now on, and learn nothing else.

        Raises
        ------
        TrackingError
            If there is no reference yet, or the memory was learned from another picture or contour.
        """
        if self._reference is None:
            raise TrackingError("a memory needs its reference, and no reference has been set")
        memory.check_belongs(self._reference_frame, self._reference.contour_px, self._pixel_spacing_mm)
        self.templates.fix(
            [
                self._cut(self._bands.filled(checked_pixels(key.pixels)), key.contour_px, key.content_px)
                for key in memory.key_frames
            ]
        )
        reference, frame = self._reference, self._bands.filled(self._reference_frame)
        if memory.mean_picture is not None:
            mean = self._bands.filled(checked_pixels(memory.mean_picture))
            reference = self._cut(mean, reference.contour_px, reference.centre_px)
        self.templates.in_use[0] = self._reference = reference
        self._views.own.take(frame)
        self._recall = Recall(memory, reference, self._spacing_mm, self._views.own.picture)

    def _cut(self, frame: NDArray[Any], contour: NDArray[np.float32], content_px: tuple[float, float]) -> Template:
        """Cut a template out of a frame, which the tracker's own view then shows."""
        view = self._views.own
        view.take(frame)
        fit = ContourFit(view.picture, contour, content_px, self._margin_px, self._spacing_mm)
        return cut_template(frame, view.reduced, contour, fit, self._margin_px, self._reach_px)

    def track(self, pixels: NDArray[Any], elapsed_s: float) -> TrackResult:
        """Find the target in the next frame; see the contract."""
        if self._reference is None:
            return refused("no reference has been set", 0)
        self.finish_frame()
        elapsed_s = elapsed_s if 0.0 < elapsed_s < math.inf else DEFAULT_ELAPSED_S
        self._now_s += elapsed_s
        try:
            view = self._views.of(pixels)
        except TrackingError as error:
            self._unseen_s += elapsed_s
            return refused(str(error), len(self.templates.in_use))
        return self._judge(self._look(self._reference, view, elapsed_s, self._pattern))

    def share(self, views: SharedViews) -> None:
        """Look at frames through views that other trackers use too; see `SharingTracker`."""
        self._views.share(views)

    def _judge(self, seen: _Seen) -> TrackResult:
        """Return how far what was found is trusted, and remember it."""
        centre, elapsed_s = seen.centre, seen.elapsed_s
        confidence = self._trust.believed(seen.probability, centre, QUIET_SPEED_MM_S * elapsed_s)
        status = self._status(confidence)
        self.evidence, self.content_px = seen.evidence, seen.moved.content_px
        self._seen, self._confidence = seen, confidence
        if seen.moved.raw_score < SAME_PICTURE:
            self._rest_score = seen.evidence.rest_score
        self.templates.in_use[seen.winner.template].fit.keep(seen.moved)
        if seen.recalled is not None:
            self.templates.in_use[0].fit.keep(seen.recalled.direct)
        self._unseen_s += elapsed_s
        if status is not TrackStatus.LOST:
            self._centre, self._unseen_s = centre, 0.0
            self.templates.in_use[seen.winner.template].used_s = self._now_s
        tracked = status is TrackStatus.TRACKED
        detail = "" if tracked else self._trust.reservation() or reason_for_doubt(seen.evidence)
        contour, score = seen.moved.contour_px, seen.winner.score
        in_use = len(self.templates.in_use)
        content = seen.moved.content_px
        return TrackResult(centre[0], centre[1], confidence, score, status, contour, detail, in_use, content)

    def _look(self, reference: Template, view: FrameView, elapsed_s: float, pattern: FixedPattern) -> _Seen:
        """Return what is found in a frame; only `pattern` remembers it."""
        frame, reduced, picture = view.frame, view.reduced, view.picture
        reach = self._reach(elapsed_s)
        placements = place(self.templates.in_use, frame, reduced, reach, self._apart_px)
        winner, moved = self._choice.best(frame, picture, placements, reach)
        recalled = None if self._recall is None else self._recall.recalled(picture, winner.template, moved)
        if recalled is not None:
            moved = recalled.moved
        centre = _centre_of(moved, winner)
        x, y = reference.centre_px
        shift = (centre[0] - x) / self._reduction, (centre[1] - y) / self._reduction
        elsewhere = pattern.lead_elsewhere(reduced, elapsed_s, *shift)
        history = self._history(winner, moved, centre, elapsed_s, elsewhere, pattern.objections)
        evidence = gather(placements, winner, moved, history, apart_px=self._apart_px, spacing_mm=self._spacing_mm)
        if recalled is not None:
            evidence = recalled.added_to(evidence)
        return _Seen(view.pixels, frame, elapsed_s, moved, winner, centre, evidence, probability(evidence), recalled)

    def _reach(self, elapsed_s: float) -> SearchRegion:
        """Return where the target can be: as far away as it can have moved since it was last seen."""
        unseen_s = self._unseen_s + elapsed_s
        free_mm = FREE_MM + min(QUIET_SPEED_MM_S * unseen_s, QUIET_RANGE_MM)
        to_px = 1.0 / self._spacing_mm
        radius_mm = reach_mm(self._settings, unseen_s)
        return SearchRegion(*self._centre, radius_mm * to_px, free_mm * to_px, COST_PER_MM * self._spacing_mm)

    def _history(
        self,
        winner: Placement,
        moved: Propagation,
        centre: Point,
        elapsed_s: float,
        elsewhere: float,
        objections: float,
    ) -> History:
        jump_mm = math.dist(centre, self._centre) * self._spacing_mm
        quiet_mm = FREE_MM + QUIET_SPEED_MM_S * (self._unseen_s + elapsed_s)
        return History(
            excess_jump_mm=max(0.0, jump_mm - quiet_mm),
            drop=max(0.0, self._typical - winner.score),
            unseen_s=self._unseen_s,
            rest_score=max(self._rest_score, moved.raw_score) if winner.template == 0 else self._rest_score,
            moving_elsewhere=elsewhere,
            objections=objections,
        )

    def beside_reference(self) -> Carried:
        """Carry the contour straight from the reference to the last frame as well; for a preparation."""
        reference, seen = self.templates.in_use[0], self._last if self._seen is None else self._seen
        assert seen is not None
        x, y = seen.moved.content_px
        shift = x - reference.centre_px[0], y - reference.centre_px[1]
        direct = reference.fit.propagate(self._views.newest.picture, *shift, seen.moved.raw_score)
        reference.fit.keep(direct)
        middle, apart_px = between(seen.moved, direct)
        score = place_at(0, reference, seen.frame, x, y, self._reach(0.0)).score
        return Carried(middle, apart_px * self._spacing_mm, direct.score, score)

    def _status(self, confidence: float) -> TrackStatus:
        if not confidence >= self._settings.lost_confidence:
            return TrackStatus.LOST
        if not confidence >= self._settings.min_confidence:
            return TrackStatus.LOW_CONFIDENCE
        return TrackStatus.TRACKED

    def finish_frame(self) -> str:
        """Learn a new template from the last frame if it looks new and is sure; see the contract."""
        seen, self._seen = self._seen, None
        if seen is None:
            return ""
        self._last = seen
        self._typical = max(seen.winner.score, self._typical - 0.01 * (self._now_s - self._graded_s))
        self._graded_s = self._now_s
        parent = self.templates.in_use[seen.winner.template]
        if not (self._trust.is_confirmed and self.templates.wants(seen.evidence, self._confidence, parent)):
            return ""
        try:
            grown = self._cut(seen.frame, seen.moved.contour_px, seen.moved.content_px)
        except TrackingError:
            return ""
        return self.templates.add(grown, parent, self._now_s)

    def forget_motion(self) -> None:
        """See `WatchingTracker`."""
        if self._reference is not None:
            self._pattern.begin_anew()

    def warm_caches(self) -> None:
        """Look at the last frame again: all that `track` does except for its consequences."""
        self.finish_frame()
        if self._reference is not None and self._last is not None:
            view = self._views.of(self._last.pixels)
            self._look(self._reference, view, self._last.elapsed_s, self._pattern.snapshot())


def _centre_of(moved: Propagation, winner: Placement) -> Point:
    """Return the centroid of an outline, or the place of the match if it has none."""
    centre = centroid_of(moved.contour_px)
    return centre if math.isfinite(centre[0]) else (winner.x_px, winner.y_px)
