"""Runs a procedure: its sessions one after another, then what the machine itself shows; every step is judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import xxhash

from cinegate.qa.machine import MEASUREMENTS, Machine
from gating.errors import CinegateError
from gating.qa.figures import FIGURES, ChainRecord, NotMeasuredError
from gating.qa.judging import StepResult, judge
from gating.qa.procedure import Procedure, ProcedureError, Step
from gating.qa.runs import QaRun
from gating.service.host import provenance
from gating.settings.config import Config, config_hash

REPLAYED = "replay_differences"


def check_measures(procedure: Procedure) -> None:
    """Raise `ProcedureError` if a step names what cannot be measured, or no session to measure it in."""
    for step in procedure.step:
        if step.measure not in FIGURES and step.measure not in MEASUREMENTS:
            known = ", ".join(sorted((*FIGURES, *MEASUREMENTS)))
            raise ProcedureError(f"measure of step {step.name} is {step.measure!r}; known are {known}")
        if (step.measure in FIGURES) != bool(step.session):
            needs = "needs a session" if step.measure in FIGURES else f"needs none, but is given {step.session!r}"
            raise ProcedureError(f"step {step.name}: {step.measure} {needs}")


def run_procedure(
    procedure: Procedure,
    config: Config,
    folder: Path,
    *,
    operator: str = "",
    tell: Callable[[str], None] | None = None,
) -> QaRun:
    """Run a procedure and return its results.

    What cannot be measured becomes a step without a value and with the reason; it ends nothing.

    Parameters
    ----------
    procedure
        With the parameters of its steps.
    config
        The site's settings, with which the sessions run; their gating window is the procedure's.
    folder
        Where the logs of the sessions go; disk and write speed are measured there.
    operator
        Who runs it, for the record.
    tell
        Called with a line of progress.

    Raises
    ------
    ProcedureError
        If a step names what cannot be measured.
    OSError
        If the folder cannot be written.
    """
    check_measures(procedure)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    machine, began = Machine(folder), time.monotonic()
    started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    measured = {result.name: result for result in _results(procedure, config, machine, tell or (lambda _: None))}
    return QaRun(
        procedure=procedure.name,
        title=procedure.title,
        procedure_hash=xxhash.xxh3_128_hexdigest(msgspec.json.encode(procedure, order="sorted")),
        started_at=started_at,
        duration_s=round(time.monotonic() - began, 3),
        operator=operator,
        config_hash=config_hash(config),
        host=provenance(),
        results=tuple(measured[step.name] for step in procedure.step),
    )


def _results(
    procedure: Procedure, config: Config, machine: Machine, tell: Callable[[str], None]
) -> Iterator[StepResult]:
    from cinegate.qa.sessions import run_session

    for session in procedure.session:
        steps = procedure.of_session(session.name)
        if not steps:
            continue
        tell(f"session {session.name}: {len(steps)} steps")
        replay = any(step.measure == REPLAYED for step in steps)
        try:
            record = run_session(session, config, machine.folder, replay=replay)
        except NotMeasuredError as error:
            yield from (judge(step, None, str(error)) for step in steps)
            continue
        yield from (_figure(step, record) for step in steps)
    for step in procedure.of_session(""):
        tell(step.name)
        yield _measured(step, machine)


def _figure(step: Step, record: ChainRecord) -> StepResult:
    try:
        value, why = FIGURES[step.measure](record), ""
    except NotMeasuredError as error:
        return judge(step, None, str(error))
    if step.measure == "log_findings":
        why = "; ".join(record.log_findings)
    return judge(step, value, why)


def _measured(step: Step, machine: Machine) -> StepResult:
    try:
        return judge(step, MEASUREMENTS[step.measure](machine, step.parameters))
    except KeyError as error:
        return judge(step, None, f"parameter {error.args[0]} is missing")
    except (CinegateError, OSError, ValueError) as error:
        return judge(step, None, str(error))
