"""Several switches as one: on only if all confirm on, held as soon as one of them holds or fails."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from drivers.errors import BeamFault, Unavailable
from drivers.ports import BeamSwitch
from gating.messages import GateState


class FanoutSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The switches, as a JSON list of objects, each with `switch` and that driver's own settings."""

    members: Annotated[
        str,
        Meta(
            max_length=65_536,
            description='JSON, for example [{"switch": "serial_line", "port": "/dev/ttyS0"}, {"switch": "simulated"}].',
        ),
    ]


class Fanout:
    """A `BeamSwitch` that drives several switches.

    Parameters
    ----------
    settings
        See `FanoutSettings`.
    switches
        The switches themselves, for programs that do without settings.
    """

    Settings = FanoutSettings

    def __init__(self, settings: FanoutSettings | None = None, *, switches: Sequence[BeamSwitch] = ()) -> None:
        self._switches = list(switches) or (_make_switches(settings.members) if settings is not None else [])
        if not self._switches:
            raise Unavailable("fanout has 0 switches; at least 1 is needed")
        simulated = all(switch.kind == "simulated" for switch in self._switches)
        self.kind: Literal["simulated", "hardware"] = "simulated" if simulated else "hardware"
        self._state = GateState.HOLD
        self._opened = False

    @property
    def settle_ms(self) -> float:
        """Settling time of the slowest switch."""
        return max(switch.settle_ms for switch in self._switches)

    def open(self) -> None:
        """Open and hold every switch. If one is not available, close the others and raise `Unavailable`."""
        if self._opened:
            return
        try:
            for switch in self._switches:
                switch.open()
        except Exception:
            for switch in self._switches:
                switch.close()
            raise
        self._opened, self._state = True, GateState.HOLD

    def set_beam(self, state: GateState) -> None:
        """Drive every switch. If one fails, hold them all and raise `BeamFault`."""
        self._require_open()
        self._state = GateState.ON if state is GateState.ON else GateState.HOLD
        if self._state is not state:
            self._hold_all()
            raise BeamFault(f"beam state {state!r} is neither hold nor on; every line is held")
        if self._state is GateState.HOLD:
            self._hold_all()
            return
        try:
            for switch in self._switches:
                switch.set_beam(GateState.ON)
        except Exception:
            self._state = GateState.HOLD
            with contextlib.suppress(BeamFault):
                self._hold_all()
            raise

    def read_back(self) -> GateState:
        """Return the ordered state only if all confirm it, and otherwise the other. Raises `BeamFault`."""
        self._require_open()
        confirmed = [switch.read_back() for switch in self._switches]
        if self._state is GateState.ON:
            return GateState.ON if all(state is GateState.ON for state in confirmed) else GateState.HOLD
        return GateState.HOLD if all(state is GateState.HOLD for state in confirmed) else GateState.ON

    def close(self) -> None:
        """Hold and close every switch."""
        for switch in self._switches:
            switch.close()
        self._opened = False

    def _hold_all(self) -> None:
        """Hold every switch, even if others fail. Raises `BeamFault`, naming those that failed."""
        failed = []
        for switch in self._switches:
            try:
                switch.set_beam(GateState.HOLD)
            except Exception as error:  # noqa: BLE001 - one switch must not keep another from holding
                failed.append(f"{type(switch).__name__}: {error}")
        if failed:
            raise BeamFault(
                f"{len(failed)} of {len(self._switches)} switches cannot be held: {'; '.join(failed)}"[:400]
            )

    def _require_open(self) -> None:
        if not self._opened:
            raise BeamFault("fanout is not open")


def _make_switches(text: str) -> list[BeamSwitch]:
    from drivers.registry import load_beam

    try:
        members: list[dict[str, Any]] = msgspec.json.decode(text, type=list[dict[str, Any]])
    except msgspec.DecodeError as error:
        raise Unavailable(f"members of fanout are not a JSON list of objects: {error}") from None
    switches: list[BeamSwitch] = []
    for index, member in enumerate(members):
        name = str(member.pop("switch", ""))
        driver: Any = load_beam(name)
        settings = getattr(driver, "Settings", None)
        try:
            switches.append(driver(msgspec.convert(member, settings)) if settings is not None else driver(**member))
        except (msgspec.ValidationError, TypeError) as error:
            raise Unavailable(f"member {index} of fanout ({name}): {error}") from None
    return switches
