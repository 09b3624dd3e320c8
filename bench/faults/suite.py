"""Run the catalogue: reach a steady beam, inject, read the linac's own record of the beam, clear, and judge."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from bench.faults.catalogue import Catalogue, Fault
from bench.faults.injections import INJECTIONS, Unmet
from bench.faults.injections.processes import start_source
from bench.faults.injections.registry import NotPossible
from bench.faults.scene import NotSettled, Scene
from gating.messages import BeamStatus, EngineState, GateCommand, GateState
from gating.session.log_writer import FLUSH_NS

STEADY_MS: Final = 350.0
RESUME_S: Final = 10.0
ON_THEIR_WAY_NS: Final = 50_000_000
"""Messages sent so shortly before a fault may not have reached the recorder; a killed one also loses unflushed ones."""
PREPARED_NS: Final = 1_000_000_000
"""If a fault needs longer than this to appear, its preparation itself holds the beam."""
TRIES: Final = 3
"""On a busy machine the beam may be held just before an injection; then the fault is tried again."""


class Result(Struct, kw_only=True):
    """The result of one fault."""

    id: str
    family: str
    injected: str
    reaction: str
    reason: str = ""
    off_ms: float | None = None
    """Time from when the fault could first be noticed until the beam was off; None: it stayed on."""
    bound_ms: float = 0.0
    unsafe_on_ms: float = 0.0
    passed: bool = False
    seed: int = 0
    log_intact: bool | None = None
    """Whether the logs hold all that they held before the fault and their hash chains verify; None: not checked."""
    sentence: str = ""
    """The sentence for the operator."""
    why: str = ""
    """Why it did not pass, or was not run."""
    skipped: bool = False


class Scenes:
    """The pipelines of one seed, which run on from fault to fault and are replaced when no longer usable."""

    def __init__(self, seed: int, engine_command: str) -> None:
        self._seed = seed
        self._engine_command = engine_command
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
            )
            self._scene.open()
            if kind == "replayed":
                _use_source_process(self._scene)
        return self._scene

    def drop(self) -> None:
        """End the running pipeline."""
        scene, self._scene = self._scene, None
        if scene is not None:
            scene.close()
            shutil.rmtree(self._folder, ignore_errors=True)


def run_suite(
    catalogue: Catalogue,
    faults: Sequence[Fault],
    *,
    seeds: int = 1,
    engine_command: str = "",
    tolerance_ms: float | None = None,
    progress: Callable[[Result], None] = lambda _: None,
) -> list[Result]:
    """Run faults once per seed. Each seed has its own frame rate, anatomy and timing.

    Parameters
    ----------
    catalogue
        Catalogue of the faults, with the default tolerance.
    faults
        Faults to run.
    seeds
        Number of seeds.
    engine_command
        Command of the engine under test; empty for ours.
    tolerance_ms
        Time that the machine may add to a bound; by default that of the catalogue.
    progress
        Called with each result.
    """
    if tolerance_ms is None:
        tolerance_ms = catalogue.tolerance_ms
    _raise_priority()
    results: list[Result] = []
    for seed in range(seeds):
        with _scenes(seed, engine_command) as scenes:
            for fault in sorted(faults, key=lambda one: one.scene):
                result = _try(fault, scenes, tolerance_ms, seed, engine_command)
                results.append(result)
                progress(result)
    return results


def _raise_priority() -> None:
    """Raise the priority of this process and those it starts: otherwise a busy machine would be measured."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -15)


@contextmanager
def _scenes(seed: int, engine_command: str) -> Iterator[Scenes]:
    scenes = Scenes(seed, engine_command)
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
            if _run(fault, scenes.get(fault.scene), result, tolerance_ms, chance):
                break
            result.why = "the beam was not on when the fault was injected"
        except NotPossible as reason:
            result.skipped, result.why = True, str(reason)
            break
        except (NotSettled, Unmet) as reason:
            result.passed, result.why = False, str(reason)
            scenes.drop()
            break
        except Exception as error:  # noqa: BLE001 - whatever one fault does to the suite, the others are run
            result.passed, result.why = False, f"{type(error).__name__}: {error}"
            scenes.drop()
            break
    return result


def _run(fault: Fault, scene: Scene, result: Result, tolerance_ms: float, chance: random.Random) -> bool:
    """Run one fault; return False if the beam was off before the fault."""
    scene.logs.mark()
    scene.settle(STEADY_MS)
    scene.pass_ms(chance.uniform(0, 2 * scene.interval_ms))
    began_ns = time.monotonic_ns()
    recorder, sent = scene.processes.running["recorder"], scene.sent(began_ns - round(STEADY_MS * 1e6))
    scene.messages.forget()
    result.bound_ms = round(_bound_ms(fault, scene, tolerance_ms), 1)
    with closing(INJECTIONS[fault.id](scene)) as injection:
        next(injection)
        bound_ns = scene.visible_ns + round(result.bound_ms * 1e6)
        scene.pump(max(time.monotonic_ns(), bound_ns) + round(chance.uniform(100, 300) * 1e6))
        cleared_ns = time.monotonic_ns()
        next(injection, None)
    played = scene.played_ns >= began_ns
    came_ns = scene.played_ns if played else max(began_ns, min(scene.visible_ns, cleared_ns))
    was_on = any(on_ns < came_ns < off_ns for on_ns, off_ns in scene.on_intervals())
    if not was_on and (played or scene.visible_ns <= began_ns + PREPARED_NS):
        return False
    held_until_ns, violations = _afterwards(fault, scene, cleared_ns)
    _measure(fault, scene, result, bound_ns, held_until_ns)
    violations += _judge(fault, scene, result)
    flush_ns = ON_THEIR_WAY_NS + (0 if recorder is scene.processes.running.get("recorder") else FLUSH_NS)
    lost = scene.logs.violations({one for one, at_ns in sent.items() if at_ns < began_ns - flush_ns})
    result.log_intact = not lost
    violations += lost
    result.why = "; ".join(violations)
    result.passed = not violations
    if fault.reaction == "hold" and violations:
        scene.settle(STEADY_MS)
    return True


