"""Our beam interface with a switch that fails on order: `faulty_beam FILE <beam options>`.

FILE holds the order. `reads_on`: the line reads back as on, whatever its state. `stuck_hold`: it does not come on.
`slow_on`: it comes on late. `raises N`: the next N attempts to drive it fail. `unreadable`: it cannot be read back.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import drivers.registry
from drivers.beam.simulated import SimulatedLinac
from drivers.errors import BeamFault
from drivers.ports import BeamSwitch
from gating.messages import GateState

SLOW_S = 0.3


class FaultySwitch(SimulatedLinac):
    """A simulated linac that works until it is ordered to fail."""

    orders: Path
    _on_at_s = 0.0

    def set_beam(self, state: GateState) -> None:
        """Drive the line, unless ordered otherwise."""
        match self._order():
            case ["raises", count] if int(count) > 0:
                self.orders.write_text(f"raises {int(count) - 1}", encoding="ascii")
                raise BeamFault("the line was ordered to refuse")
            case ["stuck_hold"] | ["slow_on"] if state is GateState.ON:
                self._on_at_s = time.monotonic() + SLOW_S
            case _:
                self._on_at_s = 0.0
                super().set_beam(state)

    def read_back(self) -> GateState:
        """Read the line back, unless ordered otherwise."""
        match self._order():
            case ["reads_on"]:
                return GateState.ON
            case ["unreadable"]:
                raise BeamFault("the line was ordered to be unreadable")
            case ["slow_on"] if 0 < self._on_at_s <= time.monotonic():
                self._on_at_s = 0.0
                super().set_beam(GateState.ON)
        return super().read_back()

    def _order(self) -> list[str]:
        return self.orders.read_text(encoding="ascii").split() if self.orders.exists() else []


def main() -> None:
    """Run `cinegate beam` with the switch replaced."""
    FaultySwitch.orders = Path(sys.argv[1])

    def load_beam(name: str) -> Callable[..., BeamSwitch]:
        return FaultySwitch

    drivers.registry.load_beam = load_beam
    from cinegate.verbs import main as command_line

    sys.argv = ["cinegate", "beam", *sys.argv[2:]]
    command_line()


if __name__ == "__main__":
    main()
