"""A target that is tracked in its plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gating.geometry.plane import ImagePlane
from gating.messages import FrameHeader, TargetReference
from gating.targets.motion_3d import Place
from gating.targets.spec import TargetSpec
from gating.targets.structure import LpsMm, StructureGate
from gating.tracking.checked_tracker import CheckedTracker
from gating.tracking.tracker import TrackResult


@dataclass(slots=True)
class TrackedTarget:
    """A target that has been learned, and its newest result."""

    spec: TargetSpec
    tracker: CheckedTracker
    reference: TrackResult
    gate: StructureGate
    result: TrackResult
    acquired_ns: int = 0
    raw_ns: int = 0

    def update(
        self,
        result: TrackResult,
        acquired_ns: int,
        raw_ns: int,
        beside_mm: LpsMm | None = None,
        place: Place | None = None,
    ) -> None:
        """Set the newest result, acquired at `acquired_ns` (engine clock) and `raw_ns` (source clock)."""
        self.result, self.acquired_ns, self.raw_ns = result, acquired_ns, raw_ns
        self.gate.update(result, acquired_ns, raw_ns, beside_mm, place)

    @property
    def displacement_mm(self) -> LpsMm | None:
        """Displacement in 3D in the newest frame, LPS; None if rules judge the plane alone, or it was not found."""
        return None if self.gate.place is None else self.gate.place.displacement_mm

    @property
    def bound_mm(self) -> LpsMm | None:
        """Bound of that displacement; None where nothing bounds it too."""
        return None if self.gate.place is None else self.gate.place.known_bound_mm


def reference_message(header: FrameHeader, plane: ImagePlane, target: TrackedTarget) -> TargetReference:
    """Return a learned target and its gating boundary, for the log and the screen."""
    x_px, y_px = target.reference.x_px, target.reference.y_px
    return TargetReference(
        session_id=header.session_id,
        target=target.spec.name,
        plane=header.plane,
        structure=target.spec.structure,
        frame_sequence=header.sequence,
        contour_px=np.asarray(target.spec.contour_px).tolist(),
        boundary_px=target.gate.boundary.outline_px.tolist(),
        centre_px=(x_px, y_px),
        centre_mm=plane.to_lps_mm(x_px, y_px),
        image_hash="" if target.spec.image is None else target.spec.image.content_hash,
        memory_hash="" if target.spec.memory is None else target.spec.memory.content_hash,
        carried="" if target.spec.carried is None else target.spec.carried.how[:400],
        image_orientation=header.image_orientation,
        accepted_by="" if target.spec.carried is None else target.spec.carried.accepted_by[:64],
    )
