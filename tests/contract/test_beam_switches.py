"""What every beam switch must do. A switch's own class inherits `BeamSwitchContract` and supplies a bench."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from drivers.beam.simulated import SimulatedLinac, line_level, read_delivery_record
from drivers.errors import BeamFault
from drivers.ports import BeamSwitch
from gating.clocks.clock import ManualClock
from gating.messages import GateState
from gating.settings.config import LinacSettings
from tests.patience import shortest_s

LONGEST_CALL_MS = {"on": 5.0, "read": 5.0, "open": 50.0, "close": 50.0}
"""Of five calls the shortest counts: a loaded machine may stop any one of them."""


@dataclass(frozen=True)
class Bench:
    """A switch, and eyes on its line that do not go through the switch."""

    switch: BeamSwitch
    line: Callable[[], GateState]
    settle: Callable[[], None]
    turn_on_elsewhere: str
    """Python text that opens such a switch in another process, turns it on, prints 'on' and waits."""
    come_to_rest: Callable[[], None] = lambda: None
    """After close or death: wait for a line that another process holds, at the end of a lease."""


class BeamSwitchContract:
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        raise NotImplementedError

    def test_is_held_after_construction_open_close_exception_and_death(self, bench: Bench) -> None:
        assert bench.line() is GateState.HOLD
        bench.switch.open()
        assert bench.line() is GateState.HOLD

        bench.switch.set_beam(GateState.ON)
        with pytest.raises(BeamFault, match="neither hold nor on"):
            bench.switch.set_beam("beam on please")  # type: ignore[arg-type]
        assert bench.line() is GateState.HOLD

        bench.switch.set_beam(GateState.ON)
        bench.switch.close()
        bench.come_to_rest()
        assert bench.line() is GateState.HOLD

        process = subprocess.Popen([sys.executable, "-c", bench.turn_on_elsewhere], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "on"
            assert bench.line() is GateState.ON
        finally:
            process.kill()
            process.communicate()
        bench.come_to_rest()
        assert bench.line() is GateState.HOLD

    def test_fulfils_the_protocol(self, bench: Bench) -> None:
        assert isinstance(bench.switch, BeamSwitch)
        assert bench.switch.kind in ("simulated", "hardware")
        assert 0 < bench.switch.settle_ms < 10_000

    def test_switches_on_and_off_and_reads_back(self, bench: Bench) -> None:
        bench.switch.open()
        for state in (GateState.ON, GateState.HOLD, GateState.ON):
            bench.switch.set_beam(state)
            assert bench.line() is state
            bench.settle()
            assert bench.switch.read_back() is state

    def test_opening_again_after_close_starts_held(self, bench: Bench) -> None:
        bench.switch.open()
        bench.switch.set_beam(GateState.ON)
        bench.switch.close()
        bench.come_to_rest()
        bench.switch.open()
        assert bench.line() is GateState.HOLD

    def test_open_twice_and_close_twice_are_harmless(self, bench: Bench) -> None:
        bench.switch.close()
        bench.switch.open()
        bench.switch.open()
        bench.switch.close()
        bench.switch.close()
        bench.come_to_rest()
        assert bench.line() is GateState.HOLD

    def test_a_closed_switch_refuses(self, bench: Bench) -> None:
        with pytest.raises(BeamFault, match="not open"):
            bench.switch.set_beam(GateState.ON)
        with pytest.raises(BeamFault, match="not open"):
            bench.switch.read_back()

    def test_every_call_returns_in_time(self, bench: Bench) -> None:
        switch = bench.switch
        calls = {"open": switch.open, "on": lambda: switch.set_beam(GateState.ON), "read": switch.read_back}
        calls["close"] = switch.close
        rounds = [{name: shortest_s(call, 0, tries=1) * 1e3 for name, call in calls.items()} for _ in range(5)]
        shortest_ms = {name: min(took[name] for took in rounds) for name in calls}
        assert all(took_ms < LONGEST_CALL_MS[name] for name, took_ms in shortest_ms.items()), shortest_ms


class TestSimulatedLinacSwitch(BeamSwitchContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        clock, record = ManualClock(10**9), tmp_path / "delivery.csv"
        record.touch()
        switch = SimulatedLinac(clock=clock, record_path=record)
        elsewhere = (
            "import time; from pathlib import Path; from drivers.beam.simulated import SimulatedLinac;"
            "from gating.messages import GateState;"
            f"linac = SimulatedLinac(record_path=Path({str(record)!r})); linac.open(); linac.set_beam(GateState.ON);"
            "print('on', flush=True); time.sleep(30)"
        )

        def line() -> GateState:
            return switch.line if switch.line is GateState.ON else line_level(record)

        return Bench(switch, line, lambda: clock.advance_ms(switch.settle_ms), elsewhere)


class TestSimulatedLinac:
    SETTINGS = LinacSettings(beam_on_delay_ms=50, beam_off_delay_ms=20, jitter_ms=0)

    def test_the_beam_follows_the_line_after_its_delays(self) -> None:
        clock = ManualClock()
        linac = SimulatedLinac(self.SETTINGS, clock=clock)
        linac.open()
        linac.set_beam(GateState.ON)
        clock.advance_ms(200)
        linac.set_beam(GateState.HOLD)
        clock.advance_ms(200)
        assert [(change.t_ns / 1e6, change.beam_on) for change in linac.delivery_record()] == [(50, True), (220, False)]

    def test_a_line_that_falls_before_the_beam_came_delivers_nothing(self) -> None:
        clock = ManualClock()
        linac = SimulatedLinac(self.SETTINGS, clock=clock)
        linac.open()
        linac.set_beam(GateState.ON)
        clock.advance_ms(10)
        linac.set_beam(GateState.HOLD)
        clock.advance_ms(500)
        assert linac.delivery_record() == []

    def test_a_slow_beam_off_lets_a_beam_through_that_was_under_way(self) -> None:
        clock = ManualClock()
        linac = SimulatedLinac(LinacSettings(beam_on_delay_ms=20, beam_off_delay_ms=80, jitter_ms=0), clock=clock)
        linac.open()
        linac.set_beam(GateState.ON)
        clock.advance_ms(10)
        linac.set_beam(GateState.HOLD)
        clock.advance_ms(500)
        assert [(change.t_ns / 1e6, change.beam_on) for change in linac.delivery_record()] == [(20, True), (90, False)]

    def test_jitter_is_seeded_and_bounded_by_the_settling_time(self) -> None:
        def delays(seed: int) -> list[float]:
            clock = ManualClock()
            linac = SimulatedLinac(LinacSettings(jitter_ms=10), seed=seed, clock=clock)
            linac.open()
            for _ in range(100):
                linac.set_beam(GateState.ON)
                clock.advance_ms(linac.settle_ms)
                linac.set_beam(GateState.HOLD)
                clock.advance_ms(linac.settle_ms)
            return [change.t_ns / 1e6 - i * linac.settle_ms for i, change in enumerate(linac.delivery_record())]

        first = delays(1)
        assert first == delays(1) != delays(2)
        assert len(first) == 200
        assert 40 < sum(first[::2]) / 100 < 60
        assert max(first) <= SimulatedLinac(LinacSettings(jitter_ms=10)).settle_ms

    def test_the_record_on_disk_equals_the_record_in_memory(self, tmp_path: Path) -> None:
        clock, path = ManualClock(), tmp_path / "delivery.csv"
        linac = SimulatedLinac(self.SETTINGS, clock=clock, record_path=path)
        linac.open()
        linac.set_beam(GateState.ON)
        clock.advance_ms(100)
        linac.close()
        assert read_delivery_record(path) == linac.delivery_record()
        assert [change.beam_on for change in linac.delivery_record()] == [True, False]

    def test_two_linacs_cannot_share_a_record(self, tmp_path: Path) -> None:
        path = tmp_path / "delivery.csv"
        mine = SimulatedLinac(record_path=path)
        mine.open()
        mine.set_beam(GateState.ON)
        theirs = (
            "from pathlib import Path; from drivers.beam.simulated import SimulatedLinac;"
            "from gating.messages import GateState;"
            f"linac = SimulatedLinac(record_path=Path({str(path)!r})); linac.open(); linac.set_beam(GateState.ON)"
        )
        failed = subprocess.run([sys.executable, "-c", theirs], capture_output=True, text=True, check=False)
        mine.close()
        assert "belongs to another linac" in failed.stderr
