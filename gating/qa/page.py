"""The page of a run: verdict, every step beside its limits, trends, and the block to be signed; for HTML and PDF."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from gating.analysis.trend import DECISION_SIGMA, SHEWHART_SIGMA, Trend
from gating.pages.page import UNKNOWN, card, head, number, page, section, sign_off_section, table, warning
from gating.qa.charts import trend_figure
from gating.qa.judging import StepResult, Verdict, limits_text
from gating.qa.runs import QaRun, trend_of

NOTICE: Final = (
    "Research software, not a medical device. The phantom and the linac are simulated unless a step says otherwise; "
    "image acquisition, reconstruction and the linac are in no figure that is not from a camera."
)
TREND_CAPTION: Final = (
    "Red lines: tolerance. Green lines: mean of the baseline and control limits of single values "
    f"({SHEWHART_SIGMA:g} sigma). Red points: outside the control limits, or the CUSUM beyond {DECISION_SIGMA:g} sigma."
)
ROLES: Final = ("who ran it", "medical physicist")
LEAST_RUNS: Final = 2
_CLASSES: Final = {Verdict.GOOD: "good", Verdict.TOLERANCE: "bad", Verdict.ACTION: "bad", Verdict.UNMEASURED: ""}


def qa_page(run: QaRun, before: Sequence[QaRun], baseline_runs: int, unreadable: Sequence[str] = ()) -> str:
    """Return the page of a run.

    Parameters
    ----------
    run
        With the flags of its trends.
    before
        Earlier runs of the same procedure, in order.
    baseline_runs
        Of the procedure.
    unreadable
        Sentences on files of the store that hold no run.
    """
    runs = [*before, run]
    trends = {one.name: trend_of(runs, one, baseline_runs) for one in run.results if one.trend}
    flagged = [one for one in run.results if one.flag]
    drawn = [one for one in run.results if one.name in trends and len(trends[one.name].values) >= LEAST_RUNS]
    body = [
        head(run.title, f"{run.started_at}, {run.duration_s:.0f} s, run {len(runs)} of this procedure", NOTICE),
        *(warning(escape(f"{one.name}: {_finding(one)}.")) for one in run.results if one.verdict is not Verdict.GOOD),
        *(warning(escape(f"{one.name}: {one.flag}.")) for one in flagged),
        *(warning(escape(f"{sentence}.")) for sentence in unreadable),
        f'<div class="cards">{_cards(run)}</div>',
        section("Steps", "", _steps(run, trends)),
        *_trends(drawn),
        section("Computer", "", _host(run)),
        sign_off_section(_about(run), ROLES),
    ]
    figures = {f"trend{number}": trend_figure(one, trends[one.name]) for number, one in enumerate(drawn)}
    return page(f"{run.title}, {run.started_at}", "\n".join(body), figures)


def _finding(result: StepResult) -> str:
    if result.value is None:
        return f"not measured: {result.why or 'no reason is known'}"
    because = f" ({result.why})" if result.why else ""
    return f"{result.value:.4g} {result.unit} is {result.verdict}, {limits_text(result)}{because}"


def _cards(run: QaRun) -> str:
    counts = [(verdict, sum(one.verdict is verdict for one in run.results)) for verdict in Verdict]
    flags = sum(bool(one.flag) for one in run.results)
    shown = card("This run", f'<span class="{_CLASSES[run.verdict]}">{run.verdict}</span>', "", "")
    shown += "".join(card(verdict, str(count), "steps", "") for verdict, count in counts)
    return shown + card("outside control limits", str(flags), "steps", "")


def _steps(run: QaRun, trends: dict[str, Trend]) -> str:
    rows = []
    for one in run.results:
        trend = trends.get(one.name)
        baseline = UNKNOWN if trend is None or not trend.baseline else f"{trend.centre:.4g} ± {trend.sigma:.2g}"
        rows.append(
            [
                escape(one.name),
                number(one.value, ".4g"),
                escape(limits_text(one)),
                f"{one.action:g}",
                f'<span class="{_CLASSES[one.verdict]}">{one.verdict}</span>',
                baseline,
                escape(one.source),
            ]
        )
    return table(["step", "found", "limits", "action", "verdict", "baseline", "source of the limits"], rows)


def _trends(drawn: Sequence[StepResult]) -> list[str]:
    if not drawn:
        return []
    charts = [f'<h3>{escape(one.name)}</h3><div id="trend{number}"></div>' for number, one in enumerate(drawn)]
    return [section("Trends", TREND_CAPTION, "".join(charts))]


def _host(run: QaRun) -> str:
    names = ("cpu", "cores", "kernel", "python", "clock_source", "governor", "load_average", "git_revision")
    return table(["what", "found"], [[name, escape(str(run.host.get(name, UNKNOWN)))] for name in names])


def _about(run: QaRun) -> str:
    operator = escape(run.operator) or UNKNOWN
    return (
        f"{escape(run.procedure)} of {escape(run.started_at)}, run by {operator}; procedure "
        f"{escape(run.procedure_hash)}, settings {escape(run.config_hash)}; {run.verdict}"
    )
