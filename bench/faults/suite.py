"""Run the catalogue: reach a steady beam, inject, read the linac's own record of the beam, clear, and judge."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Final

from bench.faults.catalogue import TOLERANCE_MS, Fault
from bench.faults.injections import INJECTIONS, Unmet
from bench.faults.injections.origin import use_mrd_source
from bench.faults.injections.processes import start_source
from bench.faults.injections.registry import NotPossible
from bench.faults.judgement import Result, await_reaction, bound_ms, judge, measure
from bench.faults.scene import NotSettled, Scene
from bench.pauses import Pauses
from gating.session.log_writer import FLUSH_NS
from gating.settings.host import LAST_CORE

STEADY_MS: Final = 350.0
ON_THEIR_WAY_NS: Final = 50_000_000
"""Messages sent so shortly before a fault may not have reached the recorder; a killed one also loses unflushed ones."""
TRIES: Final = 3
"""On a busy machine the beam may be held just before an injection; then the fault is tried again."""
LEAST_PAUSE_MS: Final = 5.0
BATCH: Final = 12
"""Faults that one process takes at a time: few enough to share them out, many for each pipeline to start."""


class Scenes:
    """The pipelines of one seed, which run on from fault to fault and are replaced when one was not answered.

    What a failed one leaves goes to a folder of its own in `kept`; None: it is deleted.
    """

    def __init__(self, seed: int, engine_command: str, engine_core: int, kept: Path | None) -> None:
        self._seed = seed
        self._kept = kept
        self._engine_command = engine_command
        self._engine_core = engine_core
        self._kind = ""
        self._scene: Scene | None = None
        self._folder = Path()

    def get(self, kind: str) -> Scene:
        """Return a running pipeline of a kind."""
        if self._scene is None or self._kind != kind:
            self.drop()
            self._folder = Path(tempfile.mkdtemp(prefix="cgf-"))
            self._kind = kind
            self._scene = Scene(
                self._folder,
                self._seed,
                dtype="float32" if kind == "float32" else "uint16",
                engine_command="" if kind == "faulty" else self._engine_command,
                faulty=kind == "faulty",
                far=kind == "far",
                sites=kind == "sites",
                engine_core=self._engine_core,
            )
            self._scene.open()
            if kind == "replayed":
                _use_source_process(self._scene)
            elif kind == "mrd":
                use_mrd_source(self._scene)
        return self._scene

    def drop(self, failed: str = "") -> str:
        """End the running pipeline and delete its folder; if it `failed` a fault, return where the folder is kept."""
        scene, self._scene = self._scene, None
        if scene is None:
            return ""
        try:
            scene.close()
            return self._keep(failed) if failed and self._kept is not None else ""
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _keep(self, failed: str) -> str:
        assert self._kept is not None
        self._kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = tempfile.mkdtemp(prefix=f"{failed}-{self._seed}-", dir=self._kept)
        shutil.copytree(self._folder, folder, ignore=_sockets, dirs_exist_ok=True)
        return folder


def _sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if Path(folder, name).is_socket()]


def run_suite(
    faults: Sequence[Fault],
    *,
    seeds: int = 1,
    engine_command: str = "",
    tolerance_ms: float = TOLERANCE_MS,
    jobs: int = 1,
    kept: Path | None = None,
    progress: Callable[[Result], None] = lambda _: None,
) -> list[Result]:
    """Run faults once per seed. Each seed has its own frame rate, anatomy and timing.

    The results are in the order of seed and pipeline, whatever the number of jobs.

    Parameters
    ----------
    faults
        Faults to run.
    seeds
        Number of seeds.
    engine_command
        Command of the engine under test; empty for ours.
    tolerance_ms
        Time that the machine may add to a bound.
    jobs
        Pipelines that run side by side, each with a part of the faults, and its engine on a core of its own.
    kept
        Folder that gets what the pipeline of each fault that fails left, in a folder of its own; None: all is deleted.
    progress
        Called with each result.
    """
    ordered = sorted(faults, key=lambda one: one.scene)
    if jobs == 1:
        return [
            one
            for seed in range(seeds)
            for one in _run_batch(seed, ordered, engine_command, tolerance_ms, kept, progress)
        ]
    batches = [(seed, batch) for seed in range(seeds) for batch in _batches(ordered)]
    cores = sorted(os.sched_getaffinity(0))
    with ExitStack() as opened:
        spawned = multiprocessing.get_context("spawn")
        pools = [opened.enter_context(ProcessPoolExecutor(1, spawned)) for _ in range(jobs)]
        places: dict[Future[list[Result]], int] = {}
        for place, (seed, batch) in enumerate(batches):
            job = place % jobs
            core = cores[job % len(cores)]
            done = pools[job].submit(_run_batch, seed, batch, engine_command, tolerance_ms, kept, engine_core=core)
            places[done] = place
        found: dict[int, list[Result]] = {}
        for done in as_completed(places):
            found[places[done]] = done.result()
            for result in done.result():
                progress(result)
    return [result for place in range(len(batches)) for result in found[place]]


def _batches(ordered: Sequence[Fault]) -> Iterator[list[Fault]]:
    for _, group in groupby(ordered, key=lambda one: one.scene):
        same = list(group)
        yield from (same[first : first + BATCH] for first in range(0, len(same), BATCH))


def _run_batch(
    seed: int,
    faults: Sequence[Fault],
    engine_command: str,
    tolerance_ms: float,
    kept: Path | None,
    progress: Callable[[Result], None] = lambda _: None,
    *,
    engine_core: int = LAST_CORE,
) -> list[Result]:
    _raise_priority()
    results: list[Result] = []
    with _scenes(seed, engine_command, engine_core, kept) as scenes:
        for fault in faults:
            began_s = time.monotonic()
            result = _try(fault, scenes, tolerance_ms, seed, engine_command)
            if not (result.passed or result.skipped):
                _drop_failed(scenes, result)
            result.took_s = round(time.monotonic() - began_s, 2)
            results.append(result)
            progress(result)
    return results


def _drop_failed(scenes: Scenes, result: Result) -> None:
    """Keep what a failed fault left; whatever prevents that, the other faults are run."""
    try:
        result.kept = scenes.drop(failed=result.id)
    except (OSError, subprocess.SubprocessError) as error:
        result.why += f"; what it left is not kept: {error}"


def _raise_priority() -> None:
    """Raise the priority of this process and those it starts: otherwise a busy machine would be measured."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -15)


