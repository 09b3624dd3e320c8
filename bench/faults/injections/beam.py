"""Faults of the beam line and of the link to it."""

from __future__ import annotations

import signal

from msgspec.structs import replace

from bench.faults.injections.registry import Steps, Unmet, injects
from bench.faults.link import Impairment
from bench.faults.scene import AFTER_DRAWING_MS, Scene
from gating.messages import GateCommand, GateState
from gating.wire.codec import encode

RENEWED_EVERY_MS = 15.0
RETURNS_WITHIN_S = 10.0


@injects("gate_cut")
def _(scene: Scene) -> Steps:
    yield from _impaired_gate(scene, Impairment(loss=1.0))


@injects("gate_delayed")
def _(scene: Scene) -> Steps:
    yield from _impaired_gate(scene, Impairment(delay_ms=400.0))


@injects("gate_cut_as_the_target_leaves")
def _(scene: Scene) -> Steps:
    """The hold that follows never arrives."""
    film = scene.book.motion(lambda t: -16.0 if t > 0.01 else 0.0, 1.0)
    scene.settle(AFTER_DRAWING_MS)
    scene.play(film[1:])
    scene.gate.impairment = Impairment(loss=1.0)
    scene.mark_visible()
    yield
    scene.gate.impairment = Impairment()
    scene.calm()


@injects("gate_reordered")
def _(scene: Scene) -> Steps:
    """Visible from the first command that arrives after a later one; until then commands are only late."""
    before_ns = scene.gate.overtaken_ns
    scene.gate.impairment = Impairment(jitter_ms=60.0)
    if not scene.wait(lambda: scene.gate.overtaken_ns > before_ns, 5.0):
        raise Unmet("no command overtook another within 5 s")
    scene.mark_visible(scene.gate.overtaken_ns)
    yield
    scene.gate.impairment = Impairment()


@injects("gate_doubled")
def _(scene: Scene) -> Steps:
    yield from _impaired_gate(scene, Impairment(doubling=1.0, jitter_ms=1.0))


@injects("gate_bits_flipped")
def _(scene: Scene) -> Steps:
    yield from _impaired_gate(scene, Impairment(bit_flips=1.0))


def _impaired_gate(scene: Scene, impairment: Impairment) -> Steps:
    scene.gate.impairment = impairment
    scene.mark_visible()
    yield
    scene.gate.impairment = Impairment()


@injects("acknowledgement_missing")
def _(scene: Scene) -> Steps:
    scene.beam.impairment = Impairment(loss=1.0)
    scene.mark_visible()
    yield
    scene.beam.impairment = Impairment()


@injects("acknowledgement_late")
def _(scene: Scene) -> Steps:
    scene.beam.impairment = Impairment(delay_ms=400.0)
    scene.mark_visible()
    yield
    scene.beam.impairment = Impairment()


@injects("gate_of_another_session")
def _(scene: Scene) -> Steps:
    other = replace(scene.messages.commands[-1][1], session_id="another-session", command_sequence=10**6)
    scene.gate.send(encode(other))
    scene.mark_visible()
    yield


@injects("old_command_replayed")
def _(scene: Scene) -> Steps:
    """An old beam-on command is sent again while the engine holds."""
    heard: list[GateCommand] = []

    def permits_beam() -> bool:
        heard[:] = [command for _, command in scene.messages.commands if command.state is GateState.ON]
        return bool(heard)

    if not scene.wait(permits_beam, 5.0):
        raise Unmet("no command permitted beam within 5 s")
    recorded = heard[-1]
    scene.source.paused = True
    scene.next_frame()
    scene.mark_visible(scene.source.slot_ns - scene.source.interval_ns)
    scene.pass_ms(scene.stale_ms + 100)
    for _ in range(10):
        scene.gate.send(encode(recorded))
        scene.pass_ms(20)
    yield
    scene.source.paused = False


@injects("endless_lease")
def _(scene: Scene) -> Steps:
    """A command permits the beam for a second, and no other follows."""
    yield from _lease_of(scene, 999.0)


@injects("lease_out_of_bounds")
def _(scene: Scene) -> Steps:
    """A command permits the beam for ten seconds, and no other follows."""
    yield from _lease_of(scene, 9999.0)


def _lease_of(scene: Scene, lease_ms: float) -> Steps:
    last = scene.messages.commands[-1][1]
    scene.gate.impairment = Impairment(loss=1.0)
    endless = replace(
        last, command_sequence=last.command_sequence + 1, state=GateState.ON, lease_ms=lease_ms, renewal=False
    )
    scene.gate.send(encode(endless))
    scene.mark_visible()
    yield
    scene.gate.impairment = Impairment()


def _switch(scene: Scene, order: str) -> Steps:
    scene.processes.switch_file.write_text(order, encoding="ascii")
    scene.mark_visible()
    yield
    scene.processes.switch_file.unlink()
    _new_beam(scene)