def _bound_ms(fault: Fault, scene: Scene, tolerance_ms: float) -> float:
    lease_ms = scene.lease_ms + tolerance_ms
    match fault.bound:
        case "lease":
            return lease_ms
        case "stale":
            return scene.stale_ms + tolerance_ms
        case "recorder":
            return scene.config.recording.max_silence_ms + tolerance_ms
        case "flush":
            return FLUSH_NS / 1e6 + lease_ms


def _afterwards(fault: Fault, scene: Scene, cleared_ns: int) -> tuple[int, list[str]]:
    """Return until when the beam had to be held, and what did not follow as it must."""
    if fault.reaction == "hold":
        try:
            deadline_s = time.monotonic() + RESUME_S
            while not scene.messages.beam_is_on() and time.monotonic() < deadline_s:
                scene.pass_ms(5)
        except OSError as error:
            return cleared_ns, [str(error)]
        back = scene.messages.beam_is_on()
        return cleared_ns, [] if back else [f"the beam did not come back by itself within {RESUME_S:g} s"]
    scene.wait(lambda: scene.messages.commands[-1][0] > cleared_ns and _waits_for_operator(scene), RESUME_S)
    scene.pass_ms(max(400.0, 4 * scene.interval_ms))
    held_until_ns = time.monotonic_ns()
    violations: list[str] = []
    if fault.reaction == "latch":
        if scene.messages.commands[-1][1].engine_state is not EngineState.LATCHED:
            violations.append(f"the engine is {scene.messages.commands[-1][1].engine_state}, not latched")
        for action, why in (("arm", ""), ("acknowledge", "")):
            reply = scene.ask(action, why)
            if reply is None or reply.accepted:
                violations.append(f"{action} without an acknowledgement and its reason was not refused")
        held_until_ns = time.monotonic_ns()
    return held_until_ns, violations


def _waits_for_operator(scene: Scene) -> bool:
    return scene.messages.commands[-1][1].engine_state in (EngineState.READY, EngineState.LATCHED)


def _measure(fault: Fault, scene: Scene, result: Result, bound_ns: int, held_until_ns: int) -> None:
    intervals = scene.on_intervals()
    running = [off_ns for on_ns, off_ns in intervals if on_ns <= scene.visible_ns < off_ns]
    off_ns = running[0] if running else scene.visible_ns
    until_ns = max(off_ns, bound_ns) if fault.momentary else held_until_ns
    never = bool(running) and off_ns >= until_ns
    result.off_ms = None if never else round((off_ns - scene.visible_ns) / 1e6, 1)
    unsafe_ns = sum(max(0, min(off, until_ns) - max(on, bound_ns)) for on, off in intervals)
    result.unsafe_on_ms = round(unsafe_ns / 1e6, 1)


def _judge(fault: Fault, scene: Scene, result: Result) -> list[str]:
    violations: list[str] = []
    if result.off_ms is None or result.off_ms > result.bound_ms:
        violations.append("the beam was not off in time")
    if result.unsafe_on_ms > 0:
        violations.append(f"the beam was on for {result.unsafe_on_ms:.1f} ms when it must not be")
    given = _reasons(scene)
    result.reason = next((reason for reason in given if reason in fault.reason), "")
    if not result.reason:
        result.reason = next(iter(given), "")
        violations.append(f"reasons given: {', '.join(given) or 'none'}; expected {' or '.join(fault.reason)}")
    result.sentence = given.get(result.reason, "")
    if result.reason and not result.sentence:
        violations.append(f"{result.reason} came without a sentence for the operator")
    return violations + scene.processes.died()


def _reasons(scene: Scene) -> dict[str, str]:
    """Return each reason given for a hold since the fault was visible, with its first sentence."""
    given: dict[str, str] = {}
    received: list[tuple[int, GateCommand | BeamStatus]] = [*scene.messages.commands, *scene.messages.statuses]
    for at_ns, message in sorted(received, key=lambda one: one[0]):
        state = message.state if isinstance(message, GateCommand) else message.commanded
        if at_ns >= scene.visible_ns and state is GateState.HOLD and not given.get(message.reason):
            given[message.reason] = message.detail
    for event in scene.messages.events:
        given[event.code] = given.get(event.code) or event.text
    return given


def _use_source_process(scene: Scene) -> None:
    """Let a real source process replay the calm patient instead of the scripted source."""
    import numpy as np

    shots = scene.book.calm
    np.savez(
        scene.folder / "calm.npz",
        frames=np.stack([shot.pixels for shot in shots]),
        t_s=np.arange(len(shots)) / scene.book.rate_per_s,
        pixel_spacing_mm=np.array(scene.book.settings.pixel_spacing_mm),
        image_position_patient=np.array(scene.book.position_mm),
        image_orientation_patient=np.array(scene.book.orientation),
    )
    scene.source.close()
    start_source(scene)
