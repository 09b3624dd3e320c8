"""What the Set up page has done for it in a process of its own: files are read, contours judged, boundaries drawn.

Each function returns the body of an answer, and raises `ValueError` or `CinegateError` with one sentence.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import tomli_w

from cinegate.console.setup_plan import Plan, Shown, drawn_targets, organ_names, plan_config, with_organs
from cinegate.console.setup_recordings import catalogue, description, framed, opened
from cinegate.console.worker import WorkError
from cinegate.recordings import followed_recording
from cinegate.targets import make_targets
from drivers.recordings import Recording
from gating.errors import CinegateError
from gating.geometry.plane import ImagePlane
from gating.settings.config import Config, GatingSettings, to_toml
from gating.settings.rules import BoundaryRule
from gating.targets.from_settings import active_rules, structure_boundary
from gating.targets.spec import TargetSpec

MASK_SUFFIXES: Final = (".dcm", ".npy", ".mha", ".nii", ".nii.gz", ".png")
"""Files that are complete by themselves; a header that points to another file is not read."""


def list_recordings(folders: Sequence[Path]) -> bytes:
    """Return the names of the recordings that may be opened."""
    return _json(list(catalogue(folders)))


def open_shown(shown: Shown, folders: Sequence[Path]) -> bytes:
    """Open a recording and return what is known of it."""
    return _json(description(opened(shown, folders)))


def show_frame(shown: Shown, index: int, folders: Sequence[Path]) -> bytes:
    """Return one frame of a recording."""
    return framed(opened(shown, folders), index)


def outline(plan: Plan, folders: Sequence[Path]) -> bytes:
    """Judge what was drawn; return the boundaries of the targets that a rule gives one, and the gating settings."""
    gating, recording = plan_config(plan).gating, opened(plan.shown, folders)
    boundaries = _boundaries(plan, recording, gating)
    text = tomli_w.dumps({"gating": msgspec.to_builtins(gating)})
    return _json({"boundaries": boundaries, "gating": text, "margins": gating.margins})


def _boundaries(plan: Plan, recording: Recording, gating: GatingSettings) -> list[dict[str, Any]]:
    plane, organs = ImagePlane.of(recording), organ_names(plan)
    bounded = [
        one
        for one in drawn_targets(plan, recording.shape)
        if one.name not in organs and any(isinstance(rule, BoundaryRule) for rule in active_rules(one.name, gating))
    ]
    outlines = {one.name: structure_boundary(one.name, one.contour_px, plane, gating).outline_px for one in bounded}
    return [{"name": name, "boundary_px": points.tolist()} for name, points in outlines.items()]


def copy_outline(shown: Shown, data: bytes, file_name: str, structure: str, folders: Sequence[Path]) -> bytes:
    """Return the outline of a mask, or of a structure of an RTSTRUCT, in the plane that is shown.

    Of an RTSTRUCT without the name of a structure, their names are returned.
    """
    from drivers.recordings.rtstruct import structure_names

    suffix = next((one for one in reversed(MASK_SUFFIXES) if file_name.lower().endswith(one)), None)
    if suffix is None:
        raise WorkError(f"{file_name} is no mask or RTSTRUCT; {', '.join(MASK_SUFFIXES)} are read")
    recording = opened(shown, folders)
    with tempfile.TemporaryDirectory(prefix="cinegate-") as folder:
        path = Path(folder) / f"file{suffix}"
        path.write_bytes(data)
        try:
            if suffix == ".dcm" and not structure:
                return _json({"structures": structure_names(path)})
            (target,) = make_targets(f"{path}:{structure}" if structure else path, recording)
        except (CinegateError, ValueError) as error:
            raise WorkError(str(error).replace(str(path), file_name)) from None
    return _json({"points_px": target.contour_px.tolist()})


def bound_targets(plan: Plan, recording: Recording) -> list[TargetSpec]:
    """Return the targets of a plan with the image in which they were drawn, as `cinegate targets` does."""
    return make_targets(drawn_targets(plan, recording.shape), recording, plan.frame)


def dry_run(plan: Plan, seconds: float, latency_ms: float, folders: Sequence[Path]) -> bytes:
    """Follow the first target through a recording, and return what `cinegate prepare` proposes for it."""
    from gating.analysis.preparation import accepted_config, proposal_toml, propose

    recording = opened(plan.shown, folders)
    target = next(one for one in bound_targets(plan, recording) if one.name not in organ_names(plan))
    base = Config()
    proposal = propose(followed_recording(recording, [target], base, seconds), base, latency_ms=latency_ms)
    lines = proposal_toml(proposal, base, recording.name).splitlines(keepends=True)
    head = "".join(line for line in lines if line.startswith("#"))
    config = with_organs(accepted_config(proposal, base), plan.structures)
    boundaries = _boundaries(plan, recording, config.gating)
    shown = {"target": target.name, "head": head, "proposal": proposal, "boundaries": boundaries}
    return _json({**shown, "config": f"{head}\n{to_toml(config)}"})


def _json(content: Any) -> bytes:
    return msgspec.json.encode(content)
