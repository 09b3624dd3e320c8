"""The first and the worst frames, drawn with the contour of the target and the gating boundary."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gating.analysis.unknown import percent
from gating.geometry.plane import ImagePlane
from gating.messages import TargetEstimate
from gating.pages.pictures import picture
from gating.report.film_frames import read_frames
from gating.session.summary_data import SessionData

WORST_OF_EACH: Final = 2


@dataclass(frozen=True, slots=True)
class ChosenFrame:
    """A frame, and why it is shown."""

    sequence: int
    why: str
    estimate: TargetEstimate


def choose_frames(data: SessionData) -> list[ChosenFrame]:
    """Return the first frame, those with the largest target-out fraction, and those with the lowest confidence."""
    estimates = [estimate for target in data.estimates.values() for estimate in target]
    if not estimates:
        return []
    by_out = sorted(estimates, key=lambda e: -e.target_out_fraction if np.isfinite(e.target_out_fraction) else -2.0)
    by_confidence = sorted(estimates, key=lambda e: e.confidence if np.isfinite(e.confidence) else -1.0)
    wanted = [
        (estimates[0], "first frame"),
        *((estimate, "largest target-out fraction") for estimate in by_out),
        *((estimate, "lowest confidence") for estimate in by_confidence),
    ]
    chosen: list[ChosenFrame] = []
    for estimate, why in wanted:
        near = any(abs(estimate.frame_sequence - other.sequence) < 4 for other in chosen)
        enough = sum(other.why == why for other in chosen) >= (1 if why == "first frame" else WORST_OF_EACH)
        if not near and not enough and estimate.frame_sequence in data.frames:
            chosen.append(ChosenFrame(estimate.frame_sequence, why, estimate))
    return chosen


def draw_frames(data: SessionData, chosen: list[ChosenFrame]) -> str:
    """Return the chosen frames as HTML figures."""
    pixels = {header.sequence: image for header, image in read_frames(data.path, {one.sequence for one in chosen})}
    return "\n".join(_figure(data, frame, pixels[frame.sequence]) for frame in chosen if frame.sequence in pixels)


def _figure(data: SessionData, frame: ChosenFrame, pixels: NDArray[np.generic]) -> str:
    estimate, reference = frame.estimate, data.references.get(frame.estimate.target)
    header = data.frames[frame.sequence]
    outlines = [("boundary", reference.boundary_px if reference else []), ("contour", estimate.contour_px)]
    drawn = picture(pixels, header.pixel_spacing_mm, outlines, ImagePlane.of(header).edge_letters())
    gate = "on" if estimate.gate == "on" else "hold"
    return f"""<figure class="frame">
  {drawn}
  <figcaption><b>{html.escape(frame.why)}</b><span class="gate {gate}">{gate}</span>
    <span>frame {frame.sequence}, {data.seconds(header.published_ns):.2f} s</span>
    <span>target out {percent(estimate.target_out_fraction)}</span>
    <span>confidence {percent(estimate.confidence, 0)}</span>
    <span>{html.escape(estimate.reason.replace("_", " "))}</span></figcaption>
</figure>"""
