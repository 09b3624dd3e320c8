"""One structure in its plane: which rules it follows, where it is relative to its reference, where it will be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gating.decision.reasons import Fault
from gating.errors import TargetError
from gating.geometry.plane import ImagePlane
from gating.prediction import Predictor, make_predictor
from gating.settings.config import GatingSettings
from gating.settings.rules import (
    AvoidanceRule,
    BoundaryRule,
    BreathHoldRule,
    CentreRule,
    ExcursionRule,
    Margins,
    OverlapRule,
    PredictionSettings,
    RuleSettings,
)
from gating.targets.boundary import GatingBoundary
from gating.targets.rules import (
    AvoidanceWindow,
    BoundaryWindow,
    BreathHold,
    BreathHoldState,
    CentreWindow,
    Excursion,
    OverlapWindow,
    Rule,
    Sighting,
    StructureRules,
)
from gating.tracking.tracker import TrackResult, TrackStatus

_NO_MARGINS = Margins(superior_mm=0, inferior_mm=0, anterior_mm=0, posterior_mm=0, left_mm=0, right_mm=0)
_NO_SHIFT = (0.0, 0.0, 0.0)


def rules_of(name: str, rules: Sequence[RuleSettings]) -> list[RuleSettings]:
    """Return the rules that a structure follows: those that name it, and those for every target if it is one.

    A structure that an avoidance rule names is an organ at risk, so rules for every target leave it out.
    """
    organs = {rule.structure for rule in rules if isinstance(rule, AvoidanceRule)}
    return [rule for rule in rules if rule.structure == name or (rule.structure == "" and name not in organs)]


def check_rules(rules: Sequence[RuleSettings], names: set[str]) -> None:
    """Raise `TargetError` if a rule names a structure that is not followed; one sentence."""
    for number, rule in enumerate(rules):
        wanted = {rule.structure, rule.target} if isinstance(rule, AvoidanceRule) else {rule.structure} - {""}
        for name in sorted(wanted - names):
            known = ", ".join(sorted(names))
            raise TargetError(f"gating.rules.{number} names the structure {name!r}; the structures are {known}")


def structure_boundary(
    name: str, contour_px: NDArray[np.float32], plane: ImagePlane, gating: GatingSettings
) -> GatingBoundary:
    """Return the gating boundary of a structure: that of its own first boundary rule, or the common one."""
    own = next((rule for rule in rules_of(name, gating.rules) if isinstance(rule, BoundaryRule)), None)
    if own is None:
        return _boundary(contour_px, plane, gating.margins)
    return _boundary(contour_px, plane, own.margins, own.shift_lps_mm)


class StructureGate:
    """Rules and prediction of one structure.

    Parameters
    ----------
    name : of the structure.
    contours_px : reference contours of every structure of the plane, by name.
    plane : of the reference frame.
    reference : what the tracker found in the reference frame.
    boundary : of the structure, from `structure_boundary`.
    gating, prediction : settings.

    Raises
    ------
    ValueError
        If an avoidance rule names a target of another plane.
    """

    def __init__(
        self,
        name: str,
        contours_px: Mapping[str, NDArray[np.float32]],
        plane: ImagePlane,
        reference: TrackResult,
        boundary: GatingBoundary,
        gating: GatingSettings,
        prediction: PredictionSettings,
    ) -> None:
        self._plane = plane
        self._reference_px = np.array([reference.x_px, reference.y_px])
        self._to_mm = np.stack([plane.along_columns * plane.spacing_mm[1], plane.along_rows * plane.spacing_mm[0]])
        own = rules_of(name, gating.rules)
        self.ruled = bool(own)
        """True where rules of its own stand in for the common boundary."""
        common = BoundaryRule(margins=gating.margins, max_out_fraction=gating.max_out_fraction)
        built = [self._build(rule, name, contours_px, boundary) for rule in own or [common]]
        self._rules = StructureRules(name, built)
        self._horizon_s = prediction.horizon_ms / 1e3
        self._predictor: Predictor | None = None
        if prediction.method != "off":
            self._predictor = make_predictor(prediction.method)
        self._idle = not (self.ruled or self._predictor)

    def follow(self, result: TrackResult, acquired_ns: int, raw_ns: int) -> None:
        """Take the newest result; `acquired_ns` on the engine's clock, `raw_ns` the source's own stamp."""
        if self._idle:
            return
        found = result.status is TrackStatus.TRACKED
        shift_px = np.array([result.x_px, result.y_px]) - self._reference_px
        away_mm = shift_px @ self._to_mm if found else np.full(3, np.nan)
        seen = Sighting(acquired_ns, result.contour_px, away_mm)
        predicted = self._predict(seen, shift_px, raw_ns) if found else None
        if self.ruled:
            self._rules.follow(seen, predicted)
        else:
            self._rules.foresee(predicted)

    def objection(self, now_ns: int) -> Fault | None:
        """Return why this structure forbids beam, or None."""
        if self._idle:
            return None
        return self._rules.objection(now_ns) if self.ruled else self._rules.predicted

    def breath_hold(self, now_ns: int) -> BreathHoldState | None:
        """Return where the breath-hold is, if there is a rule for it."""
        return self._rules.breath_hold(now_ns)

    def _predict(self, seen: Sighting, shift_px: NDArray[np.float64], raw_ns: int) -> Sighting | None:
        if self._predictor is None:
            return None
        spacing_mm = np.array([self._plane.spacing_mm[1], self._plane.spacing_mm[0]])
        self._predictor.observe(raw_ns / 1e9, shift_px * spacing_mm)
        ahead_px = self._predictor.predict(self._horizon_s) / spacing_mm
        contour = (seen.contour_px + (ahead_px - shift_px)).astype(np.float32)
        return Sighting(seen.at_ns + round(self._horizon_s * 1e9), contour, ahead_px @ self._to_mm)

    def _build(
        self,
        rule: RuleSettings,
        name: str,
        contours_px: Mapping[str, NDArray[np.float32]],
        boundary: GatingBoundary,
    ) -> Rule:
        if isinstance(rule, BoundaryRule):
            same = boundary if rule.shift_lps_mm == _NO_SHIFT and not self.ruled else None
            region = same or _boundary(contours_px[name], self._plane, rule.margins, rule.shift_lps_mm)
            return BoundaryWindow(rule, region)
        if isinstance(rule, OverlapRule):
            contour = contours_px[name]
            region = _boundary(contour, self._plane, _NO_MARGINS, rule.shift_lps_mm)
            return OverlapWindow(rule, region, _equivalent_diameter_mm(contour, self._plane))
        if isinstance(rule, CentreRule):
            return CentreWindow(rule)
        if isinstance(rule, ExcursionRule):
            return Excursion(rule)
        if isinstance(rule, BreathHoldRule):
            return BreathHold(rule)
        if rule.target not in contours_px:
            raise TargetError(f"{name}: the target {rule.target} that it must stay away from is in another plane")
        return AvoidanceWindow(rule, _boundary(contours_px[rule.target], self._plane, rule.margins))


def _boundary(
    contour_px: NDArray[np.float32],
    plane: ImagePlane,
    margins: Margins,
    shift_lps_mm: tuple[float, float, float] = _NO_SHIFT,
) -> GatingBoundary:
    margins_px = plane.margins_px(
        left=margins.left_mm,
        right=margins.right_mm,
        posterior=margins.posterior_mm,
        anterior=margins.anterior_mm,
        superior=margins.superior_mm,
        inferior=margins.inferior_mm,
    )
    if shift_lps_mm == _NO_SHIFT:
        return GatingBoundary(contour_px, margins_px)
    shift = np.array(shift_lps_mm)
    shift_px = [shift @ plane.along_columns / plane.spacing_mm[1], shift @ plane.along_rows / plane.spacing_mm[0]]
    return GatingBoundary((contour_px + np.array(shift_px)).astype(np.float32), margins_px)


def _equivalent_diameter_mm(contour_px: NDArray[np.float32], plane: ImagePlane) -> float:
    """Diameter of the circle with the area of a contour (shoelace formula)."""
    x, y = contour_px[:, 0] * plane.spacing_mm[1], contour_px[:, 1] * plane.spacing_mm[0]
    area_mm2 = abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
    return 2 * float(np.sqrt(area_mm2 / np.pi))
