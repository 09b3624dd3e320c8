"""Settings of the decision rules and of prediction: `[gating.margins]`, `[[gating.rules]]`, `[prediction]`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

_KIM = "3 mm for 5 s: convention of prostate monitoring (KIM, SPARK protocol, PMC5341369); to be confirmed by the site"
_HOLD = "doi:10.1186/s13014-015-0383-y, figure 2: one example, typically 2 s, limits of 2.5 mm chosen in that case"
MARGIN_SOURCE = "3 mm boundary, 10 % of the target outside: Lamb et al. 2017, PMC5689863"


def _mm(description: str, source: str = "", *, ge: float = 0.0, le: float = 50.0) -> Meta:
    return Meta(ge=ge, le=le, description=description, extra={"unit": "mm", "source": source})


def _s(description: str, source: str = "", *, ge: float = 0.0, le: float = 300.0) -> Meta:
    return Meta(ge=ge, le=le, description=description, extra={"unit": "s", "source": source})


def _fraction(description: str, source: str = "") -> Meta:
    return Meta(ge=0, le=1, description=description, extra={"unit": "fraction", "source": source})


ShiftMm = Annotated[float, Meta(ge=-50, le=50)]
Shift = tuple[ShiftMm, ShiftMm, ShiftMm]
"""Shift towards left, posterior, superior, mm."""
Structure = Annotated[str, Meta(max_length=64, description="name of the structure; empty: every target")]
NamedStructure = Annotated[str, Meta(min_length=1, max_length=64, description="name of the structure")]


class Margins(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Gating boundary = target contour plus these margins, one per patient direction."""

    superior_mm: Annotated[float, _mm("margin towards the head", MARGIN_SOURCE)] = 3.0
    inferior_mm: Annotated[float, _mm("margin towards the feet", MARGIN_SOURCE)] = 3.0
    anterior_mm: Annotated[float, _mm("margin towards the front", MARGIN_SOURCE)] = 3.0
    posterior_mm: Annotated[float, _mm("margin towards the back", MARGIN_SOURCE)] = 3.0
    left_mm: Annotated[float, _mm("margin towards the patient's left", MARGIN_SOURCE)] = 3.0
    right_mm: Annotated[float, _mm("margin towards the patient's right", MARGIN_SOURCE)] = 3.0


NO_MARGINS = Margins(superior_mm=0, inferior_mm=0, anterior_mm=0, posterior_mm=0, left_mm=0, right_mm=0)


class _Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """A condition for beam on. A structure that rules name must satisfy all of those rules, and no others."""


class BoundaryRule(_Rule, frozen=True, kw_only=True, tag="boundary"):
    """At most `max_out_fraction` of the target lies outside its reference contour plus margins."""

    structure: Structure = ""
    margins: Margins = Margins()
    max_out_fraction: Annotated[float, _fraction("target area that may lie outside the boundary", MARGIN_SOURCE)] = 0.10
    shift_lps_mm: Shift = (0.0, 0.0, 0.0)


class OverlapRule(_Rule, frozen=True, kw_only=True, tag="overlap"):
    """At least `min_overlap` of the target lies inside an envelope, by area or by estimated volume.

    The envelope is the reference contour plus margins, none by default. That a 1.5 T system gates on the overlap with
    an envelope could not be checked in a publication.
    """

    structure: Structure = ""
    min_overlap: Annotated[float, _fraction("fraction of the target inside the envelope")] = 0.90
    measure: Literal["area", "volume"] = "area"
    margins: Margins = NO_MARGINS
    shift_lps_mm: Shift = (0.0, 0.0, 0.0)


class CentreRule(_Rule, frozen=True, kw_only=True, tag="centre"):
    """The target centre lies within a window on each axis that the plane shows."""

    structure: Structure = ""
    lr_mm: Annotated[float, _mm("largest distance of the centre to the left or right")] = 3.0
    ap_mm: Annotated[float, _mm("largest distance of the centre to the front or back")] = 3.0
    si_mm: Annotated[float, _mm("largest distance of the centre towards head or feet")] = 3.0
    shift_lps_mm: Shift = (0.0, 0.0, 0.0)


class ExcursionRule(_Rule, frozen=True, kw_only=True, tag="excursion"):
    """The target centre is not farther than `distance_mm` from its reference for `duration_s` or longer."""

    structure: Structure = ""
    distance_mm: Annotated[float, _mm("distance beyond which the time counts", _KIM, ge=0.1)] = 3.0
    duration_s: Annotated[float, _s("tolerated time beyond the distance", _KIM)] = 5.0


class AvoidanceRule(_Rule, frozen=True, kw_only=True, tag="avoidance"):
    """An organ at risk stays out of the region around a target: its reference contour plus margins."""

    structure: NamedStructure
    target: NamedStructure = "target"
    margins: Margins = Margins()
    max_in_fraction: Annotated[float, _fraction("fraction of the organ's area that may lie in the region")] = 0.05


class BreathHoldRule(_Rule, frozen=True, kw_only=True, tag="breath_hold"):
    """The target stands still where it was in the reference, for no longer than a patient can hold their breath."""

    structure: Structure = ""
    flat_mm: Annotated[float, _mm("range of the centre within which it counts as still", ge=0.1)] = 2.0
    plateau_s: Annotated[float, _s("time it must have been still", _HOLD, ge=0.2, le=10)] = 2.0
    reproducibility_mm: Annotated[
        float, _mm("largest distance of a plateau from the reference position", _HOLD, ge=0.1)
    ] = 2.5
    max_hold_s: Annotated[float, _s("longest usable plateau", ge=1)] = 25.0


RuleSettings = BoundaryRule | OverlapRule | CentreRule | ExcursionRule | AvoidanceRule | BreathHoldRule


class PredictionSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Latency compensation. It can only hold the beam: the measured and the predicted target must both be inside."""

    method: Literal["off", "persistence", "ridge", "rls", "kalman"] = "off"
    horizon_ms: Annotated[
        float,
        Meta(
            ge=0,
            le=500,
            description="measured latency from acquisition to beam off",
            extra={"unit": "ms", "source": "AAPM TG-76 section VI"},
        ),
    ] = 250.0
