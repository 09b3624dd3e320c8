"""Several switches as one: held unless all of them confirm."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from drivers.beam.fanout import Fanout, FanoutSettings
from drivers.beam.simulated import SimulatedLinac, line_level
from drivers.errors import BeamFault, Unavailable
from gating.messages import GateState
from gating.settings.config import LinacSettings
from tests.contract.beam_switch import BeamSwitchContract, Bench

pytestmark = pytest.mark.deadlines

ON, HOLD = GateState.ON, GateState.HOLD
FAST = LinacSettings(beam_on_delay_ms=0, beam_off_delay_ms=0, jitter_ms=0)


class TestFanoutOfTwoSimulated(BeamSwitchContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        records = [tmp_path / "a.csv", tmp_path / "b.csv"]
        for record in records:
            record.touch()
        linacs = [SimulatedLinac(FAST, record_path=record) for record in records]
        elsewhere = (
            "import time; from pathlib import Path; from drivers.beam.simulated import SimulatedLinac;"
            "from drivers.beam.fanout import Fanout; from gating.messages import GateState;"
            f"records = {[str(record) for record in records]!r};"
            "switch = Fanout(switches=[SimulatedLinac(record_path=Path(record)) for record in records]);"
            "switch.open(); switch.set_beam(GateState.ON); print('on', flush=True); time.sleep(30)"
        )

        def seen() -> GateState:
            levels = {
                ON if linac.line is ON else line_level(record) for linac, record in zip(linacs, records, strict=True)
            }
            assert len(levels) == 1
            return levels.pop()

        return Bench(Fanout(switches=linacs), seen, lambda: time.sleep(0.02), elsewhere)


class Stubborn:
    """A switch that does not do what it is told."""

    kind = "hardware"
    settle_ms = 70.0

    def __init__(self, *, raises: GateState | None = None, stuck: GateState | None = None) -> None:
        self.state, self._raises, self._stuck = HOLD, raises, stuck

    def open(self) -> None: ...

    def set_beam(self, state: GateState) -> None:
        if state is self._raises:
            raise BeamFault("no")
        self.state = state

    def read_back(self) -> GateState:
        return self._stuck or self.state

    def close(self) -> None:
        self.state = HOLD


class TestFanout:
    def test_a_member_that_refuses_holds_all(self) -> None:
        good, bad = Stubborn(), Stubborn(raises=ON)
        switch = Fanout(switches=[good, bad])
        switch.open()
        with pytest.raises(BeamFault, match="no"):
            switch.set_beam(ON)
        assert (good.state, switch.read_back()) == (HOLD, HOLD)

    def test_a_member_that_cannot_be_held_does_not_keep_the_others_on(self) -> None:
        good, bad = Stubborn(), Stubborn(raises=HOLD)
        switch = Fanout(switches=[bad, good])
        switch.open()
        switch.set_beam(ON)
        with pytest.raises(BeamFault, match="1 of 2 switches cannot be held"):
            switch.set_beam(HOLD)
        assert good.state is HOLD

    @pytest.mark.parametrize(("asked", "stuck"), [(ON, HOLD), (HOLD, ON)])
    def test_a_member_that_contradicts_is_read_back(self, asked: GateState, stuck: GateState) -> None:
        switch = Fanout(switches=[Stubborn(), Stubborn(stuck=stuck)])
        switch.open()
        switch.set_beam(asked)
        assert switch.read_back() is stuck

    def test_one_hardware_member_makes_it_hardware_with_the_slowest_time(self) -> None:
        switch = Fanout(switches=[SimulatedLinac(FAST), Stubborn()])
        assert (switch.kind, switch.settle_ms) == ("hardware", 70.0)

    def test_members_come_from_settings(self) -> None:
        members = '[{"switch": "serial_line", "port": "/dev/ttyS9", "line": "dtr"}, {"switch": "simulated"}]'
        assert Fanout(FanoutSettings(members=members)).kind == "hardware"

    @pytest.mark.parametrize(
        ("members", "said"),
        [
            pytest.param("[]", "0 switches", id="none"),
            pytest.param("nonsense", "not a JSON list", id="no json"),
            pytest.param('[{"switch": "unheard-of"}]', "'unheard-of' is unknown", id="unknown switch"),
            pytest.param(
                '[{"switch": "serial_line", "port": "x", "line": "cts"}]', "member 0 of fanout", id="bad setting"
            ),
        ],
    )
    def test_bad_members_are_refused(self, members: str, said: str) -> None:
        with pytest.raises(Unavailable, match=said):
            Fanout(FanoutSettings(members=members))