@contextmanager
def _scenes(seed: int, engine_command: str, engine_core: int, kept: Path | None) -> Iterator[Scenes]:
    scenes = Scenes(seed, engine_command, engine_core, kept)
    try:
        yield scenes
    finally:
        scenes.drop()


def _try(fault: Fault, scenes: Scenes, tolerance_ms: float, seed: int, engine_command: str) -> Result:
    result = Result(id=fault.id, family=fault.family, injected=fault.injected, reaction=fault.reaction, seed=seed)
    if engine_command and fault.inside_ours:
        result.skipped, result.why = True, "changes our own processes"
        return result
    for attempt in range(TRIES):
        chance = random.Random(f"{seed} {fault.id} {attempt}")
        try:
            if _watched(fault, scenes.get(fault.scene), result, tolerance_ms, chance):
                break
            result.why = "the beam was not on when the fault was injected"
        except NotPossible as reason:
            result.skipped, result.why = True, str(reason)
            break
        except (NotSettled, Unmet) as reason:
            result.passed, result.why = False, str(reason)
            break
        except Exception as error:  # noqa: BLE001 - whatever one fault does to the suite, the others are run
            result.passed, result.why = False, f"{type(error).__name__}: {error}"
            break
    return result


def _watched(fault: Fault, scene: Scene, result: Result, tolerance_ms: float, chance: random.Random) -> bool:
    """Run one fault, and note the longest pause of the machine meanwhile, which excuses nothing."""
    began_ns = time.monotonic_ns()
    with Pauses(LEAST_PAUSE_MS) as pauses:
        try:
            return _run(fault, scene, result, tolerance_ms, chance)
        finally:
            result.pause_ms = pauses.longest_ms(began_ns)


def _run(fault: Fault, scene: Scene, result: Result, tolerance_ms: float, chance: random.Random) -> bool:
    """Run one fault; return False if the beam was off before the fault. A fault that grows may be held as it grows."""
    scene.logs.mark()
    scene.settle(STEADY_MS)
    scene.pass_ms(chance.uniform(0, 2 * scene.interval_ms))
    began_ns = time.monotonic_ns()
    recorder, sent = scene.processes.running["recorder"], scene.sent(began_ns - round(STEADY_MS * 1e6))
    scene.messages.forget()
    result.bound_ms = round(bound_ms(fault, scene, tolerance_ms), 1)
    with closing(INJECTIONS[fault.id](scene)) as injection:
        next(injection)
        bound_ns = scene.visible_ns + round(result.bound_ms * 1e6)
        scene.pump(max(time.monotonic_ns(), bound_ns) + round(chance.uniform(100, 300) * 1e6))
        cleared_ns = time.monotonic_ns()
        next(injection, None)
    played = scene.played_ns >= began_ns
    came_ns = scene.played_ns if played else max(began_ns, min(scene.visible_ns, cleared_ns))
    if not _is_on(scene, came_ns) and (played or not _is_on(scene, began_ns)):
        return False
    held_until_ns, violations = await_reaction(fault, scene, cleared_ns)
    measure(fault, scene, result, bound_ns, held_until_ns)
    violations += judge(fault, scene, result)
    flush_ns = ON_THEIR_WAY_NS + (0 if recorder is scene.processes.running.get("recorder") else FLUSH_NS)
    lost = scene.logs.violations({one for one, at_ns in sent.items() if at_ns < began_ns - flush_ns})
    result.log_intact = not lost
    violations += lost
    result.why = "; ".join(violations)
    result.passed = not violations
    return True


def _is_on(scene: Scene, at_ns: int) -> bool:
    return any(on_ns < at_ns < off_ns for on_ns, off_ns in scene.on_intervals())


def _use_source_process(scene: Scene) -> None:
    """Let a real source process replay the calm patient instead of the scripted source."""
    import numpy as np

    shots = scene.book.calm
    np.savez(
        scene.folder / "calm.npz",
        frames=np.stack([scene.book.alive(shot.pixels, slot) for slot, shot in enumerate(shots)]),
        t_s=np.arange(len(shots)) / scene.book.rate_per_s,
        pixel_spacing_mm=np.array(scene.book.settings.pixel_spacing_mm),
        image_position_patient=np.array(scene.book.position_mm),
        image_orientation_patient=np.array(scene.book.orientation),
    )
    scene.source.close()
    start_source(scene)
