"""Faults of the processes: killed, stopped, restarted, doubled, or failing inside."""

from __future__ import annotations

import signal
import sys

import zmq
from msgspec.structs import replace

from bench.faults.injections.registry import Steps, Unmet, injects
from bench.faults.scene import Scene
from gating.messages import EngineState, GateState
from gating.wire.codec import encode
from gating.wire.sockets import bind


@injects("engine_killed")
def _(scene: Scene) -> Steps:
    scene.mark_visible()
    scene.end("engine", signal.SIGKILL)
    yield
    scene.processes.start_engine()


@injects("engine_stopped")
def _(scene: Scene) -> Steps:
    scene.mark_visible()
    scene.processes.send("engine", signal.SIGSTOP)
    yield
    scene.processes.send("engine", signal.SIGCONT)


@injects("engine_terminated")
def _(scene: Scene) -> Steps:
    scene.mark_visible()
    scene.processes.send("engine", signal.SIGTERM)
    yield
    code = scene.await_end("engine")
    scene.processes.start_engine()
    if code != 0:
        raise Unmet(f"the engine was told to end and ended with code {code}")


@injects("engine_restarted_at_once")
def _(scene: Scene) -> Steps:
    scene.mark_visible()
    scene.end("engine", signal.SIGKILL)
    scene.processes.start_engine()
    yield


@injects("beam_interface_killed")
def _(scene: Scene) -> Steps:
    scene.mark_visible()
    scene.kill_beam()
    yield
    scene.processes.start_beam()


@injects("beam_interface_terminated")
def _(scene: Scene) -> Steps:
    scene.mark_visible()
    code = scene.end("beam")
    yield
    scene.processes.start_beam()
    if code != 0:
        raise Unmet(f"the beam interface was told to end and ended with code {code}")


@injects("recorder_killed")
def _(scene: Scene) -> Steps:
    scene.mark_visible()
    scene.end("recorder", signal.SIGKILL)
    yield
    scene.processes.start_recorder()


@injects("recorder_terminated")
def _(scene: Scene) -> Steps:
    scene.mark_visible()
    scene.end("recorder")
    yield
    scene.processes.start_recorder()


def _order(scene: Scene, order: str) -> None:
    scene.processes.fault_file.write_text(order, encoding="ascii")
    scene.next_frame()
    scene.mark_visible(scene.source.sent_ns)


@injects("tracker_raises")
def _(scene: Scene) -> Steps:
    _order(scene, "raise")
    yield


def _ordered(fault_id: str, order: str) -> None:
    def inject(scene: Scene) -> Steps:
        _order(scene, order)
        yield

    injects(fault_id)(inject)


_ordered("tracker_ends_the_process", "exit")
_ordered("tracker_gives_nothing", "nothing")
_ordered("tracker_fails_after_the_frame", "unfinished")
_ordered("tracker_confidence_7", "confident")
_ordered("tracker_confidence_nan", "confidence-nan")
_ordered("tracker_confidence_none", "confidence-none")
_ordered("tracker_far_outside", "far")
_ordered("tracker_centre_nan", "centre-nan")
_ordered("tracker_status_unknown", "status")
_ordered("tracker_score_40", "score")
_ordered("tracker_contour_nan", "contour-nan")
_ordered("tracker_contour_empty", "contour-empty")


@injects("tracker_cannot_be_made")
def _(scene: Scene) -> Steps:
    """The engine is restarted while its tracker cannot be made."""
    scene.mark_visible()
    scene.end("engine", signal.SIGKILL)
    scene.processes.fault_file.write_text("unmade", encoding="ascii")
    scene.processes.start_engine()
    scene.wait(lambda: scene.messages.commands[-1][1].reason == "tracker_fault", 20.0)
    yield


@injects("tracker_hangs")
def _(scene: Scene) -> Steps:
    _order(scene, "hang")
    yield
    scene.end("engine", signal.SIGKILL)
    scene.processes.start_engine()


@injects("tracker_pauses")
def _(scene: Scene) -> Steps:
    _order(scene, "sleep 0.4")
    yield


@injects("collector_pause")
def _(scene: Scene) -> Steps:
    _order(scene, "collect 6000000")
    yield


@injects("memory_exhausted")
def _(scene: Scene) -> Steps:
    _order(scene, "memory")
    yield


@injects("engine_killed_child_survives")
def _(scene: Scene) -> Steps:
    """A fork of the engine inherits its sockets. The engine is killed; the child lives on."""
    _order(scene, "fork")
    scene.next_frame()
    scene.settle(100)
    scene.mark_visible()
    scene.end("engine", signal.SIGKILL)
    yield
    scene.processes.start_engine()


@injects("two_engines")
def _(scene: Scene) -> Steps:
    """A second engine commands beam on at the same beam interface."""
    last = scene.messages.commands[-1][1]
    scene.mark_visible()
    for number in range(10**6, 10**6 + 4):
        second = replace(last, engine_id="impostor", command_sequence=number, state=GateState.ON, lease_ms=100.0)
        scene.gate.send(encode(second))
        scene.pass_ms(20)
    yield


@injects("second_engine_on_the_same_endpoint")
def _(scene: Scene) -> Steps:
    """Another process binds the gate endpoint and commands beam on while the engine is killed."""
    last = scene.messages.commands[-1][1]
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        thief = bind(context, zmq.PUB, scene.config.endpoints.gate)
    except zmq.ZMQError:
        context.destroy(linger=0)
        raise Unmet("the endpoint of a running engine could not be bound again, which this fault needs") from None
    scene.mark_visible()
    scene.end("engine", signal.SIGKILL)
    for number in range(20):
        state = replace(last, engine_id="thief", command_sequence=number, state=GateState.ON, lease_ms=100.0)
        thief.send_multipart(encode(replace(state, renewal=False)))
        scene.pass_ms(20)
    yield
    context.destroy(linger=0)
    scene.processes.start_engine()


@injects("source_process_killed")
def _(scene: Scene) -> Steps:
    yield from _end_source(scene, signal.SIGKILL)


@injects("source_process_stopped")
def _(scene: Scene) -> Steps:
    scene.mark_visible()
    scene.processes.send("source", signal.SIGSTOP)
    yield
    scene.processes.send("source", signal.SIGCONT)


@injects("source_process_terminated")
def _(scene: Scene) -> Steps:
    yield from _end_source(scene, signal.SIGTERM)


def _end_source(scene: Scene, number: int) -> Steps:
    scene.mark_visible()
    scene.end("source", number)
    scene.pass_ms(1200)
    start_source(scene)
    scene.wait(lambda: scene.messages.commands[-1][1].engine_state is EngineState.LATCHED, 30)
    yield


def start_source(scene: Scene) -> None:
    """Replay the scene's recording from a real source process."""
    command = [sys.executable, "-m", "cinegate", "source", str(scene.folder / "calm.npz"), "--loop"]
    command += ["--session", scene.session, "--config", str(scene.folder / "engine.toml")]
    scene.processes.start("source", command)
