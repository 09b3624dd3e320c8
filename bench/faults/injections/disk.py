"""Faults of the disk under the session log."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from pathlib import Path

from bench.faults.injections.registry import NotPossible, Steps, Unmet, injects
from bench.faults.scene import Scene
from gating.messages import CineFrame
from gating.session.chain_check import check_chain
from gating.session.log import read_session


@injects("log_may_not_grow")
def _(scene: Scene) -> Steps:
    """The file size limit of the recorder is set to the current size of the log."""
    recorder, log = scene.processes.running["recorder"], newest_log(scene)
    size = log.stat().st_size
    resource.prlimit(recorder.pid, resource.RLIMIT_FSIZE, (size, size))
    scene.mark_visible()
    yield
    new_recorder(scene, log)


@injects("disk_full")
def _(scene: Scene) -> Steps:
    """The file system of the log, a small one of its own, is filled to the last byte."""
    folder = own_disk(scene, "16m")
    try:
        scene.end("recorder")
        beats = len(scene.messages.recorder_beats)
        log = scene.processes.start_recorder(folder)
        scene.wait(lambda: len(scene.messages.recorder_beats) > beats + 3, 20)
        scene.settle(600)
        with (folder / "filler").open("wb") as filler:
            try:
                while True:
                    os.write(filler.fileno(), bytes(4096))
            except OSError:
                pass
        scene.mark_visible()
        yield
        new_recorder(scene, log)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


@injects("disk_read_only")
def _(scene: Scene) -> Steps:
    """A new recorder finds its folder read-only."""
    folder = own_disk(scene, "1m")
    try:
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        scene.end("recorder")
        beats = len(scene.messages.recorder_beats)
        scene.processes.start_recorder(folder)
        scene.wait(lambda: len(scene.messages.recorder_beats) > beats, 20)
        scene.mark_visible(scene.messages.recorder_beats[beats][0])
        yield
        new_recorder(scene, None)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


@injects("log_exists_already")
def _(scene: Scene) -> Steps:
    """A new recorder is told to write over a log, which must stay unchanged."""
    taken = scene.folder / "taken"
    taken.mkdir(exist_ok=True)
    for number in range(1, 200):
        (taken / f"{number}.mcap").write_text("precious")
    scene.end("recorder")
    beats = len(scene.messages.recorder_beats)
    log = scene.processes.start_recorder(taken)
    scene.wait(lambda: len(scene.messages.recorder_beats) > beats, 20)
    scene.mark_visible(scene.messages.recorder_beats[beats][0])
    yield
    if log.read_text() != "precious":
        raise Unmet(f"{log.name} was overwritten")
    new_recorder(scene, None)


@injects("disk_slow")
def _(scene: Scene) -> Steps:
    """The recorder stands still, as in a write that does not return."""
    scene.processes.send("recorder", signal.SIGSTOP)
    scene.mark_visible()
    yield
    scene.processes.send("recorder", signal.SIGCONT)


@injects("log_writer_killed")
def _(scene: Scene) -> Steps:
    """The recorder is killed; cut at any byte, its log must be readable up to the last whole record."""
    log = newest_log(scene)
    scene.mark_visible()
    scene.end("recorder", signal.SIGKILL)
    yield
    scene.processes.start_recorder()
    _check_readable_at_any_byte(scene, log)


def _check_readable_at_any_byte(scene: Scene, log: Path) -> None:
    data = log.read_bytes()
    torn = scene.folder / "torn.mcap"
    before = -1
    for end in range(len(data), 8, -max(1, len(data) // 23)):
        torn.write_bytes(data[:end])
        frames = sum(isinstance(record.message, CineFrame) for record in read_session(torn))
        if before >= 0 and not frames <= before:
            raise Unmet(f"{frames} frames in the first {end} bytes of a log, {before} in a longer part")
        before = frames
    torn.unlink()


def newest_log(scene: Scene) -> Path:
    """Return the log that is being written."""
    return max(scene.processes.log_folder.glob("*.mcap"), key=lambda path: path.stat().st_mtime_ns)


def new_recorder(scene: Scene, log: Path | None) -> None:
    """End the recorder, whose log must be readable and unbroken if it is given, and start another."""
    if log is not None:
        kept = sum(isinstance(record.message, CineFrame) for record in read_session(log))
        if kept == 0:
            raise Unmet(f"nothing of {log.name} can be read")
        if broken := check_chain(log).broken:
            raise Unmet(f"{log.name}: {broken}")
    scene.end("recorder")
    scene.processes.start_recorder()


def own_disk(scene: Scene, size: str) -> Path:
    """Return a folder that is a file system of its own; raise `NotPossible` where that is not permitted."""
    folder = scene.folder / f"disk{size}"
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        raise NotPossible("a file system of its own needs permission to mount")
    return folder
