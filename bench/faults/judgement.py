"""Whether a fault was answered as the catalogue requires: beam off in time, with a reason, and back as it should be."""

from __future__ import annotations

import time
from typing import Final

from msgspec import Struct

from bench.faults.catalogue import Fault
from bench.faults.scene import Scene
from gating.messages import BeamStatus, EngineState, GateCommand, GateState
from gating.session.log_writer import FLUSH_NS
from gating.stream.stillness import COMPARE_OVER_NS, LOOK_EVERY_NS

RESUME_S: Final = 10.0


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
    took_s: float = 0.0
    """Time that this fault took the suite, with the way to a steady beam, every try, and a new pipeline if needed."""
    pause_ms: float | None = None
    """Longest time for which the machine did not run the suite beside the fault (`bench.pauses`); None: not run."""
    kept: str = ""
    """Folder with what the pipeline of a failed fault left; empty: nothing was kept."""


def bound_ms(fault: Fault, scene: Scene, tolerance_ms: float) -> float:
    """Return the time within which the beam must be off, ms."""
    lease_ms = scene.lease_ms + tolerance_ms
    match fault.bound:
        case "lease":
            return lease_ms
        case "still":
            reference_ms = (COMPARE_OVER_NS + LOOK_EVERY_NS) / 1e6 + 2 * scene.interval_ms
            return scene.config.health.max_still_s * 1e3 + reference_ms + lease_ms
        case "stale":
            return scene.stale_ms + tolerance_ms
        case "recorder":
            return scene.config.recording.max_silence_ms + tolerance_ms
        case "flush":
            return FLUSH_NS / 1e6 + lease_ms


def await_reaction(fault: Fault, scene: Scene, cleared_ns: int) -> tuple[int, list[str]]:
    """Wait for the reaction that the catalogue requires; return until when the beam had to be held, and what failed."""
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


def measure(fault: Fault, scene: Scene, result: Result, bound_ns: int, held_until_ns: int) -> None:
    """Note when the beam was off, and for how long it was on when it must not be."""
    intervals = scene.on_intervals()
    running = [off_ns for on_ns, off_ns in intervals if on_ns <= scene.visible_ns < off_ns]
    off_ns = running[0] if running else scene.visible_ns
    until_ns = max(off_ns, bound_ns) if fault.momentary else held_until_ns
    never = bool(running) and off_ns >= until_ns
    result.off_ms = None if never else round((off_ns - scene.visible_ns) / 1e6, 1)
    unsafe_ns = sum(max(0, min(off, until_ns) - max(on, bound_ns)) for on, off in intervals)
    result.unsafe_on_ms = round(unsafe_ns / 1e6, 1)


def judge(fault: Fault, scene: Scene, result: Result) -> list[str]:
    """Note the reason and its sentence; return what is not as the catalogue requires."""
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
