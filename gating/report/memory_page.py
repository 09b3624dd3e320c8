"""The page on which the key frames of a memory are accepted: each with the contour that was carried to it."""

from __future__ import annotations

import html
from importlib.resources import files
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gating.geometry.contours import contour_centroid
from gating.report.frames import png_data_uri, svg_points, view_around
from gating.settings.private_file import private_file
from gating.tracking.confidence import LEAST_CARRIED_FIT
from gating.tracking.memory import Contour, KeyFrame, Memory


def write_memory_page(path: Path, memory: Memory, reference: NDArray[Any]) -> None:
    """Write the page, with mode 0600; it needs no network.

    Parameters
    ----------
    path
        The HTML file.
    memory
        The memory.
    reference
        (rows, columns) its reference picture.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    css = files("gating.report").joinpath("page.css").read_text(encoding="utf-8")
    shown = [(0, "reference, as drawn", reference, memory.contour_px)]
    shown += [(key.number, _where(memory, key), key.pixels, key.contour_px) for key in memory.key_frames]
    frames = "\n".join(_figure(memory, *one) for one in shown)
    remarks = "".join(f'<p class="warning">{html.escape(remark)}</p>' for remark in memory.remarks)
    usual = "".join(f"<tr><td>{one.excursion_mm:+.0f} mm</td><td>{one.score:.2f}</td></tr>" for one in memory.usual)
    private_file(path).write_text(
        f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Memory {memory.content_hash}</title><style>{css}</style></head>
<body><main><h1>Memory of a target, to be accepted</h1>
<p>Learned from {memory.seconds:.0f} s of picture {memory.picture_hash}; memory {memory.content_hash}. Look at every
contour. One that does not follow the target must not be used: run the preparation again with
<code>--drop NUMBER</code>, or with <code>--correct NUMBER=MASK</code>; with <code>--accept NUMBER</code> where one that
was not surely carried is right.</p>{remarks}
<p>Fit at rest (ZNCC): {memory.rest_score:.2f}. Excursion seen: {memory.amplitude_mm:.0f} mm.</p>
<div class="frames">{frames}</div>
<h2>Usual likeness to the key frames, by excursion from the reference</h2>
<table><tr><th>excursion</th><th>ZNCC</th></tr>{usual}</table>
</main></body></html>
""",
        encoding="utf-8",
    )


def _where(memory: Memory, key: KeyFrame) -> str:
    x, y = contour_centroid(memory.contour_px)
    down, across = memory.spacing_mm
    excursion = memory.excursion_mm(((key.content_px[0] - x) * across, (key.content_px[1] - y) * down))
    unsure = "" if key.fit >= LEAST_CARRIED_FIT else f", not surely carried (ZNCC {key.fit:.2f})"
    return f"{excursion:+.0f} mm from the reference{unsure}"


def _figure(memory: Memory, number: int, why: str, pixels: NDArray[Any], contour: Contour) -> str:
    rows, columns = pixels.shape
    points = [(float(x), float(y)) for x, y in contour]
    x, y, side = view_around(points, rows, columns)
    aspect = f"aspect-ratio:{memory.spacing_mm[1]:g}/{memory.spacing_mm[0]:g}"
    return f"""<figure class="frame">
  <svg viewBox="{x:.2f} {y:.2f} {side:.2f} {side:.2f}" preserveAspectRatio="none" style="{aspect}" role="img">
    <image x="-0.5" y="-0.5" width="{columns}" height="{rows}" href="{png_data_uri(pixels)}"/>
    <polygon class="contour" points="{svg_points(points)}"/>
  </svg>
  <figcaption><b>frame {number}</b><span>{html.escape(why)}</span></figcaption>
</figure>"""
