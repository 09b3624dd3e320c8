"""Writes what was set up: a target file and a configuration in a folder of their own, over others only if asked."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from cinegate.console.setup_plan import Plan, next_commands, plan_config
from cinegate.console.setup_recordings import opened
from cinegate.console.setup_work import bound_targets
from cinegate.console.worker import WorkError
from cinegate.recordings import save_recording
from cinegate.verbs.app import CommandError
from cinegate.verbs.driver_options import driver_settings
from drivers.ports import CineSource, EndOfStream
from drivers.recordings.recording import checked_recording
from drivers.registry import load_source
from gating.messages import Pixels, StreamInfo
from gating.settings.config import parse_config, to_toml
from gating.settings.private_file import private_file
from gating.targets.target_file import write_targets

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
FILES: Final = ("targets.json", "config.toml")
MAX_LOOK_BYTES: Final = 256 * 2**20
_POLL_MS: Final = 200


def check_name(name: str) -> str:
    """Return the name of a folder. Raises `WorkError`."""
    if not _NAME.fullmatch(name):
        raise WorkError(f"name is {name[:80]!r}; 1 to 64 letters, digits, dots, dashes and underscores are needed")
    return name


def save(
    plan: Plan, name: str, replace: bool, accepted: str, by: str, operator: str, into: Path, folders: Sequence[Path]
) -> bytes:
    """Write the target file and the configuration, and return their folder and the commands that use them.

    Parameters
    ----------
    plan
        What was set up.
    name
        Of the folder, in `into`.
    replace
        Whether files of the same name may be written over.
    accepted
        Configuration of an accepted proposal, in the place of the plan's own; may be empty.
    by
        Who accepted it.
    operator
        Of the console.
    """
    recording, folder = opened(plan.shown, folders), into / check_name(name)
    targets = bound_targets(plan, recording)
    if plan.source:
        source_settings(plan.source, plan.options)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    drawn = f"Set up by {operator} at {at} on {recording.name}, frame {plan.frame}."
    preset = f"preset {plan.preset}" if plan.preset else "default settings"
    text = f"# {drawn}\n# {f'Accepted by {by} at {at}.' if accepted else f'From the {preset}.'}\n"
    text += accepted or f"\n{to_toml(plan_config(plan))}"
    parse_config(text, "configuration")
    existing = [file for file in FILES if (folder / file).exists()]
    if existing and not replace:
        raise WorkError(f"{folder} holds {' and '.join(existing)} already; choose another name, or allow to replace")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=folder) as partial:
        write_targets(Path(partial) / FILES[0], targets)
        private_file(Path(partial) / FILES[1]).write_text(text, encoding="utf-8")
        for file in FILES:
            (Path(partial) / file).replace(folder / file)
    commands = next_commands(plan, recording.path.resolve(), folder, operator)
    return msgspec.json.encode({"folder": str(folder), "files": FILES, "commands": commands})


def source_settings(name: str, options: Sequence[str]) -> Any:
    """Return the settings of a source, as `-o` sets them. Raises `WorkError`, `Unavailable`."""
    try:
        return driver_settings(load_source(name), name, list(options))
    except CommandError as error:
        raise WorkError(str(error)) from None


def look(name: str, options: Sequence[str], seconds: float, into: Path) -> bytes:
    """Take the images of a source for some seconds into a recording in a folder, and return its name in the catalogue.

    Of a source with several planes, those of the first one are taken.
    """
    source = load_source(name)(source_settings(name, options))
    try:
        info = source.open()
        stamps, frames = _take(source, info, seconds)
    finally:
        source.close()
    path = into / f"{name}_{datetime.now(UTC):%Y%m%dT%H%M%S}.npz"
    recording = checked_recording(
        path=path,
        frames=frames,
        shape=info.shape,
        dtype=info.dtype,
        stamps_ns=np.array(stamps, np.int64),
        pixel_spacing_mm=info.pixel_spacing_mm,
        given_spacing_mm=None,
        image_orientation=info.image_orientation,
        image_position_mm=info.image_position_mm,
        description=f"{info.source_kind} source {name}, {info.description}",
    )
    into.mkdir(parents=True, exist_ok=True, mode=0o700)
    save_recording(recording, path)
    return msgspec.json.encode({"recording": os.path.relpath(path, into.parent)})


def _take(source: CineSource, info: StreamInfo, seconds: float) -> tuple[list[int], list[Pixels]]:
    """Return stamps, ns, and images of the first plane that comes; stamps that do not grow are left out."""
    stamps: list[int] = []
    frames: list[Pixels] = []
    plane, pixels = "", np.empty(info.shape, info.dtype)
    with contextlib.suppress(EndOfStream):
        while not stamps or stamps[-1] - stamps[0] < seconds * 1e9:
            stamp = source.read_into(pixels, _POLL_MS)
            if stamp is None:
                continue
            plane = plane or stamp.plane
            if stamp.plane == plane and (not stamps or stamp.acquired_ns > stamps[-1]):
                stamps.append(stamp.acquired_ns)
                frames.append(pixels.copy())
            if len(frames) * pixels.nbytes > MAX_LOOK_BYTES:
                break
    return stamps, frames
