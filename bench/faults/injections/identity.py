"""Faults of identity: messages of another session, and a stream that nobody has declared."""

from __future__ import annotations

import signal
from typing import Final

from msgspec.structs import replace

from bench.faults.injections.registry import Steps, Unmet, injects
from bench.faults.link import Impairment
from bench.faults.scene import Scene
from gating.messages import BeamStatus, SourceKind
from gating.wire.codec import encode

OTHER: Final = "another session"
GOOD_FRAMES_MS: Final = 1500.0
"""Time enough for the good frames that arming needs."""


def _restart_engine(scene: Scene) -> None:
    """Restart the engine, let it see frames, and ask it to arm."""
    scene.mark_visible()
    scene.end("engine", signal.SIGKILL)
    known = len(scene.messages.commands)
    scene.processes.start_engine()
    if not scene.wait(lambda: any(command.frame_sequence >= 0 for _, command in scene.messages.commands[known:]), 60):
        raise Unmet("the restarted engine has not decided on a frame within 60 s")
    scene.pass_ms(GOOD_FRAMES_MS)
    scene.ask("arm")


@injects("stream_undeclared")
def _(scene: Scene) -> Steps:
    scene.source.declares = False
    _restart_engine(scene)
    yield
    scene.source.declares = True


@injects("live_stream_undeclared")
def _(scene: Scene) -> Steps:
    scene.source.declares = False
    stream = scene.source.stream
    scene.source.stream = replace(stream, source_kind=SourceKind.LIVE)
    _restart_engine(scene)
    yield
    scene.source.stream = stream
    scene.source.declares = True


@injects("session_foreign_from_the_start")
def _(scene: Scene) -> Steps:
    stream = scene.source.stream
    scene.source.stream = replace(stream, session_id=OTHER)
    _restart_engine(scene)
    yield
    scene.source.stream = stream


@injects("recorder_of_another_session")
def _(scene: Scene) -> Steps:
    scene.mark_visible()
    scene.end("recorder")
    scene.processes.start_recorder(session=OTHER)
    yield
    scene.end("recorder")
    scene.processes.start_recorder()


@injects("beam_reports_of_another_session")
def _(scene: Scene) -> Steps:
    """The reports of this session's beam interface get lost, and those of another one take their place."""
    last = scene.messages.statuses[-1][1]
    scene.beam.impairment = Impairment(loss=1.0)
    scene.mark_visible()
    for _ in range(20):
        scene.beam.send(encode(_report(scene, last)))
        scene.pass_ms(20)
    yield
    scene.beam.impairment = Impairment()


def _report(scene: Scene, last: BeamStatus) -> BeamStatus:
    return replace(last, session_id=OTHER, command_sent_ns=scene.messages.commands[-1][1].stamps.sent_ns)


@injects("arm_of_another_session")
def _(scene: Scene) -> Steps:
    scene.mark_visible()
    scene.ask("disarm")
    scene.pass_ms(150)
    scene.ask("arm", session=OTHER)
    yield


@injects("end_of_another_session")
def _(scene: Scene) -> Steps:
    scene.next_frame()
    scene.mark_visible()
    scene.source.send(encode(scene.source.ending(OTHER)))
    yield
