"""The film of a session, for the player: frames as small pictures, with contours, gate and reason in step."""

from __future__ import annotations

from itertools import groupby, zip_longest
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gating.analysis.motion import known_beam
from gating.decision.reasons import GateReason, words
from gating.geometry.plane import ImagePlane
from gating.messages import EngineState, FrameHeader, GateState, TargetEstimate
from gating.report.film_frames import MIME, Compressed, chosen_frames, compress
from gating.session.summary_data import SessionData
from gating.settings.config import GatingSettings
from gating.targets.from_settings import is_avoided

FILM_BYTES: Final = 2_600_000
"""With plotly's 4.8 MB and everything else, a report stays below 8 MB."""
TENTHS: Final = 10
"""Points of a contour are in tenths of a pixel."""
_OFF_LINE_PX: Final = 0.2
"""Points of a contour that lie closer to the line between others are left out."""


class FilmPlane(Struct, frozen=True):
    """One imaging plane: geometry, letters at its edges (left, right, top, bottom), and the boundaries in it."""

    name: str
    rows: int
    columns: int
    spacing_mm: tuple[float, float]
    letters: tuple[str, str, str, str]
    boundaries: list[list[int]]


class FilmFrame(Struct, frozen=True, array_like=True):
    """One frame, at the time of its decision, s after the first frame; with each target's contour, empty if none."""

    t_s: float
    plane: int
    sequence: int
    picture: str
    contours: list[list[int]]


class GateChange(Struct, frozen=True, array_like=True):
    """The gate from a time on, s."""

    t_s: float
    on: bool
    latched: bool
    why: str


class FilmHold(Struct, frozen=True):
    """A time without permission for beam, s, with the reason at its beginning."""

    begin_s: float
    end_s: float
    why: str
    detail: str
    latched: bool


class Film(Struct, frozen=True):
    """What the player shows."""

    planes: list[FilmPlane]
    frames: list[FilmFrame]
    gate: list[GateChange]
    holds: list[FilmHold]
    beam_s: list[tuple[float, float]]
    beam_known_by: str
    avoided: list[bool]
    """Of each target, whether it is an organ at risk."""
    mime: str
    about: str
    """How the pictures were made, and what was left out; without frames, that there are none."""


def make_film(data: SessionData, gating: GatingSettings | None, limit_bytes: int = FILM_BYTES) -> Film:
    """Return the film of a session, of at most so many bytes as JSON, but for its list of holds.

    Raises
    ------
    OSError
        If the log cannot be read.
    """
    sequences, estimates = chosen_frames(data), _estimates(data)
    contours = {sequence: _contours(data, estimates.get(sequence, {})) for sequence in sequences}
    outlines = sum(len(str(one)) for one in contours.values())
    made = compress(data, sequences, max(0, limit_bytes - outlines)) if sequences else None
    planes = {header.plane: header for header in data.frames.values()}
    names = list(planes)
    shown = {} if made is None else made.pictures
    frames = [
        FilmFrame(_decided_s(data, number), names.index(data.frames[number].plane), number, shown[number], own)
        for number, own in contours.items()
        if number in shown
    ]
    beam, known_by = known_beam(data)
    return Film(
        planes=[_plane(data, header) for header in planes.values()],
        frames=sorted(frames, key=lambda frame: frame.t_s),
        gate=_gate(data),
        holds=_holds(data),
        beam_s=[(_at(data, begin), _at(data, end)) for begin, end in beam],
        beam_known_by=known_by,
        avoided=[gating is not None and is_avoided(name, gating.rules) for name in data.references],
        mime=MIME,
        about=_about(data, made),
    )


def _about(data: SessionData, made: Compressed | None) -> str:
    if made is None or not made.pictures:
        return "This log holds no images, so there is nothing to play."
    shown, every = len(made.pictures), len(data.frames)
    size = f", reduced to {made.step.side_px} px along the longer side" if made.reduced else ""
    which = f"All {every} frames are shown"
    if shown < every:
        which = f"{shown} of {every} frames are shown, evenly chosen, and those at which the gate changes"
    return f"{which}, compressed (WebP, quality {made.step.quality}){size}; the log holds every frame as it came."


def _estimates(data: SessionData) -> dict[int, dict[str, TargetEstimate]]:
    found: dict[int, dict[str, TargetEstimate]] = {}
    for name, own in data.estimates.items():
        for one in own:
            found.setdefault(one.frame_sequence, {})[name] = one
    return found


def _contours(data: SessionData, seen: dict[str, TargetEstimate]) -> list[list[int]]:
    return [_flat(seen[name].contour_px) if name in seen else [] for name in data.references]


def _flat(points: list[tuple[float, float]]) -> list[int]:
    """Return an outline as x, y, x, y, ... in tenths of a pixel, without the points that lie on its edges."""
    import cv2

    if not points:
        return []
    outline: NDArray[np.float32] = np.array(points, np.float32)
    kept = cv2.approxPolyDP(outline, _OFF_LINE_PX, closed=True)
    flat: list[int] = np.round(TENTHS * kept.ravel()).astype(int).tolist()
    return flat


def _plane(data: SessionData, header: FrameHeader) -> FilmPlane:
    rows, columns = header.shape
    try:
        letters = ImagePlane.of(header).edge_letters()
    except ValueError:  # an orientation that is none
        letters = ("-", "-", "-", "-")
    boundaries = [_flat(one.boundary_px) for one in data.references.values() if one.plane == header.plane]
    return FilmPlane(header.plane, rows, columns, header.pixel_spacing_mm, letters, boundaries)


def _decided_s(data: SessionData, sequence: int) -> float:
    """Return when a frame was decided, so that its picture comes with its own decision; or else, when published."""
    outcome = data.outcomes.get(sequence)
    published_ns = data.frames[sequence].published_ns
    return _at(data, published_ns if outcome is None else max(published_ns, outcome.at_ns))


def _gate(data: SessionData) -> list[GateChange]:
    return [
        GateChange(
            _at(data, at_ns),
            command.state is GateState.ON,
            command.engine_state is EngineState.LATCHED,
            words(command.reason),
        )
        for at_ns, command in data.commanded
    ]


def _holds(data: SessionData) -> list[FilmHold]:
    """Return every time without permission, with its reasons in their order; settling, at its end, is left out."""
    holds: list[FilmHold] = []
    periods = [
        (on, list(changes))
        for on, changes in groupby(data.commanded, key=lambda change: change[1].state is GateState.ON)
    ]
    for (on, changes), following in zip_longest(periods, periods[1:]):
        if not on:
            end_ns = max(data.last_ns, data.commands[-1][0]) if following is None else following[1][0][0]
            reasons = [command.reason for _, command in changes]
            telling = [reason for reason in reasons if reason != GateReason.SETTLING] or reasons
            why = ", then ".join(dict.fromkeys(map(words, telling)))
            latched = any(command.engine_state is EngineState.LATCHED for _, command in changes)
            holds.append(FilmHold(_at(data, changes[0][0]), _at(data, end_ns), why, changes[0][1].detail, latched))
    return holds


def _at(data: SessionData, at_ns: int) -> float:
    return round(data.seconds(at_ns), 4)
