"""Procedures: those that ship, those of a site, and what is refused."""

from __future__ import annotations

import pytest

from cinegate.qa.procedure_run import check_measures
from gating.latency.budgets import load_budgets
from gating.qa.judging import Verdict, judge, worst
from gating.qa.procedure import SHIPPED, ProcedureError, Step, load_procedure, parse_procedure, with_parameters

STEP = """
[[step]]
name = "disk"
measure = "disk_free_gb"
parameters = { folder = "", share = 0.5 }
unit = "GB"
bound = "at_least"
tolerance = 8
action = 4
source = "ours"
"""
HEAD = 'name = "site"\ntitle = "Ours"\n'


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_step_can_be_measured(name: str) -> None:
    procedure = load_procedure(name)
    check_measures(procedure)
    assert procedure.step


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_session_is_measured(name: str) -> None:
    procedure = load_procedure(name)
    assert [session.name for session in procedure.session if not procedure.of_session(session.name)] == []


def test_commissioning_is_all_of_daily_and_monthly() -> None:
    names = [step.name for step in load_procedure("commission").step]
    for part in ("daily", "monthly"):
        assert {step.name for step in load_procedure(part).step} <= set(names)


def test_budgets_of_the_daily_procedure_are_those_of_the_house() -> None:
    steps, budgets = {step.measure: step for step in load_procedure("daily").step}, load_budgets()
    for measure, stage in (("engine_p99_ms", "engine"), ("loop_p99_ms", "loop")):
        limits = steps[measure].tolerance, steps[measure].action
        assert limits == (budgets.stage[stage].p99_ms, budgets.stage[stage].p999_ms)
    assert steps["lease_excess_ms"].tolerance == budgets.beam_off.margin_ms


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "site.toml: Invalid value"),
        (HEAD.replace("site", "../site"), "matching regex"),
        (HEAD + "step = 3", "Expected `array`"),
        (HEAD + STEP.replace("action = 4", "action = 9"), "disk: action is 9; at most the tolerance, 8"),
        (HEAD + STEP.replace('"at_least"', '"at_most"'), "disk: action is 4; at least the tolerance, 8"),
        (HEAD + STEP + 'session = "cine"', "session of step disk is 'cine'; the sessions are none"),
        (HEAD + STEP + STEP, "step disk appears twice"),
        (HEAD + 'include = ["weekly"]', "procedure is 'weekly'; one of daily, monthly, commission is needed"),
        (HEAD + STEP + "tolerence = 3", "unknown field `tolerence`"),
        (HEAD + STEP.replace('source = "ours"', ""), "missing required field `source`"),
    ],
    ids=["toml", "name", "type", "at least", "at most", "session", "twice", "include", "field", "source"],
)
def test_a_procedure_is_refused_with_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ProcedureError) as refused:
        parse_procedure(text, "site.toml")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ('measure = "disk_free_gb"', "known are"),
        ('measure = "step_error_mm"', "step_error_mm needs a session"),
    ],
    ids=["unknown", "no session"],
)
def test_a_step_that_cannot_be_measured_is_refused(changed: str, said: str) -> None:
    text = STEP.replace('measure = "disk_free_gb"', changed).replace("disk_free_gb", "disk_speed")
    with pytest.raises(ProcedureError, match=said):
        check_measures(parse_procedure(HEAD + text, "site.toml"))


def test_parameters_are_given_by_step_and_name() -> None:
    procedure = with_parameters(parse_procedure(HEAD + STEP, "site.toml"), ["disk.folder=/data", "disk.share=0.25"])
    assert procedure.step[0].parameters == {"folder": "/data", "share": 0.25}


@pytest.mark.parametrize("text", ["disk=3", "disc.share=1", "disk.size=2", "disk.share"])
def test_a_parameter_that_no_step_has_is_refused(text: str) -> None:
    with pytest.raises(ProcedureError, match=r"parameters are|STEP\.PARAMETER=VALUE"):
        with_parameters(parse_procedure(HEAD + STEP, "site.toml"), [text])


def step(bound: str, expected: float, tolerance: float, action: float) -> Step:
    return Step(name="s", measure="given", unit="mm", bound=bound, expected=expected, tolerance=tolerance,
                action=action, source="ours")  # fmt: skip


@pytest.mark.parametrize(
    ("limits", "value", "verdict"),
    [
        (("within", 20, 5, 10), 15, Verdict.GOOD),
        (("within", 20, 5, 10), 14.9, Verdict.TOLERANCE),
        (("within", 20, 5, 10), 30.1, Verdict.ACTION),
        (("at_most", 0, 5, 10), -50, Verdict.GOOD),
        (("at_most", 0, 5, 10), 5.1, Verdict.TOLERANCE),
        (("at_most", 0, 5, 10), 11, Verdict.ACTION),
        (("at_least", 0, 8, 4), 8, Verdict.GOOD),
        (("at_least", 0, 8, 4), 7, Verdict.TOLERANCE),
        (("at_least", 0, 8, 4), 3, Verdict.ACTION),
        (("at_most", 0, 5, 10), float("nan"), Verdict.UNMEASURED),
        (("at_least", 0, 8, 4), float("inf"), Verdict.UNMEASURED),
        (("within", 20, 5, 10), None, Verdict.UNMEASURED),
    ],
)
def test_a_value_is_judged_by_its_limits(limits: tuple[str, float, float, float], value: float | None, verdict) -> None:
    assert judge(step(*limits), value).verdict is verdict


def test_a_run_is_worth_its_worst_step_and_nothing_measured_is_no_pass() -> None:
    limits = step("at_most", 0, 5, 10)
    good, out, far, unknown = (judge(limits, value) for value in (1, 6, 11, None))
    assert worst([good, out, far, unknown]) is Verdict.ACTION
    assert worst([good, out, unknown]) is Verdict.TOLERANCE
    assert worst([good, unknown]) is Verdict.UNMEASURED
    assert worst([good]) is Verdict.GOOD
    assert worst([]) is Verdict.UNMEASURED
