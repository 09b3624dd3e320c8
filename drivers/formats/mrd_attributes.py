"""Attributes of an MRD image: what the engine saw, as clients of the format draw it.

An outline is a list of values under a name that begins with `ROI_`: red, green, blue (0 to 1), thickness, style,
visibility, then x and y of each point, px from the top left (`create_roi` of github.com/kspaceKelvin/
python-ismrmrd-server).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape

from drivers.formats.mrd_image import MrdImage
from gating.messages import TargetEstimate

IMAGE: Final = struct.Struct("<H")
IMAGE_ID: Final = 1022
CONTOUR_RGB: Final = (1.0, 1.0, 0.0)
BOUNDARY_RGB: Final = (0.0, 1.0, 0.0)
Points = Sequence[tuple[float, float]]


def seen(estimates: Iterable[TargetEstimate], boundaries_px: Mapping[str, Points]) -> dict[str, list[str]]:
    """Return what the engine saw in an image, as attributes.

    Parameters
    ----------
    estimates
        Those of the image, one a target; none if the engine has not said anything of it.
    boundaries_px
        Gating boundary of each target, (x, y).
    """
    said: dict[str, list[str]] = {"DataRole": ["Image"]}
    for one in estimates:
        said |= {"cinegate_gate": [one.gate], "cinegate_reason": [one.reason]}
        said[f"cinegate_status_{one.target}"] = [one.status]
        if math.isfinite(one.confidence):
            said[f"cinegate_confidence_{one.target}"] = [f"{one.confidence:.3f}"]
        if one.status == "tracked" and one.contour_px:
            said[f"ROI_{one.target}"] = outline(one.contour_px, CONTOUR_RGB)
        if one.target in boundaries_px:
            said[f"ROI_{one.target}_boundary"] = outline(boundaries_px[one.target], BOUNDARY_RGB)
    return said


def outline(points: Points, rgb: tuple[float, float, float]) -> list[str]:
    """Return the values of a closed outline: solid, 1 px, visible."""
    values = (*rgb, 1.0, 0.0, 1.0, *(number for point in (*points, *points[:1]) for number in point))
    return [f"{value:f}" for value in values]


def with_attributes(image: MrdImage, attributes: Mapping[str, Sequence[str]]) -> bytes:
    """Return an image message like the one that came, with these attributes in place of its own."""
    told = "".join(
        f"<meta><name>{escape(name)}</name>{''.join(f'<value>{escape(one)}</value>' for one in values)}</meta>"
        for name, values in attributes.items()
    )
    text = f'<?xml version="1.0"?><ismrmrdMeta>{told}</ismrmrdMeta>'.encode()
    head = image.raw[:-4] + struct.pack("<I", len(text))
    return IMAGE.pack(IMAGE_ID) + head + struct.pack("<Q", len(text)) + text + image.data
