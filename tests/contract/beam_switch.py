"""What every beam switch must do: its own test class inherits `BeamSwitchContract` and supplies a bench."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from drivers.errors import BeamFault
from drivers.ports import BeamSwitch
from gating.messages import GateState
from tests.patience import shortest_s

LONGEST_CALL_MS = {"on": 5.0, "read": 5.0, "open": 50.0, "close": 50.0}
"""The shortest of five calls counts, since a loaded machine may delay any one of them."""


@dataclass(frozen=True)
class Bench:
    """A switch, and a way to see its line that does not go through the switch."""

    switch: BeamSwitch
    line: Callable[[], GateState]
    settle: Callable[[], None]
    turn_on_elsewhere: str
    """Python text that opens such a switch in another process, turns it on, prints 'on' and waits."""
    come_to_rest: Callable[[], None] = lambda: None
    """After close or death: wait for the end of the lease, where another process drives the line."""


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
        assert bench.line() is GateState.ON
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
