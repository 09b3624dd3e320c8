"""Faults of a session log that is taken away from its recorder, or changed under it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.faults.injections.disk import new_recorder, own_disk
from bench.faults.injections.registry import Steps, injects
from bench.faults.scene import Scene


def _replace(log: Path) -> None:
    other = log.with_name("other")
    shutil.copyfile(log, other)
    other.replace(log)


def _overwrite(log: Path) -> None:
    with log.open("r+b") as stream:
        stream.seek(log.stat().st_size // 2)
        stream.write(bytes(16))


def _append(log: Path) -> None:
    with log.open("ab") as stream:
        stream.write(bytes(16))


DAMAGES: Final[dict[str, Callable[[Path], object]]] = {
    "log_truncated": lambda log: os.truncate(log, log.stat().st_size // 2),
    "log_unlinked": Path.unlink,
    "log_renamed": lambda log: log.rename(log.with_name("renamed.mcap")),
    "log_replaced": _replace,
    "log_folder_removed": lambda log: shutil.rmtree(log.parent),
    "log_overwritten": _overwrite,
    "log_appended_to": _append,
}


def _injection(damage: Callable[[Path], object]) -> Callable[[Scene], Steps]:
    def inject(scene: Scene) -> Steps:
        folder = scene.folder / "lost"
        folder.mkdir(exist_ok=True)
        log = _record_to(scene, folder)
        scene.mark_visible()
        damage(log)
        yield
        new_recorder(scene, None)
        shutil.rmtree(folder, ignore_errors=True)

    return inject


for _fault, _damage in DAMAGES.items():
    injects(_fault)(_injection(_damage))


@injects("disk_taken_away")
def _(scene: Scene) -> Steps:
    """The file system of the log is detached; the recorder still holds its file open."""
    folder = own_disk(scene, "16m")
    try:
        _record_to(scene, folder)
    finally:
        scene.mark_visible()
        subprocess.run(["umount", "-l", str(folder)], check=False)
    yield
    new_recorder(scene, None)


def _record_to(scene: Scene, folder: Path) -> Path:
    """Start a new recorder in a folder; return its log once the beam is steady."""
    scene.end("recorder")
    beats = len(scene.messages.recorder_beats)
    log = scene.processes.start_recorder(folder)
    scene.wait(lambda: len(scene.messages.recorder_beats) > beats + 3, 20)
    scene.settle(600)
    return log
