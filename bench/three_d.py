"""Decisions in 3D on a phantom whose axes move out of step: the table of docs/gating.md.

Run: python -m bench.three_d [--seconds 60] [--markdown FILE]

Two planes show the phantom's target frame by frame; its true position is known in every frame. The same frames are
decided twice, by rules that judge each plane alone and by rules that judge the position in 3D with its bound.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from drivers.phantom import Breathing, PhantomSettings
from drivers.phantom.two_planes import PLANES, TwoPlanePhantom
from gating.clocks.clock import ManualClock
from gating.engine.engine import Engine
from gating.engine.peers import OfflinePeers
from gating.geometry.plane import ImagePlane
from gating.messages import (
    CineFrame,
    FrameHeader,
    GateState,
    Pacing,
    SourceKind,
    StampMeaning,
    StreamInfo,
    TargetEstimate,
)
from gating.settings.config import Config, GatingSettings, SafetySettings
from gating.settings.rules import CentreRule
from gating.settings.three_d import ThreeDSettings
from gating.targets.spec import TargetSpec
from gating.tracking.registry import make_tracker
from gating.wire.pixels import content_hash

LIMIT_MM: Final = 3.0
START_NS: Final = 1_000_000_000
LOOP: Final = Breathing(inhale_si_mm=-12.0, inhale_ap_mm=-6.0, inhale_lr_mm=5.0, ap_lag_s=0.3, lr_lag_s=0.4)
"""Breathing whose axes are out of step by 0.3 and 0.4 s, so that the target goes round a wide loop."""

DIAGONAL: Final = Breathing(inhale_si_mm=-2.9, inhale_ap_mm=-2.9, inhale_lr_mm=2.9, ap_lag_s=0.0, variability=0.0)
"""Breathing that keeps within 3 mm along each axis, and goes 5.0 mm away."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A phantom, and which of its planes the frames show."""

    name: str
    phantom: PhantomSettings
    order: tuple[str, ...] = PLANES


def scenarios(seconds: float) -> list[Scenario]:
    """Return the scenarios of the table."""
    small = PhantomSettings(
        rows=96, columns=96, pixel_spacing_mm=(2.4, 2.4), noise_sigma=0.02, duration_s=seconds, breathing=LOOP
    )
    irregular = replace(small, breathing=replace(LOOP, variability=0.3), seed=5)
    drifting = replace(small, drift_si_mm_per_min=2.0, drift_ap_mm_per_min=3.0)
    return [
        Scenario("in turn, 8 frames/s", small),
        Scenario("in turn, 4 frames/s", replace(small, frames_per_s=4.0)),
        Scenario("three sagittal to one coronal", small, ("sagittal", "sagittal", "sagittal", "coronal")),
        Scenario("irregular order", small, tuple(PLANES[int(n)] for n in "01001101100101011010")),
        Scenario("irregular breathing", irregular),
        Scenario("diagonal, 2.9 mm along each axis", replace(small, breathing=DIAGONAL)),
        Scenario("drifting baseline", drifting),
    ]


@dataclass(frozen=True, slots=True)
class Decided:
    """What an engine decided of a scenario: a row for each estimate that tells a position in 3D."""

    on: NDArray[np.bool_]
    """(frames,) whether the beam was permitted."""
    reasons: tuple[str, ...]
    estimates: tuple[TargetEstimate, ...]


def targets_of(phantom: TwoPlanePhantom) -> list[TargetSpec]:
    """Return the two views of the target, each as the first frame of its plane shows it."""
    first = {plane: phantom.order.index(plane) for plane in PLANES}
    return [
        TargetSpec(plane, phantom.phantoms[plane].truth(index).contour_px.astype(np.float32), plane, "GTV")
        for plane, index in first.items()
    ]


