"""The simulated linac: the contract of every beam switch, and the beam that follows its line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from drivers.beam.simulated import SimulatedLinac, line_level, read_delivery_record
from gating.clocks.clock import ManualClock
from gating.messages import GateState
from gating.settings.config import LinacSettings
from tests.contract.beam_switch import BeamSwitchContract, Bench

pytestmark = pytest.mark.deadlines


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
