"""The first and the worst frames, drawn with the contour of the target and the gating boundary."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gating.messages import CineFrame, TargetEstimate
from gating.pages.pictures import png_data_uri, svg_points, view_around
from gating.session.log import read_session
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
    pixels = _fetch(data.path, {frame.sequence for frame in chosen})
    return "\n".join(_figure(data, frame, pixels[frame.sequence]) for frame in chosen if frame.sequence in pixels)


def _fetch(path: Path, sequences: set[int]) -> dict[int, NDArray[np.generic]]:
    found: dict[int, NDArray[np.generic]] = {}
    for _, _, message in read_session(path):
        if isinstance(message, CineFrame) and message.header.sequence in sequences:
            found.setdefault(message.header.sequence, message.pixels)
            if len(found) == len(sequences):
                break
    return found


def _figure(data: SessionData, frame: ChosenFrame, pixels: NDArray[np.generic]) -> str:
    rows, columns = pixels.shape
    estimate, reference = frame.estimate, data.references.get(frame.estimate.target)
    boundary = reference.boundary_px if reference else []
    outlines = [(boundary, "boundary"), (estimate.contour_px, "contour")]
    x, y, side = view_around([*boundary, *estimate.contour_px], rows, columns)
    shapes = "".join(f'<polygon class="{kind}" points="{svg_points(points)}"/>' for points, kind in outlines if points)
    spacing = data.frames[frame.sequence].pixel_spacing_mm
    shape = f"aspect-ratio:{spacing[1]:g}/{spacing[0]:g}"
    gate = "on" if estimate.gate == "on" else "hold"
    seconds = data.seconds(data.frames[frame.sequence].published_ns)
    return f"""<figure class="frame">
  <svg viewBox="{x:.2f} {y:.2f} {side:.2f} {side:.2f}" preserveAspectRatio="none" style="{shape}" role="img">
    <image x="-0.5" y="-0.5" width="{columns}" height="{rows}" href="{png_data_uri(pixels)}"/>{shapes}
  </svg>
  <figcaption><b>{html.escape(frame.why)}</b><span class="gate {gate}">{gate}</span>
    <span>frame {frame.sequence}, {seconds:.2f} s</span>
    <span>target out {100 * estimate.target_out_fraction:.1f} %</span>
    <span>confidence {100 * estimate.confidence:.0f} %</span>
    <span>{html.escape(estimate.reason.replace("_", " "))}</span></figcaption>
</figure>"""
