"""The GPIO line: the contract on a stand-in for the line calls, and on the kernel's simulator where there is one.

Not shown here: what a real GPIO controller does with its line when the process dies.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.beam.gpio import GpioSettings, GpioSwitch
from drivers.beam.simulated import line_level
from drivers.errors import BeamFault, Unavailable
from gating.messages import GateState
from tests.contract.beam_switch import BeamSwitchContract, Bench
from tests.stand_ins import StandInLines

pytestmark = pytest.mark.deadlines

ON, HOLD = GateState.ON, GateState.HOLD


class TestGpioOnAStandIn(BeamSwitchContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        chip = tmp_path / "chip"
        chip.touch()
        settings = GpioSettings(chip=str(chip), line=3, read_back_line=4, mode="level")
        elsewhere = (
            "import time; from drivers.beam.gpio import GpioSettings, GpioSwitch;"
            "from gating.messages import GateState; from tests.stand_ins import StandInLines;"
            f"settings = GpioSettings(chip={str(chip)!r}, line=3, read_back_line=4, mode='level');"
            "switch = GpioSwitch(settings, request=StandInLines); switch.open(); switch.set_beam(GateState.ON);"
            "print('on', flush=True); time.sleep(30)"
        )
        made: list[StandInLines] = []

        def request(asked: GpioSettings) -> StandInLines:
            made.append(StandInLines(asked))
            return made[-1]

        def seen() -> GateState:
            return ON if any(lines.read() for lines in made) else line_level(chip)

        return Bench(GpioSwitch(settings, request=request), seen, lambda: None, elsewhere)


class TestGpio:
    def opened(self, tmp_path: Path, mode: str = "pulse") -> tuple[GpioSwitch, StandInLines]:
        settings = GpioSettings(chip=str(tmp_path / "chip"), line=3, read_back_line=4, mode=mode)  # type: ignore[arg-type]
        lines: list[StandInLines] = []
        switch = GpioSwitch(settings, request=lambda asked: lines.append(StandInLines(asked)) or lines[-1])  # type: ignore[func-returns-value]
        switch.open()
        return switch, lines[0]

    def test_a_pulsed_line_toggles_at_every_renewal_and_stops_low(self, tmp_path: Path) -> None:
        switch, lines = self.opened(tmp_path)
        switch.set_beam(ON)
        for _ in range(4):
            switch.read_back()
        switch.set_beam(HOLD)
        for _ in range(4):
            switch.read_back()
        assert lines.driven == [False, True, False, True, False, True, False]
        switch.close()

    def test_a_line_that_fails_is_a_fault(self, tmp_path: Path) -> None:
        switch, lines = self.opened(tmp_path, "level")
        lines.broken = True
        with pytest.raises(BeamFault, match="gpio line 3 does not take a level"):
            switch.set_beam(ON)
        switch.close()

    def test_one_line_for_output_and_read_back_is_refused(self) -> None:
        with pytest.raises(Unavailable, match="another line than the output"):
            GpioSwitch(GpioSettings(chip="/dev/gpiochip0", line=3, read_back_line=3)).open()

    def test_a_missing_chip_is_unavailable(self) -> None:
        pytest.importorskip("gpiod", reason="gpiod is not installed")
        with pytest.raises(Unavailable, match="/dev/no-gpiochip are not available"):
            GpioSwitch(GpioSettings(chip="/dev/no-gpiochip", line=3, read_back_line=4)).open()

    def test_a_line_of_the_kernels_simulator_follows(self, simulated_chip: tuple[Path, Path]) -> None:
        device, lines = simulated_chip
        switch = GpioSwitch(GpioSettings(chip=str(device), line=0, read_back_line=1, mode="level"))
        switch.open()
        for state, level, pull in ((ON, "1", "pull-up"), (HOLD, "0", "pull-down")):
            switch.set_beam(state)
            assert (lines / "sim_gpio0" / "value").read_text().strip() == level
            (lines / "sim_gpio1" / "pull").write_text(pull)
            assert switch.read_back() is state
        switch.close()


@pytest.fixture
def simulated_chip() -> Iterator[tuple[Path, Path]]:
    """A gpio-sim chip of two lines: its device, and the folder where its lines are read and pulled."""
    root = Path("/sys/kernel/config/gpio-sim")
    if not root.is_dir():
        pytest.skip("this kernel has no gpio-sim: the GPIO line is shown with a stand-in for its calls alone")
    chip = root / f"cinegate-{os.getpid()}"
    bank = chip / "bank0"
    bank.mkdir(parents=True)
    try:
        (bank / "num_lines").write_text("2")
        (chip / "live").write_text("1")
        name = (bank / "chip_name").read_text().strip()
        yield Path("/dev", name), Path("/sys/devices/platform", (chip / "dev_name").read_text().strip(), name)
    finally:
        (chip / "live").write_text("0")
        bank.rmdir()
        chip.rmdir()
