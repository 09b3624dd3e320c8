"""The report of a session as one HTML file that opens offline, because it includes plotly.js."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final

import msgspec

from gating.analysis.definitions import SENTENCES
from gating.analysis.figures import SessionFigures, figures
from gating.analysis.motion import GatedMotion, motion_from_session, session_config
from gating.analysis.unknown import number, percent
from gating.decision.reasons import GateReason
from gating.messages import ARRIVAL_TIME_MEANS, ASSUMED_TIME_MEANS
from gating.pages.page import card, legend, page, player, section, table, warning
from gating.pages.plots import Figure
from gating.report import clinical_section, latency_section
from gating.report.event_table import event_table
from gating.report.figures import latency_figure, motion_figure, reasons_figure
from gating.report.film import Film, make_film
from gating.report.frames import choose_frames, draw_frames
from gating.report.labels import Labels, label_line, sign_off
from gating.report.motion_figures import beam_on_figure, displacement_histogram, phase_figure
from gating.report.site_rows import HEAD, site_rows
from gating.report.summary import SessionSummary, summarise_data
from gating.session.summary_data import SessionData, read_data
from gating.settings.config import GatingSettings
from gating.settings.private_file import private_file

NO_LABELS: Final = Labels()
NOTICE: Final = (
    "Research software. It is not a medical device and must not be used to treat patients. "
    "Every figure here was measured by software, in this session and on this host."
)


def write_html(log: Path, out: Path, labels: Labels = NO_LABELS) -> None:
    """Write the report of a session log, with the user's labels.

    Raises
    ------
    SessionError
        If the file is no session log.
    OSError
        If the log cannot be read or the report cannot be written.
    """
    data = read_data(log)
    private_file(out).write_text(render(data, summarise_data(data), labels), encoding="utf-8")


def render(data: SessionData, summary: SessionSummary, labels: Labels = NO_LABELS, *, plays: bool = True) -> str:
    """Return the report as HTML; for paper, without the player."""
    gating = None if data.header is None else session_config(data).gating
    plots: dict[str, Figure] = {
        "motion": motion_figure(data, summary, gating),
        "latency": latency_figure(data),
        "reasons": reasons_figure(summary),
    }
    motions = motion_from_session(data)
    plots |= _drawn(motions, summary)
    found = [figures(motion) for motion in motions]
    baseline = clinical_section.baseline_figure(found, assumed=summary.times_assumed)
    if baseline is not None:
        plots["baseline"] = baseline
    body = "\n".join(
        [
            _head(summary, labels),
            _warnings(summary),
            _cards(summary),
            _sites(summary),
            _motion(make_film(data, gating) if plays else None, _bound_sentence(summary, gating)),
            _distributions(plots, motions),
            _clinical(found, motions, data),
            _decisions(summary),
            _frames(data),
            _latency(data, summary),
            _chain(data, summary),
            _events(summary),
            _provenance(data, summary),
            sign_off(labels, summary.session_id, summary.config_hash, data.path.name),
        ]
    )
    return page(f"Gating session {summary.session_id}", body, plots)


def _head(summary: SessionSummary, labels: Labels) -> str:
    kind = escape(summary.source_kind or "unknown source")
    pace = {"real_time": "real-time pace", "scaled": f"{summary.speed:g}&times; speed"}.get(
        summary.pacing, f"{escape(summary.pacing)}, not timed"
    )
    which = (
        f"{escape(summary.source)} &middot; session {escape(summary.session_id)} &middot; {escape(summary.started_at)}"
    )
    beam = f"{pace}, beam: {escape(summary.beam_kind or 'none')}" + (", ARRIVAL TIMES" if summary.arrival_time else "")
    beam += ", ASSUMED TIMES" if summary.times_assumed else ""
    return f"""<header><div><h1>Gating session</h1><p>{label_line(labels)}</p><p class="muted">{which}</p></div>
