"""`cinegate track`: the engine over a recording, without sockets."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from cinegate.verbs.app import CommandError, app, console, print_json
from cinegate.verbs.options import (
    BoxOption,
    ConfigOption,
    JsonOption,
    MaskOption,
    PlaneOption,
    RecordingArgument,
    SpacingOption,
    TrackerOption,
    load_config,
    load_targets,
    recording_images,
    recording_stream,
)
from gating.decision.reasons import GateReason
from gating.messages import Event, TargetEstimate
from gating.tracking.tracker import TrackStatus

if TYPE_CHECKING:
    from drivers.recordings import Recording

COLUMNS = (
    "frame", "t_s", "x_px", "y_px", "si_mm", "ap_mm", "confidence", "status", "target_out_fraction", "gate", "reason",
)  # fmt: skip


@app.command()
def track(
    recording: RecordingArgument,
    out: Annotated[Path, typer.Option("--out", help="Table to write, one row a frame (CSV).")] = Path("track.csv"),
    masks: Annotated[Path | None, typer.Option("--masks", help="Write the propagated target masks (.mha).")] = None,
    target_box: BoxOption = None,
    target_mask: MaskOption = None,
    config: ConfigOption = None,
    tracker: TrackerOption = None,
    pixel_spacing_mm: SpacingOption = None,
    plane: PlaneOption = "",
    as_json: JsonOption = False,
) -> None:
    """Track a recording offline: the same engine without sockets, deterministic, one row a frame.

    Columns: frame, t_s, x_px and y_px (target centre), si_mm and ap_mm (patient position, LPS; empty where the plane
    does not show the axis), confidence, status, target_out_fraction, gate, reason. A frame that cannot be looked at is
    refused and held, that one alone. A target that cannot be tracked at all leaves a table of holds, one sentence, and
    the exit code 2.
    """
    from drivers.recordings import open_recording
    from gating.engine.offline import decide_offline, offline_frames

    opened = open_recording(recording, pixel_spacing_mm, plane=plane)
    settings = load_config(config, tracker)
    targets = load_targets(opened, target_box, target_mask)
    stream = recording_stream(opened)
    rows: list[dict[str, Any]] = []
    contours = []
    faults: list[Event] = []
    refused: list[TargetEstimate] = []
    frames = offline_frames(stream, recording_images(opened))
    for frame, outcome in decide_offline(settings, targets, stream, frames):
        estimate = next((m for m in outcome.messages if isinstance(m, TargetEstimate)), None)
        for event in outcome.messages:
            if isinstance(event, Event) and event.severity == "fault":
                faults.append(event)
                console.print(f"[red]frame {frame.header.sequence}:[/red] {event.text}")
        if estimate is not None and estimate.status == TrackStatus.REFUSED:
            refused.append(estimate)
        command = outcome.command
        rows.append(_row(opened, frame.header.sequence, estimate, command.state, command.reason))
        contours.append(np.empty((0, 2)) if estimate is None else np.array(estimate.contour_px).reshape(-1, 2))
    _write_csv(out, rows)
    if masks is not None:
        _write_masks(masks, opened, contours)
    if refused:
        first = refused[0]
        console.print(
            f"[red]refused:[/red] {len(refused)} of {len(rows)} frames, first {first.frame_sequence}: {first.detail}"
        )
    unusable = [fault for fault in faults if fault.code == GateReason.TARGET_UNUSABLE]
    if unusable:
        raise CommandError(f"the target of {recording} cannot be learned: {unusable[0].text.removeprefix('latched: ')}")
    if not any(row["status"] for row in rows):
        why = faults[0].text.removeprefix("latched: ") if faults else f"every frame was held for {rows[-1]['reason']}"
        raise CommandError(f"no frame of {recording} was tracked: {why}")
    summary = _summary(rows, out)
    if as_json:
        print_json(summary)
    else:
        console.print(
            f"{len(rows)} frames tracked, beam on in {100 * summary['duty_cycle']:.1f} % of them, table in {out}"
        )


def _row(opened: Recording, index: int, estimate: TargetEstimate | None, gate: str, reason: str) -> dict[str, Any]:
    from gating.geometry.plane import ImagePlane

    row: dict[str, Any] = dict.fromkeys(COLUMNS, "")
    row |= {"frame": index, "t_s": f"{opened.stamps_ns[index] / 1e9:.6f}", "gate": str(gate), "reason": str(reason)}
    if estimate is not None:
        shown = ImagePlane.of(opened).shown_axes()
        row |= {
            "x_px": f"{estimate.x_px:.4f}",
            "y_px": f"{estimate.y_px:.4f}",
            "si_mm": f"{estimate.position_mm[2]:.4f}" if "si" in shown else "",
            "ap_mm": f"{estimate.position_mm[1]:.4f}" if "ap" in shown else "",
            "confidence": f"{estimate.confidence:.4f}",
            "status": str(estimate.status),
            "target_out_fraction": f"{estimate.target_out_fraction:.4f}",
        }
    return row


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _write_masks(path: Path, opened: Recording, contours: list[Any]) -> None:
    from cinegate.verbs.cases import mask_grid
    from gating.evaluation.masks import write_masks
    from gating.geometry.contours import mask_from_contour

    masks = [np.zeros(opened.shape, bool)]
    for contour in contours:  # a frame that says nothing keeps the mask before
        masks.append(mask_from_contour(contour, opened.shape) if len(contour) >= 3 else masks[-1])
    write_masks(path, np.stack(masks[1:]), opened.pixel_spacing_mm, mask_grid(opened))


def _summary(rows: list[dict[str, Any]], out: Path) -> dict[str, Any]:
    n = max(len(rows), 1)
    return {
        "frames": len(rows),
        "duty_cycle": sum(row["gate"] == "on" for row in rows) / n,
        "reasons": dict(Counter(row["reason"] for row in rows)),
        "status": dict(Counter(row["status"] or "none" for row in rows)),
        "out": str(out),
    }