def _new_beam(scene: Scene) -> None:
    """Restart the beam interface: once latched, it permits the beam only after a restart."""
    scene.end("beam")
    scene.processes.start_beam()


@injects("line_unreadable")
def _(scene: Scene) -> Steps:
    yield from _switch(scene, "unreadable")


@injects("line_reads_on_while_held")
def _(scene: Scene) -> Steps:
    """The engine holds, but the line still reads back as on."""
    scene.processes.switch_file.write_text("reads_on", encoding="ascii")
    scene.source.paused = True
    scene.next_frame()
    scene.mark_visible(scene.source.slot_ns - scene.source.interval_ns)
    scene.pass_ms(scene.stale_ms + 200)
    yield
    scene.processes.switch_file.unlink()
    scene.source.paused = False
    _new_beam(scene)


@injects("line_stuck_at_hold")
def _(scene: Scene) -> Steps:
    yield from _after_a_hold(scene, "stuck_hold")


@injects("switch_slow_to_come_on")
def _(scene: Scene) -> Steps:
    yield from _after_a_hold(scene, "slow_on")


def _after_a_hold(scene: Scene, order: str) -> Steps:
    """Hold for a moment, so that the line is then driven to on again."""
    scene.source.paused = True
    scene.next_frame()
    scene.mark_visible(scene.source.slot_ns - scene.source.interval_ns)
    scene.pass_ms(scene.stale_ms)
    scene.processes.switch_file.write_text(order, encoding="ascii")
    scene.source.paused = False
    scene.pass_ms(10 * scene.interval_ms)
    yield
    scene.processes.switch_file.unlink()
    _new_beam(scene)


@injects("line_refuses_to_hold_twice")
def _(scene: Scene) -> Steps:
    """The line fails at the first two attempts to hold it, and obeys the third."""
    scene.processes.switch_file.write_text("raises 2", encoding="ascii")
    scene.source.paused = True
    scene.next_frame()
    scene.mark_visible(scene.source.slot_ns - scene.source.interval_ns)
    yield
    scene.source.paused = False
    scene.processes.switch_file.unlink()
    _new_beam(scene)


@injects("old_session_replayed_from_its_start")
def _(scene: Scene) -> Steps:
    """A new beam interface hears a recording of this session's commands, from a hold to beam on."""
    recorded = _recorded_return_of_the_beam(scene)
    _new_interface_alone(scene)
    for command in recorded:
        scene.gate.send(encode(command))
        scene.pass_ms(10)
    yield
    scene.processes.start_engine()


def _recorded_return_of_the_beam(scene: Scene) -> list[GateCommand]:
    """Hold for want of frames, let the beam return, and give back ten of the holds and twenty beam-ons."""
    for paused, state in ((True, GateState.HOLD), (False, GateState.ON)):
        scene.source.paused = paused
        _await_command(scene, state)
        scene.pass_ms(20 * RENEWED_EVERY_MS)
    states = [command.state for _, command in scene.messages.commands]
    returned = len(states) - states[::-1].index(GateState.HOLD)
    return [command for _, command in scene.messages.commands[returned - 10 : returned + 20]]


def _await_command(scene: Scene, state: GateState) -> None:
    if not scene.wait(lambda: scene.messages.commands[-1][1].state is state, RETURNS_WITHIN_S):
        raise Unmet(f"no command said {state} within {RETURNS_WITHIN_S:.0f} s")


@injects("first_engine_begins_with_beam_on")
def _(scene: Scene) -> Steps:
    """The first command that a new beam interface hears permits the beam."""
    last = scene.messages.commands[-1][1]
    known = len(scene.messages.statuses)
    _new_interface_alone(scene)
    scene.wait(lambda: len(scene.messages.statuses) > known, 20)
    interface_id = scene.messages.statuses[-1][1].interface_id
    for number in range(20):
        command = replace(last, state=GateState.ON, lease_ms=100.0, renewal=False, interface_id=interface_id)
        scene.gate.send(encode(replace(command, engine_id="impostor", command_sequence=number)))
        scene.pass_ms(10)
    yield
    scene.processes.start_engine()


def _new_interface_alone(scene: Scene) -> None:
    """Kill engine and beam interface, and start a new beam interface that hears no engine."""
    scene.mark_visible()
    scene.end("engine", signal.SIGKILL)
    scene.kill_beam()
    known = len(scene.messages.statuses)
    scene.processes.start_beam()
    scene.wait(lambda: len(scene.messages.statuses) > known, 20)
    scene.pass_ms(300)


@injects("engine_killed_behind_a_slow_gate")
def _(scene: Scene) -> Steps:
    """Commands come 60 ms late when the engine is killed: the last lease must not last longer for it."""
    scene.gate.impairment = Impairment(delay_ms=60.0)
    scene.pass_ms(200)
    scene.settle(400)
    scene.mark_visible()
    scene.end("engine", signal.SIGKILL)
    yield
    scene.gate.impairment = Impairment()
    scene.processes.start_engine()