<div class="kind {kind}">{kind.upper()}<small>{beam}</small></div></header>
<p class="notice">{NOTICE}</p>"""


def _warnings(summary: SessionSummary) -> str:
    sentences = [f"A safeguard is off: {escape(sentence)}." for sentence in summary.overrides]
    if summary.arrival_time:
        sentences.append(f"The frames' {ARRIVAL_TIME_MEANS}: the latencies below begin when they arrived.")
    if summary.times_assumed:
        sentences.append(f"The {ASSUMED_TIME_MEANS}; every time, speed and period here follows from it.")
    if not summary.real_time:
        sentences.append("The frames did not come at the rate of the recording: the latencies below are not real-time.")
    if summary.cut:
        sentences.append(f"The session log is torn: {escape(summary.cut)}.")
    if summary.undecodable:
        sentences.append(f"{summary.undecodable} messages of the log could not be read.")
    if summary.frames_recorded < summary.frames_published:
        missing = summary.frames_published - summary.frames_recorded
        sentences.append(f"{missing} published frames are not in the log.")
    return "".join(f'<p class="warning">{sentence}</p>' for sentence in sentences)


def _cards(summary: SessionSummary) -> str:
    periods = len(summary.beam_on_periods)
    each_s = summary.beam_on_s / periods if summary.beam_on_s is not None and periods else None
    known_by = f"{summary.beam_known_by}; commanded" if summary.beam_known_by == "confirmed" else "commanded"
    cards = [
        card(
            "Duty cycle",
            number(summary.duty_cycle and 100 * summary.duty_cycle),
            "%",
            f"{known_by} {percent(summary.duty_cycle_commanded)}",
            SENTENCES["duty cycle"],
        ),
        card(
            "Beam on",
            number(summary.beam_on_s),
            f"s of {summary.duration_s:.1f} s",
            f"{periods} periods, {number(each_s)} s each",
            SENTENCES["beam-on time"],
        ),
        card(
            "Frames decided",
            str(summary.frames_decided),
            f"of {summary.frames_published}",
            f'<span class="{"bad" if summary.frames_skipped else "good"}">{summary.frames_skipped} skipped</span>',
        ),
    ]
    for motion in summary.motion:
        label = "Residual motion" if len(summary.motion) == 1 else f"Residual motion, {escape(motion.target)}"
        sub = f"95 % of beam on, from the middle of the window; largest {number(motion.residual_max_mm)} mm"
        cards.append(card(label, number(motion.residual_p95_mm), "mm", sub, SENTENCES["residual motion"]))
    loop = summary.latency_ms.get("loop")
    if loop is not None and loop.p50 is not None:
        unit = "ms" if summary.real_time else "ms, not real-time"
        cards.append(
            card(
                "Software latency, median",
                f"{loop.p50:.2f}",
                unit,
                f"p99.9 {loop.p999:.2f}, max {loop.max:.2f} ms",
                SENTENCES["software latency"],
            )
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _sites(summary: SessionSummary) -> str:
    rows = [[escape(cell) for cell in row] for row in site_rows(summary.sites)]
    caption = "Beam on is confirmed beam-on time; the monitor units are those of the plan."
    return section("Sites", caption, table(list(HEAD), rows)) if rows else ""


def _bound_sentence(summary: SessionSummary, gating: GatingSettings | None) -> str:
    """Return what the bounds of a session that was decided in 3D are, and what they cost; empty for any other."""
    if gating is None or not gating.three_d.on:
        return ""
    held = summary.reasons.get(GateReason.POSITION_UNCERTAIN, 0)
    share = percent(held / summary.frames_decided if summary.frames_decided else None)
    return (
        " The shaded area behind a line is how far the target may have been from there: its bound in 3D, all of which "
        f"must be inside. For the bound alone, {held} of {summary.frames_decided} decided frames were held ({share})."
    )


def _motion(film: Film | None, bound: str) -> str:
    keys = [
        ("swatch", "beam on, confirmed"),
        ("dash", "gate band of each rule: it objects beyond, if the target moves along this axis alone"),
        ("dash red", "target-out limit"),
    ]
    hint, played = "Drag to zoom, double-click to reset.", ""
    if film is not None:
        played = f'<p class="caption">{film.about}</p>'
    if film is not None and film.frames:
        hint += " A click shows the frame of that time."
        outlines = [("line-contour", "tracked target"), ("line-boundary", "gating boundary")]
        played += legend(outlines) + player(msgspec.to_builtins(film))
    caption = f'Target centre relative to the reference frame.{bound}<span class="screen"> {hint}</span>'
    return section("Target motion and gate", caption, f'{played}{legend(keys)}<div id="motion"></div>')


def _latency(data: SessionData, summary: SessionSummary) -> str:
    flag = "" if summary.real_time else " <b>Not real-time: frames did not come at the rate of the recording.</b>"
    plot = f'<div><div id="latency"></div>{latency_section.left_out()}</div>'
    tables = latency_section.stage_table(summary) + latency_section.millimetre_table(data)
    exceeded = latency_section.over_budget(summary)
    over = warning(f"Over budget: {escape('; '.join(exceeded))}.") if exceeded else ""
    body = f'{over}<div class="two">{plot}<div>{tables}</div></div>'
    return section("Software latency", f"Share of frames that take longer, by stage.{flag}", body)


def _chain(data: SessionData, summary: SessionSummary) -> str:
    if not summary.real_time:
        return ""
    caption = (
        "From the crossing of the gating boundary to the beam: published figures, and the software of this session."
    )
    tables = latency_section.chain_tables(data)
    return tables and section("Whole chain", caption, tables)


def _drawn(motions: list[GatedMotion], summary: SessionSummary) -> dict[str, Figure]:
    """Return the plots beside the motion trace that have something to show."""
    found: dict[str, Figure | None] = {"beam": beam_on_figure(summary)}
    for count, motion in enumerate(motions):
        found[f"histogram{count}"] = displacement_histogram(motion)
        found[f"phase{count}"] = phase_figure(motion)
    return {name: figure for name, figure in found.items() if figure is not None}


def _distributions(plots: dict[str, Figure], motions: list[GatedMotion]) -> str:
    caption = (
        "Distances from the middle of the gating window: how much of the session the target spent at each, and breath "
        "by breath, from one exhale to the next."
    )
    body = '<div id="beam"></div>' if "beam" in plots else ""
    for count, motion in enumerate(motions):
        left, right = (
            f'<div id="{kind}{count}"></div>' if f"{kind}{count}" in plots else f'<p class="caption">{without}</p>'
            for kind, without in (("histogram", "the target was never found"), ("phase", "no breathing was found"))
        )
        body += f'<h3>{escape(motion.target)}</h3><div class="two"><div>{left}</div><div>{right}</div></div>'
    return body and section("Beam-on time and distribution of motion", caption, body)


def _clinical(found: list[SessionFigures], motions: list[GatedMotion], data: SessionData) -> str:
    caption = (
        "Distances are from the middle of the gating window, while the beam was on; the baseline is from the beginning."
    )
    body = clinical_section.body(found, motions, data.events)
    return body and section("Effect of gating", caption, body)


def _decisions(summary: SessionSummary) -> str:
    holds = [[escape(reason.replace("_", " ")), str(count)] for reason, count in summary.holds.items()]
    motion = [
        [escape(one.target), *(number(mm) for mm in (one.range_si_mm, one.range_ap_mm, one.range_lr_mm))]
        for one in summary.motion
    ]
    tables = table(["what ended beam-on permission", "times"], holds or [["nothing did", ""]])
    tables += table(["range of motion (mm)", "SI", "AP", "LR"], motion)
    body = f'<div class="two"><div id="reasons"></div><div>{tables}</div></div>'
    return section("Decisions", "Every decided frame has one reason.", body)


def _frames(data: SessionData) -> str:
    drawn = draw_frames(data, choose_frames(data))
    keys = [("line-contour", "tracked target"), ("line-boundary", "gating boundary")]
    return drawn and section("First and worst frames", "", f'{legend(keys)}<div class="frames">{drawn}</div>')


def _events(summary: SessionSummary) -> str:
    return section("Events", "", event_table(summary.events)) if summary.events else ""


def _provenance(data: SessionData, summary: SessionSummary) -> str:
    settings = escape(data.header.config_toml) if data.header else "not in the log"
    rows = [
        ("Source", f"{summary.source} ({summary.source_kind}, {summary.pacing})"),
        ("Peer, series", "; ".join(summary.origins)),
        ("Frames", _geometry(data)),
        ("Tracker", summary.tracker),
        ("Positions told", "" if summary.positions is None else summary.positions.sentence()),
        ("Configuration hash", summary.config_hash),
        ("Versions", ", ".join(f"{name} {number}" for name, number in summary.versions.items())),
        ("Session log", data.path.name),
        ("Clock of all times", data.metadata.get("clock", "")),
    ]
    lines = "".join(f"<tr><td class='muted'>{name}</td><td>{escape(value)}</td></tr>" for name, value in rows if value)
    details = f"<details><summary>All settings</summary><pre>{settings}</pre></details>"
    return section("Provenance", "", f"<table>{lines}</table>{details}")


def _geometry(data: SessionData) -> str:
    if data.stream is None:
        return ""
    rows, columns = data.stream.shape
    row_mm, column_mm = data.stream.pixel_spacing_mm
    rate = f", {1e9 / data.interval_ns:.2f} frames/s" if data.interval_ns else ""
    return f"{rows} x {columns} {data.stream.dtype}, {row_mm:g} x {column_mm:g} mm{rate}"
