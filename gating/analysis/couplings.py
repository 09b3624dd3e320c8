"""What a dry run in two planes or more teaches of how a structure's axes move together, as settings of a session."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from gating.geometry.plane import ImagePlane
from gating.messages import CineFrame, Message, ReferenceImage, TargetEstimate, TargetReference
from gating.session.log import SessionError, read_session
from gating.settings.three_d import LEAST_GROWTH_MM_S, CouplingSettings, Direction, ThreeDSettings
from gating.targets.coupling import Coupling, Sighting
from gating.targets.motion_3d import StructureMotion


def learned_couplings(path: Path, settings: ThreeDSettings | None = None) -> tuple[CouplingSettings, ...]:
    """Return the couplings of every structure that a session log shows in several planes.

    Parameters
    ----------
    path
        Log of the dry run, with interleaved planes.
    settings
        How couplings are learned; defaults if not given.

    Raises
    ------
    SessionError
        If no structure is shown in planes that are 30 degrees apart, for long enough; one sentence.
    OSError
        If the log cannot be read.
    """
    used = settings or ThreeDSettings()
    found = couplings_of((message for _, _, message in read_session(path)), used)
    if not found:
        text = f"no structure is seen in two planes 30 degrees apart, {used.learn_frames + 1} times in each"
        raise SessionError(f"{path.name}: {text}")
    return found


def couplings_of(
    messages: Iterable[Message | CineFrame | ReferenceImage], used: ThreeDSettings
) -> tuple[CouplingSettings, ...]:
    """Return the couplings that frames, references and estimates teach, in their order; empty if they teach none."""
    planes: dict[str, ImagePlane] = {}
    references: dict[str, TargetReference] = {}
    motions: dict[str, StructureMotion] = {}
    known: dict[str, set[str]] = {}
    sightings: dict[Coupling, list[Sighting]] = {}
    for message in messages:
        match message:
            case CineFrame():
                planes.setdefault(message.header.plane, ImagePlane.of(message.header))
            case TargetReference() if message.structure:
                references[message.target] = message
            case TargetEstimate() if message.status == "tracked" and message.target in references:
                name = references[message.target].structure
                motion = motions.setdefault(name, StructureMotion(name, used))
                if message.plane in planes and message.plane not in known.setdefault(name, set()):
                    known[name].add(message.plane)
                    motion.add_plane(message.plane, planes[message.plane])
                _see(motion, message, references[message.target], planes)
                for _, _, coupling in motion.couplings:
                    if coupling.last is not None and coupling.last.at_ns == message.acquired_ns:
                        sightings.setdefault(coupling, []).append(coupling.last)
    return tuple(
        _as_settings(name, along, across, coupling, sightings[coupling], used)
        for name, motion in motions.items()
        for along, across, coupling in motion.couplings
        if coupling.growth_mm_s is not None
    )


def _see(
    motion: StructureMotion, seen: TargetEstimate, reference: TargetReference, planes: Mapping[str, ImagePlane]
) -> None:
    plane = planes.get(seen.plane)
    if plane is None:
        return
    lr, ap, si = np.subtract(plane.to_lps_mm(seen.x_px, seen.y_px), plane.to_lps_mm(*reference.centre_px)).tolist()
    motion.see(seen.plane, (lr, ap, si), seen.acquired_ns)
    motion.learn()


def _as_settings(
    name: str, along: Direction, across: Direction, coupling: Coupling, seen: list[Sighting], used: ThreeDSettings
) -> CouplingSettings:
    """Return a coupling, with the bound that it needs where the direction across is never seen."""
    errors = sorted(
        abs(one.across_mm - coupling.slope * one.along_mm - coupling.lag_s * one.speed_mm_s) for one in seen
    )
    rank = min(len(errors), math.ceil((len(errors) + 1) * used.coverage))
    return CouplingSettings(
        structure=name,
        along_lps=along,
        across_lps=across,
        slope=coupling.slope,
        lag_s=coupling.lag_s,
        growth_mm_s=max(coupling.growth_mm_s or 0.0, LEAST_GROWTH_MM_S),
        bound_mm=errors[rank - 1] + used.measured_mm,
    )
