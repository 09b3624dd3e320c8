"""The engine is restarted: parts that several injections share."""

from __future__ import annotations

import signal
from typing import Final

from bench.faults.injections.registry import Unmet
from bench.faults.scene import Scene
from gating.messages import EngineState

GOOD_FRAMES_MS: Final = 1500.0
"""Time enough for the good frames that arming needs."""


def restart_engine(scene: Scene, *options: str, arm: bool = True) -> None:
    """Restart the engine, let it see frames, and ask it to arm unless it is to arm by itself, or `arm` is False."""
    scene.mark_visible()
    scene.end("engine", signal.SIGKILL)
    known = len(scene.messages.commands)
    scene.processes.start_engine(*options)
    if not scene.wait(lambda: any(command.frame_sequence >= 0 for _, command in scene.messages.commands[known:]), 60):
        raise Unmet("the restarted engine has not decided on a frame within 60 s")
    if scene.messages.commands[-1][1].engine_state is EngineState.LATCHED:
        scene.ask("acknowledge", "an operator tries to go on")
    scene.pass_ms(GOOD_FRAMES_MS)
    if arm and not options:
        scene.arm()


def forget_declaration(scene: Scene) -> None:
    """Replace an engine that is bound to a declaration which does not hold any more."""
    scene.end("engine", signal.SIGKILL)
    scene.processes.start_engine()