def frames_of(phantom: TwoPlanePhantom, info: StreamInfo, count: int) -> list[CineFrame]:
    """Return the frames as a source publishes them at the moment of their acquisition."""
    frames = []
    for index in range(count):
        plane, pixels = phantom.plane(index), phantom.pixels(index)
        one = phantom.phantoms[plane]
        lr, ap, si = phantom.position_mm(plane).tolist()
        acquired_ns = one.stamp_ns(index)
        header = FrameHeader(
            session_id=info.session_id,
            source=info.source,
            source_kind=info.source_kind,
            pacing=info.pacing,
            speed=0.0,
            sequence=index,
            plane=plane,
            acquired_ns=acquired_ns,
            acquired_clock=info.acquired_clock,
            acquired_meaning=info.acquired_meaning,
            acquired_on_publish_clock_ns=START_NS + acquired_ns,
            published_ns=START_NS + acquired_ns,
            publish_clock="offline",
            dtype=info.dtype,
            shape=info.shape,
            pixel_spacing_mm=info.pixel_spacing_mm,
            image_orientation=one.orientation,
            image_position_mm=(lr, ap, si),
            content_hash=content_hash(pixels),
        )
        frames.append(CineFrame(header, pixels))
    return frames


def stream_of(phantom: TwoPlanePhantom) -> StreamInfo:
    """Return the declaration of the phantom's stream."""
    first = phantom.plane(0)
    one = phantom.phantoms[first]
    lr, ap, si = phantom.position_mm(first).tolist()
    return StreamInfo(
        session_id="bench",
        source="phantom in two planes",
        source_kind=SourceKind.PHANTOM,
        pacing=Pacing.UNPACED,
        speed=0.0,
        planes=PLANES,
        dtype=one.settings.dtype,
        shape=one.shape,
        pixel_spacing_mm=one.spacing_mm,
        image_orientation=one.orientation,
        image_position_mm=(lr, ap, si),
        nominal_interval_ns=round(1e9 / one.settings.frames_per_s),
        acquired_clock="phantom",
        acquired_meaning=StampMeaning.START,
    )


def settings(three_d: ThreeDSettings) -> Config:
    """Return the settings of a session: the centre within 3 mm."""
    rule = CentreRule(lr_mm=LIMIT_MM, ap_mm=LIMIT_MM, si_mm=LIMIT_MM)
    return Config(
        gating=GatingSettings(rules=(rule,), three_d=three_d),
        safety=SafetySettings(stale_intervals=5, stale_max_ms=500),
    )


def decide(phantom: TwoPlanePhantom, frames: Sequence[CineFrame], info: StreamInfo, config: Config) -> Decided:
    """Decide every frame."""
    clock = ManualClock(START_NS, "offline")
    engine = Engine(
        config,
        targets_of(phantom),
        lambda: make_tracker(config.tracker, config.tracking),
        clock,
        info.session_id,
        "bench",
        peers=OfflinePeers(),
        arm_by_itself=True,
    )
    engine.warm_up()
    engine.open_stream(info)
    on, reasons, estimates = [], [], []
    for frame in frames:
        clock.advance_to(frame.header.published_ns)
        outcome = engine.step(frame, clock.now_ns())
        on.append(outcome.command.state is GateState.ON)
        reasons.append(str(outcome.command.reason))
        estimates += [message for message in engine.finish_frame() if isinstance(message, TargetEstimate)]
    return Decided(np.array(on), tuple(reasons), tuple(estimates))


@dataclass(frozen=True, slots=True)
class Row:
    """What 3D came to in a scenario."""

    scenario: str
    through_p95_mm: float
    """Error of the coordinate across the frame's plane."""
    bound_p95_mm: float
    """Of that coordinate."""
    covered: float
    """Share of frames in which the error was within the bound."""
    unsafe_plane: int
    """Frames with beam, under rules of the plane alone, in which the target was truly outside."""
    unsafe_3d: int
    beyond_bound: int
    """Frames with beam, under rules in 3D, in which the target was farther outside than the stated bound."""
    worst_mm: float
    """How far it was outside at most, under rules in 3D."""
    duty_plane: float
    duty_3d: float
    lost_to_bound: float
    """Share of all frames that were held for the bound alone."""


