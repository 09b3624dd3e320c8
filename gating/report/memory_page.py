"""The page on which the key frames of a memory are accepted: each with the contour that was carried to it."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from gating.geometry.contours import contour_centroid
from gating.pages.page import head, page, section, table, warning
from gating.pages.pictures import picture
from gating.settings.private_file import private_file
from gating.tracking.confidence import LEAST_CARRIED_FIT
from gating.tracking.memory import Contour, KeyFrame, Memory

LOOK: Final = (
    "Look at every contour. One that does not follow the target must not be used: run the preparation again with "
    "<code>--drop NUMBER</code>, or with <code>--correct NUMBER=MASK</code>; with <code>--accept NUMBER</code> where "
    "one that was not surely carried is right."
)


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
    shown = [(0, "reference, as drawn", reference, memory.contour_px)]
    shown += [(key.number, _where(memory, key), key.pixels, key.contour_px) for key in memory.key_frames]
    frames = "\n".join(_figure(memory, *one) for one in shown)
    remarks = "".join(warning(html.escape(remark)) for remark in memory.remarks)
    usual = table(["excursion", "ZNCC"], [[f"{one.excursion_mm:+.0f} mm", f"{one.score:.2f}"] for one in memory.usual])
    below = (
        f"Learned from {memory.seconds:.0f} s of picture {memory.picture_hash}; memory {memory.content_hash}. Fit at "
        f"rest (ZNCC): {memory.rest_score:.2f}. Excursion seen: {memory.amplitude_mm:.0f} mm."
    )
    body = [
        head("Memory of a target, to be accepted", below),
        remarks,
        section("Key frames", LOOK, f'<div class="frames">{frames}</div>'),
        section("Usual likeness to the key frames", "By excursion from the reference.", usual),
    ]
    private_file(path).write_text(page(f"Memory {memory.content_hash}", "\n".join(body)), encoding="utf-8")


def _where(memory: Memory, key: KeyFrame) -> str:
    x, y = contour_centroid(memory.contour_px)
    down, across = memory.spacing_mm
    excursion = memory.excursion_mm(((key.content_px[0] - x) * across, (key.content_px[1] - y) * down))
    unsure = "" if key.fit >= LEAST_CARRIED_FIT else f", not surely carried (ZNCC {key.fit:.2f})"
    return f"{excursion:+.0f} mm from the reference{unsure}"


def _figure(memory: Memory, number: int, why: str, pixels: NDArray[Any], contour: Contour) -> str:
    drawn = picture(pixels, memory.spacing_mm, [("contour", [(float(x), float(y)) for x, y in contour])])
    said = f"<b>frame {number}</b><span>{html.escape(why)}</span>"
    return f'<figure class="frame">{drawn}<figcaption>{said}</figcaption></figure>'
