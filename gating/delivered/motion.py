"""Where a structure was at each moment of a session, in as many directions as its planes show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gating.analysis.motion import GatedMotion, motion_from_session
from gating.geometry.plane import ImagePlane
from gating.session.summary_data import SessionData
from gating.targets.position_3d import PlanePosition, position_in_3d


def tracked_structures(data: SessionData) -> list[str]:
    """Return the names of the structures that a log follows, in the order of their first frames."""
    return list(dict.fromkeys(_structure(data, motion.target) for motion in motion_from_session(data)))


def structure_motion(data: SessionData, structure: str) -> GatedMotion:
    """Return the motion of a structure: of two planes that show it, both displacements as one.

    A structure that one plane shows has a displacement of 0 along that plane's normal, where nothing is known;
    `GatedMotion.shown` says along which patient axes that is so.

    Raises
    ------
    ValueError
        If the log does not follow it.
    gating.settings.config.ConfigError
        If the log holds a configuration that this version refuses.
    """
    found = [motion for motion in motion_from_session(data) if _structure(data, motion.target) == structure]
    if not found:
        raise ValueError(f"{data.path} follows no {structure!r}; it follows {', '.join(tracked_structures(data))}")
    first, *others = found
    for other in others:
        if (both := _in_3d(first, other, _plane(data, first), _plane(data, other))) is not None:
            return both
    return first


def _structure(data: SessionData, target: str) -> str:
    return data.references[target].structure or target


def _plane(data: SessionData, motion: GatedMotion) -> ImagePlane:
    frame = next(f for e in data.estimates[motion.target] if (f := data.frames.get(e.frame_sequence)) is not None)
    return ImagePlane.of(frame)


def _in_3d(first: GatedMotion, other: GatedMotion, plane: ImagePlane, other_plane: ImagePlane) -> GatedMotion | None:
    """Return the motion of the first plane's frames, with the step along its normal from the other plane."""
    normal = np.cross(plane.along_columns, plane.along_rows)
    here_mm = first.displacement_mm - (first.displacement_mm @ normal)[:, None] * normal
    joined: list[NDArray[np.float64] | tuple[float, float, float]] = []
    for here, there in zip(here_mm, other.at(first.t_s), strict=True):
        at = PlanePosition(plane, tuple(here.tolist()), 0), PlanePosition(other_plane, tuple(there.tolist()), 0)
        found = position_in_3d(*at)
        if found is None:
            return None
        joined.append(found[0])
    return replace(first, displacement_mm=np.array(joined, float), shown=(True, True, True))
