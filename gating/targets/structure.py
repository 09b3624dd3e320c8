"""One structure in its plane: its rules, its displacement from the reference, and its predicted position."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from gating.decision.reasons import HoldReason
from gating.geometry.plane import ImagePlane
from gating.prediction import Predictor, make_predictor
from gating.settings.config import GatingSettings
from gating.settings.rules import PredictionSettings
from gating.targets.breath_hold import BreathHoldState
from gating.targets.from_settings import boundary_rule, build_rule, rules_of, structure_boundary
from gating.targets.motion_3d import Place
from gating.targets.observation import TargetObservation
from gating.targets.rules import StructureRules
from gating.targets.windows import BoundaryWindow
from gating.tracking.tracker import TrackResult, TrackStatus

LpsMm = tuple[float, float, float]
_NO_SHIFT: LpsMm = (0.0, 0.0, 0.0)
_UNKNOWN_MM: LpsMm = (np.nan, np.nan, np.nan)


class StructureGate:
    """Rules and prediction of one structure. The common boundary rule applies if it has no rule of its own.

    Parameters
    ----------
    name
        Name of the structure.
    contours_px
        Reference contours of every structure in the plane, by name.
    plane
        Image plane of the reference frame.
    reference
        Result of the tracker in the reference frame.
    gating, prediction
        Settings.

    Raises
    ------
    TargetError
        If an avoidance rule names a target in another plane.
    """

    def __init__(
        self,
        name: str,
        contours_px: Mapping[str, NDArray[np.float32]],
        plane: ImagePlane,
        reference: TrackResult,
        gating: GatingSettings,
        prediction: PredictionSettings,
    ) -> None:
        self._plane = plane
        self._reference_px = reference.x_px, reference.y_px
        per_column_mm, per_row_mm = plane.along_columns * plane.spacing_mm[1], plane.along_rows * plane.spacing_mm[0]
        x, y, z = np.cross(plane.along_columns, plane.along_rows).tolist()
        self._normal: LpsMm = (x, y, z)
        self.away_mm: LpsMm = _UNKNOWN_MM
        """Displacement in the newest frame, LPS; NaN if the structure was not found."""
        self.place: Place | None = None
        """Where the structure was in 3D in the newest frame of this plane; None if rules judge the plane alone."""
        self._to_mm: list[tuple[float, float]] = list(zip(per_column_mm.tolist(), per_row_mm.tolist(), strict=True))
        self._to_px = np.stack([plane.along_columns / plane.spacing_mm[1], plane.along_rows / plane.spacing_mm[0]])
        common = boundary_rule(name, gating)
        wanted = rules_of(name, gating.rules) or [common]
        self.boundary = structure_boundary(name, contours_px[name], plane, gating)
        """Boundary of the first boundary rule. Without such a rule, the structure is only measured against it."""
        self._window = BoundaryWindow(common, self.boundary)
        rules = [self._window if rule is common else build_rule(rule, name, contours_px, plane) for rule in wanted]
        self._measured_only = () if self._window in rules else (self._window,)
        self._rules = StructureRules(name, rules)
        self._prediction = prediction
        self._predictor: Predictor | None = None
        self._predicted_ns = -1
        """Raw stamp of the newest image from which was predicted."""

    @property
    def out_fraction(self) -> float:
        """Fraction of the structure's area outside its boundary in the newest frame."""
        return self._window.out_fraction

    def displacement_mm(self, result: TrackResult) -> LpsMm | None:
        """Return the displacement of a result in the plane, LPS; None if the structure was not found."""
        if result.status is not TrackStatus.TRACKED:
            return None
        return self._away_mm(*self._shift_px(result))

    def update(
        self,
        result: TrackResult,
        acquired_ns: int,
        raw_ns: int,
        beside_mm: LpsMm | None = None,
        place: Place | None = None,
    ) -> None:
        """Update the rules with the newest result.

        Parameters
        ----------
        result
            Of the tracker.
        acquired_ns, raw_ns
            When its image was acquired, on the engine's clock and on the source's.
        beside_mm
            Displacement of the same structure in another plane, LPS, of which only the part along this plane's normal
            is used; None if no other plane shows it.
        place
            Where the structure is in 3D; None if rules judge the plane alone, or it was not found.
        """
        found = result.status is TrackStatus.TRACKED
        shift_px = self._shift_px(result)
        self.away_mm = away_mm = self._away_mm(*shift_px) if found else _UNKNOWN_MM
        self.place = place
        if place is None:
            through_mm = _NO_SHIFT if beside_mm is None else _along(self._normal, beside_mm)
            seen = TargetObservation(acquired_ns, result.contour_px, away_mm, through_mm)
        else:
            seen = self._in_3d(place, result.contour_px, acquired_ns)
        for window in self._measured_only:
            window.update(seen if place is None else seen.estimate)
        predicted = None
        if found and self._prediction.method != "off":
            predicted = self._predict(seen, np.array(shift_px), raw_ns)
        self._rules.update(seen, predicted)
        if place is not None:
            self._rules.judge_bounded(seen, place.unknown)

    def carry_on(self, place: Place, result: TrackResult, acquired_ns: int) -> None:
        """Judge where the structure is in this plane by now, as a newer frame of another plane shows it.

        What this plane's own newest frame showed keeps counting; the place can only add a reason to hold.

        Parameters
        ----------
        place
            Where the structure is in 3D in that frame.
        result
            Of the tracker in this plane's newest frame.
        acquired_ns
            When that other frame was acquired, on the engine's clock.
        """
        if result.status is not TrackStatus.TRACKED:
            return
        moved_px = self._to_px @ np.subtract(place.displacement_mm, self.away_mm)
        contour_px = (result.contour_px + moved_px).astype(np.float32)
        self._rules.judge_bounded(self._in_3d(place, contour_px, acquired_ns), place.unknown)

    def _in_3d(self, place: Place, contour_px: NDArray[np.float32], at_ns: int) -> TargetObservation:
        x_px, y_px = (np.abs(self._to_px) @ place.bound_mm).tolist() if not place.unknown else (np.inf, np.inf)
        return TargetObservation(
            at_ns, contour_px, place.displacement_mm, bound_mm=place.bound_mm, bound_px=(x_px, y_px)
        )

    def _shift_px(self, result: TrackResult) -> tuple[float, float]:
        return result.x_px - self._reference_px[0], result.y_px - self._reference_px[1]

    def _away_mm(self, x_px: float, y_px: float) -> tuple[float, float, float]:
        """Return a shift in the image as LPS, mm. Plain numbers, as arrays take ten times as long on the gate path."""
        lr, ap, si = self._to_mm
        return x_px * lr[0] + y_px * lr[1], x_px * ap[0] + y_px * ap[1], x_px * si[0] + y_px * si[1]

    def hold_reason(self, now_ns: int) -> HoldReason | None:
        """Return why this structure forbids beam, or None."""
        return self._rules.hold_reason(now_ns)

    def breath_hold(self, now_ns: int) -> BreathHoldState | None:
        """Return the progress of the breath-hold, or None without a breath-hold rule."""
        return self._rules.breath_hold(now_ns)

    def warm_caches(self, result: TrackResult) -> None:
        """Measure the newest result again without any effect."""
        self.boundary.out_fraction(result.contour_px)

    def _predict(self, seen: TargetObservation, shift_px: NDArray[np.float64], raw_ns: int) -> TargetObservation:
        """Return what is predicted; time that runs backwards is that of another clock, on which all is learned anew."""
        if self._predictor is None or raw_ns <= self._predicted_ns:
            self._predictor = make_predictor(self._prediction.method)
        self._predicted_ns, horizon_s = raw_ns, self._prediction.horizon_ms / 1e3
        spacing_mm = np.array([self._plane.spacing_mm[1], self._plane.spacing_mm[0]])
        self._predictor.observe(raw_ns / 1e9, shift_px * spacing_mm)
        ahead_px = self._predictor.predict(horizon_s) / spacing_mm
        contour = (seen.contour_px + (ahead_px - shift_px)).astype(np.float32)
        at_ns = seen.at_ns + round(horizon_s * 1e9)
        away_mm = self._away_mm(*ahead_px.tolist())
        if self.place is None:
            return TargetObservation(at_ns, contour, away_mm, seen.through_mm)
        lr, ap, si = np.add(away_mm, self.place.across_mm).tolist()
        return replace(seen, at_ns=at_ns, contour_px=contour, displacement_mm=(lr, ap, si))


def _along(normal: LpsMm, away_mm: LpsMm) -> LpsMm:
    """Return the part of a displacement along a unit vector."""
    length_mm = normal[0] * away_mm[0] + normal[1] * away_mm[1] + normal[2] * away_mm[2]
    return length_mm * normal[0], length_mm * normal[1], length_mm * normal[2]
