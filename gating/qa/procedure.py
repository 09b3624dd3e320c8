"""A procedure: which sessions run with a phantom, what is measured in each, and which value is in tolerance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from gating.errors import CinegateError
from gating.qa.motion import Part
from gating.settings.toml_lines import parse_toml

SHIPPED: Final = ("daily", "monthly", "commission")
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Number = Annotated[float, Meta(ge=-1e9, le=1e9)]
Parameter = float | str


class ProcedureError(CinegateError, ValueError):
    """A procedure is refused. The text is one sentence that names the step, the field, the value and the limit."""


class _Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""


class PhantomSession(_Table, frozen=True, kw_only=True):
    """One run of the real processes: phantom, engine, beam interface with the simulated linac, and recorder."""

    name: Name
    motion: Annotated[tuple[Part, ...], Meta(min_length=1, max_length=50)]
    rate_hz: Annotated[float, Meta(ge=1, le=100)] = 8.0
    size_px: Annotated[int, Meta(ge=64, le=512)] = 256
    pixel_mm: Annotated[float, Meta(ge=0.5, le=5)] = 1.0
    level_mm: Annotated[float, Meta(ge=0.5, le=15)] = 4.0
    """The gating window: the target's centre lies within this distance of where it began, along SI."""
    interrupt: bool = False
    """Whether the source is stopped for a moment and the engine killed, while the beam is on."""


class Step(_Table, frozen=True, kw_only=True):
    """One value to measure, and what it may be."""

    name: Name
    measure: Name
    """A figure of `gating.qa.figures` (then `session` names where), or a measurement of the machine."""
    session: Annotated[str, Meta(max_length=64)] = ""
    parameters: dict[str, Parameter] = {}
    unit: Annotated[str, Meta(max_length=16)]
    bound: Literal["within", "at_most", "at_least"] = "within"
    """`within`: at most `tolerance` away from `expected`; `at_most` and `at_least`: the value itself."""
    expected: Number = 0.0
    tolerance: Number
    action: Number
    """Beyond this nobody is treated until the cause is found; between tolerance and this, the cause is looked for."""
    source: Annotated[str, Meta(min_length=1, max_length=200)]
    """Where tolerance and action level come from."""
    trend: bool = True
    """Whether the value is compared with those of earlier runs."""

    def __post_init__(self) -> None:
        wrong = self.action > self.tolerance if self.bound == "at_least" else self.action < self.tolerance
        if wrong:
            side = "at most" if self.bound == "at_least" else "at least"
            raise ValueError(f"{self.name}: action is {self.action:g}; {side} the tolerance, {self.tolerance:g}")
        if self.bound == "within" and self.tolerance < 0:
            raise ValueError(f"{self.name}: tolerance is {self.tolerance:g}; 0 or more is needed with `within`")


class Procedure(_Table, frozen=True, kw_only=True):
    """A whole file."""

    name: Annotated[str, Meta(pattern=r"^[0-9A-Za-z_-]{1,64}$")]
    """Of its results: under another name a new trend begins."""
    title: Annotated[str, Meta(min_length=1, max_length=120)]
    include: tuple[Name, ...] = ()
    """Shipped procedures whose sessions and steps come first."""
    baseline_runs: Annotated[int, Meta(ge=5, le=200)] = 30
    """So many runs in tolerance are the baseline of a trend."""
    session: tuple[PhantomSession, ...] = ()
    step: tuple[Step, ...] = ()

    def of_session(self, name: str) -> tuple[Step, ...]:
        """Return the steps that are measured in a session."""
        return tuple(step for step in self.step if step.session == name)


def load_procedure(name: str, path: Path | None = None) -> Procedure:
    """Return a shipped procedure, or one from a file.

    Raises
    ------
    ProcedureError
        If the text is no procedure; one sentence.
    OSError
        If the file cannot be read.
    """
    if path is None and name not in SHIPPED:
        raise ProcedureError(f"procedure is {name!r}; one of {', '.join(SHIPPED)} is needed")
    shipped = files("gating.qa").joinpath(f"{name}.toml")
    text = shipped.read_text(encoding="utf-8") if path is None else path.read_text(encoding="utf-8")
    return parse_procedure(text, f"{name}.toml" if path is None else str(path))


def parse_procedure(text: str, where: str) -> Procedure:
    """Parse and validate a procedure, with those that it includes. Raises `ProcedureError`."""
    try:
        own = msgspec.convert(parse_toml(text), Procedure)
    except (ValueError, msgspec.ValidationError) as error:
        raise ProcedureError(f"{where}: {error}") from None
    whole = own
    for name in reversed(own.include):
        before = load_procedure(name)
        whole = replace(whole, session=before.session + whole.session, step=before.step + whole.step)
    names = {session.name for session in whole.session}
    for step in whole.step:
        if step.session and step.session not in names:
            known = ", ".join(sorted(names)) or "none"
            raise ProcedureError(f"{where}: session of step {step.name} is {step.session!r}; the sessions are {known}")
    for kind, found in (("session", [one.name for one in whole.session]), ("step", [one.name for one in whole.step])):
        twice = [name for name, count in Counter(found).items() if count > 1]
        if twice:
            raise ProcedureError(f"{where}: {kind} {twice[0]} appears twice; names must differ")
    return whole


def with_parameters(procedure: Procedure, given: Sequence[str]) -> Procedure:
    """Return the procedure with parameters of its steps, each as `STEP.PARAMETER=VALUE`. Raises `ProcedureError`."""
    changed: dict[str, dict[str, Parameter]] = {}
    for text in given:
        name, equals, value = text.partition("=")
        step, _, parameter = name.rpartition(".")
        if not (equals and parameter and any(one.name == step for one in procedure.step)):
            known = ", ".join(one.name for one in procedure.step if one.parameters)
            raise ProcedureError(
                f"--option {text!r}: STEP.PARAMETER=VALUE is needed; steps with parameters are {known or 'none'}"
            )
        changed.setdefault(step, {})[parameter] = _number_or_text(value)
    steps = tuple(replace(one, parameters=_merged(one, changed.get(one.name, {}))) for one in procedure.step)
    return replace(procedure, step=steps)


def _merged(step: Step, given: Mapping[str, Parameter]) -> dict[str, Parameter]:
    unknown = [name for name in given if name not in step.parameters]
    if unknown:
        known = ", ".join(step.parameters) or "none"
        raise ProcedureError(f"step {step.name} has no parameter {unknown[0]}; its parameters are {known}")
    return {**step.parameters, **given}


def _number_or_text(text: str) -> Parameter:
    try:
        return float(text)
    except ValueError:
        return text