def compare(scenario: Scenario, three_d: ThreeDSettings | None = None) -> Row:
    """Decide a scenario by both kinds of rules, and compare with the truth."""
    phantom = TwoPlanePhantom(scenario.phantom, scenario.order)
    info = stream_of(phantom)
    frames = frames_of(phantom, info, scenario.phantom.frame_count or 0)
    in_plane = decide(phantom, frames, info, settings(ThreeDSettings()))
    in_3d = decide(phantom, frames, info, settings(three_d or ThreeDSettings(on=True)))
    away_mm = true_displacements_mm(phantom, len(frames))
    outside_mm = np.linalg.norm(away_mm, axis=1) - LIMIT_MM
    through_mm, bound_mm = through_plane(in_3d.estimates, frames, away_mm)
    reach_mm = np.zeros(len(frames))
    for one in in_3d.estimates:
        if one.bound_mm is not None:
            reach_mm[one.frame_sequence] = float(np.linalg.norm(one.bound_mm))
    outside_on = np.where(in_3d.on, outside_mm, -np.inf)
    return Row(
        scenario=scenario.name,
        through_p95_mm=float(np.percentile(through_mm, 95)),
        bound_p95_mm=float(np.percentile(bound_mm, 95)),
        covered=float(np.mean(through_mm <= bound_mm)),
        unsafe_plane=int(np.sum(in_plane.on & (outside_mm > 0))),
        unsafe_3d=int(np.sum(outside_on > 0)),
        beyond_bound=int(np.sum(outside_on > reach_mm)),
        worst_mm=max(0.0, float(outside_on.max())),
        duty_plane=float(in_plane.on.mean()),
        duty_3d=float(in_3d.on.mean()),
        lost_to_bound=float(np.mean([reason == "position_uncertain" for reason in in_3d.reasons])),
    )


def true_displacements_mm(phantom: TwoPlanePhantom, count: int) -> NDArray[np.float64]:
    """Return (count, 3) displacements from where the contours were drawn, LPS; SI counts from the first frame."""
    at_mm = np.array([phantom.target_mm(index) for index in range(count)])
    drawn = [phantom.order.index(plane) for plane in ("coronal", "sagittal")]
    drawn_mm = np.array((at_mm[drawn[0]][0], at_mm[drawn[1]][1], at_mm[0][2]), np.float64)
    away_mm: NDArray[np.float64] = at_mm - drawn_mm
    return away_mm


def through_plane(
    estimates: Sequence[TargetEstimate], frames: Sequence[CineFrame], away_mm: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the error across the plane of every frame whose bound is known, and that bound, mm."""
    errors, bounds = [], []
    for one in estimates:
        if one.displacement_mm is None or one.bound_mm is None:
            continue
        plane = ImagePlane.of(frames[one.frame_sequence].header)
        normal = np.cross(plane.along_columns, plane.along_rows)
        errors.append(abs(float(normal @ (np.array(one.displacement_mm) - away_mm[one.frame_sequence]))))
        bounds.append(float(np.abs(normal) @ one.bound_mm))
    return np.array(errors), np.array(bounds)


HEAD: Final = (
    "| planes | through-plane p95 mm | bound p95 mm | within the bound | outside with beam: plane, 3D frames | "
    "beyond rule and bound | worst mm outside | duty cycle: plane, 3D | held for the bound alone |"
)


def markdown(rows: Sequence[Row]) -> str:
    """Return the table."""
    lines = [HEAD, "|" + "---|" * 9]
    lines += [
        f"| {row.scenario} | {row.through_p95_mm:.2f} | {row.bound_p95_mm:.2f} | {100 * row.covered:.1f} % | "
        f"{row.unsafe_plane}, {row.unsafe_3d} | {row.beyond_bound} | {row.worst_mm:.2f} | "
        f"{100 * row.duty_plane:.0f}, {100 * row.duty_3d:.0f} % | {100 * row.lost_to_bound:.0f} % |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Decide every scenario, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--markdown", type=Path)
    asked = parser.parse_args()
    text = markdown([compare(scenario) for scenario in scenarios(asked.seconds)])
    print(text)
    if asked.markdown:
        asked.markdown.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
