"""Faults of identity: messages of another session, and a stream that nobody has declared."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from bench.faults.injections.registry import Steps, Unmet, faulty_frames, injects
from bench.faults.injections.restarts import GOOD_FRAMES_MS, forget_declaration, restart_engine
from bench.faults.link import Impairment
from bench.faults.scene import Scene
from bench.faults.scripted_source import changed
from gating.messages import BeamStatus, EngineState, SourceKind
from gating.wire.codec import encode, encode_frame

OTHER: Final = "another session"
BY_ITSELF: Final = "--arm-by-itself"


@injects("stream_undeclared")
def _(scene: Scene) -> Steps:
    scene.source.declares = False
    restart_engine(scene)
    yield
    scene.source.declares = True


@injects("live_stream_undeclared")
def _(scene: Scene) -> Steps:
    scene.source.declares = False
    stream = scene.source.stream
    scene.source.stream = replace(stream, source_kind=SourceKind.LIVE)
    restart_engine(scene)
    yield
    scene.source.stream = stream
    scene.source.declares = True


@injects("phantom_declared_as_live")
def _(scene: Scene) -> Steps:
    """The declaration says live, every frame says phantom."""
    stream = scene.source.stream
    scene.source.stream = replace(stream, source_kind=SourceKind.LIVE)
    scene.source.transform = lambda frame: [encode_frame(changed(frame, source_kind=SourceKind.PHANTOM))]
    restart_engine(scene)
    yield
    state = scene.messages.commands[-1][1].engine_state
    scene.source.stream = stream
    scene.calm()
    forget_declaration(scene)
    if state is not EngineState.LATCHED:
        raise Unmet(f"the engine was {state}, not latched")


@injects("live_stream_to_arm_by_itself")
def _(scene: Scene) -> Steps:
    stream = scene.source.stream
    scene.source.stream = replace(stream, source_kind=SourceKind.LIVE)
    restart_engine(scene, BY_ITSELF)
    yield
    scene.source.stream = stream
    forget_declaration(scene)


@injects("acknowledged_to_arm_by_itself")
def _(scene: Scene) -> Steps:
    """An engine that has armed by itself latches; an operator acknowledges, and arms nothing."""
    restart_engine(scene, BY_ITSELF)
    if not scene.wait(scene.messages.beam_is_on, 20):
        raise Unmet("the engine that arms by itself has not switched the beam on within 20 s")
    faulty_frames(scene, lambda frame: [encode_frame(changed(frame, image_position_mm=(9.0, 9.0, 9.0)))], 1)
    scene.wait(lambda: scene.messages.commands[-1][1].engine_state is EngineState.LATCHED, 5)
    reply = scene.ask("acknowledge", "the fault suite goes on")
    if reply is None or not reply.accepted:
        raise Unmet("the latch was not acknowledged")
    scene.pass_ms(GOOD_FRAMES_MS)
    yield


@injects("session_foreign_from_the_start")
def _(scene: Scene) -> Steps:
    stream = scene.source.stream
    scene.source.stream = replace(stream, session_id=OTHER)
    restart_engine(scene)
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
    yield from _asked_in_another_session(scene, "arm")


@injects("stop_of_another_session")
def _(scene: Scene) -> Steps:
    """The engine must live on; whether it does, the suite checks after every fault."""
    yield from _asked_in_another_session(scene, "stop")


def _asked_in_another_session(scene: Scene, action: str) -> Steps:
    scene.mark_visible()
    scene.ask("disarm")
    scene.pass_ms(150)
    scene.ask(action, session=OTHER)
    yield


@injects("end_of_another_session")
def _(scene: Scene) -> Steps:
    scene.next_frame()
    scene.mark_visible()
    scene.source.send(encode(scene.source.ending(OTHER)))
    yield
