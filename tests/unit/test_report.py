"""The summary and the report of a small synthetic session whose figures are all known."""

from __future__ import annotations

import base64
import io
import json
import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from gating.analysis.figures import session_figures
from gating.latency.stages import NOT_MEASURED, STAGES
from gating.messages import ARRIVAL_TIME_MEANS, Event, Pacing, StampMeaning
from gating.pages.page import UNKNOWN
from gating.pages.pictures import png_data_uri
from gating.report.html import render, write_html
from gating.report.summary import SessionSummary, summarise_data, summarise_session, summary_dict, summary_table
from gating.session.log import SessionError
from gating.session.log_writer import SessionWriter
from gating.session.summary_data import SessionData, read_data
from gating.wire.codec import encode
from tests.pages import fetched_addresses
from tests.unit.session_bench import (
    CLOCK,
    FRAMES,
    INTERVAL_MS,
    make_session,
    out_fraction,
    stream_info,
    target_centre,
    write_session,
)

ON = [sequence for sequence in range(FRAMES) if sequence >= 4 and out_fraction(sequence) <= 0.1]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_session(tmp_path_factory.mktemp("session") / "s1.mcap")


@pytest.fixture(scope="module")
def data(log: Path) -> SessionData:
    return read_data(log)


@pytest.fixture(scope="module")
def summary(data: SessionData) -> SessionSummary:
    return summarise_data(data)


def test_frames_are_counted_by_publisher_log_and_engine(summary: SessionSummary) -> None:
    counts = (summary.frames_published, summary.frames_recorded, summary.frames_decided, summary.frames_skipped)
    assert counts == (FRAMES, FRAMES, FRAMES, 0)


def test_every_peer_and_series_is_shown_in_summary_and_page(tmp_path: Path) -> None:
    with closing(SessionWriter(tmp_path / "s1.mcap", "s1", CLOCK)) as writer:
        writer.open()
        for parts, at_ns in make_session(8):
            writer.write(parts, at_ns)
        for series in ("cine 3", "cine 4", "cine 3"):
            peer = msgspec.structs.replace(stream_info(8), peer="10.0.0.7 <2>", series=series)
            writer.write(list(encode(peer)), at_ns)
    data = read_data(tmp_path / "s1.mcap")
    summary = summarise_data(data)
    assert summary.origins == ["10.0.0.7 <2>, cine 3", "10.0.0.7 <2>, cine 4"]
    assert "10.0.0.7 &lt;2&gt;, cine 3; 10.0.0.7 &lt;2&gt;, cine 4" in render(data, summary)
    assert "10.0.0.7 <2>, cine 4" in shown(summary)


def test_frames_without_a_decision_are_skipped_ones(tmp_path: Path) -> None:
    summary = summarise_session(write_session(tmp_path / "s1.mcap", frozenset({10, 11})))
    assert (summary.frames_decided, summary.frames_skipped) == (FRAMES - 2, 2)


def test_every_decided_frame_has_one_reason(summary: SessionSummary) -> None:
    assert summary.reasons == {"in_window": len(ON), "out_of_window": FRAMES - len(ON) - 4, "not_armed": 4}


def test_the_confirmed_duty_cycle_is_beam_on_time_over_stream_time(summary: SessionSummary) -> None:
    """Statuses come 1.3 ms after each frame, which shortens a last period that is on at the stream's end."""
    on_ms = len(ON) * INTERVAL_MS - (1.3 if FRAMES - 1 in ON else 0.0)
    assert summary.duration_s == pytest.approx(FRAMES * INTERVAL_MS / 1e3)
    assert summary.duty_cycle == pytest.approx(on_ms / (FRAMES * INTERVAL_MS), abs=1e-6)


def test_the_commanded_duty_cycle_ends_with_each_lease(summary: SessionSummary) -> None:
    """Commands leave 0.8 ms after a frame and are last renewed at 20 ms, for 100 ms: 119.2 of 125 ms are covered."""
    assert summary.duty_cycle_commanded == pytest.approx(len(ON) * 119.2 / (FRAMES * INTERVAL_MS), abs=1e-6)


def test_beam_on_periods_are_the_runs_of_confirmed_frames(summary: SessionSummary) -> None:
    starts = [sequence for sequence in ON if sequence - 1 not in ON]
    assert [round(begin, 4) for begin, _ in summary.beam_on_periods] == [
        round((sequence * INTERVAL_MS + 1.3) / 1e3, 4) for sequence in starts
    ]


def test_what_ended_each_beam_on_is_counted(summary: SessionSummary) -> None:
    ends = [sequence for sequence in ON if sequence + 1 not in ON and sequence + 1 < FRAMES]
    assert summary.holds == {"out_of_window": len(ends)}


def test_stages_are_measured_once_a_frame(summary: SessionSummary) -> None:
    expected = {
        "transport": 0.1,
        "decode": 0.1,
        "track": 0.3,
        "decide": 0.1,
        "publish": 0.2,
        "engine": 0.7,
        "loop": 1.0,
    }
    for stage, took_ms in expected.items():
        one = summary.latency_ms[stage]
        assert (one.n, one.p50, one.max) == (FRAMES, pytest.approx(took_ms), pytest.approx(took_ms)), stage
    changes = sum((sequence in ON) != (sequence - 1 in ON) for sequence in range(FRAMES))
    assert summary.latency_ms["applied"].n == changes
    assert set(summary.latency_ms) == set(STAGES)


def residual_from(summary: SessionSummary, x_px: float, y_px: float) -> NDArray[np.float64]:
    """Distances from a point, mm, every 10 ms while the beam was on, with centres interpolated between frames."""
    frames_s = np.arange(FRAMES) * INTERVAL_MS / 1e3
    when = np.arange(0, frames_s[-1], 0.01)
    when = when[[any(begin <= t < end for begin, end in summary.beam_on_periods) for t in when]]
    centres = np.array([target_centre(sequence) for sequence in range(FRAMES)])
    x, y = (np.interp(when, frames_s, axis) for axis in centres.T)
    return 2 * np.hypot(x - x_px, y - y_px)


def test_residual_motion_is_the_centre_distance_while_the_beam_was_on(summary: SessionSummary) -> None:
    distance = residual_from(summary, 30, 32)
    (motion,) = summary.motion
    assert motion.residual_p95_mm == pytest.approx(np.percentile(distance, 95), abs=0.02)
    assert motion.residual_max_mm == pytest.approx(distance.max(), abs=0.02)
    assert motion.range_si_mm == pytest.approx(2 * np.ptp([target_centre(k)[1] for k in range(FRAMES)]))


SHIFTED = """[[gating.rules]]
kind = "centre"
shift_lps_mm = [0.0, 0.0, 9.0]
"""


def test_residual_motion_counts_from_the_middle_of_the_window(data: SessionData) -> None:
    assert data.header is not None
    shifted = replace(data, header=msgspec.structs.replace(data.header, config_toml=SHIFTED))
    summary = summarise_data(shifted)
    ((motion,), (one,)) = summary.motion, session_figures(shifted)
    assert motion.residual_p95_mm == pytest.approx(np.percentile(residual_from(summary, 30, 32 - 4.5), 95), abs=0.02)
    assert motion.residual_p95_mm == one.residual_p95_mm
    assert f">{one.residual_p95_mm:.1f}<small> mm" in render(shifted, summary)


def test_card_and_table_show_one_duty_cycle(data: SessionData, summary: SessionSummary) -> None:
    (one,) = session_figures(data)
    assert (summary.duty_cycle, summary.beam_on_s) == pytest.approx((one.duty_cycle, one.beam_on_s), rel=1e-9)
    assert len(summary.beam_on_periods) == one.beam_on_periods


def test_an_axis_that_the_plane_does_not_show_is_unknown(data: SessionData, summary: SessionSummary) -> None:
    (motion,), (one,) = summary.motion, session_figures(data)
    lr = one.residual[0]
    assert motion.range_lr_mm is None
    assert np.isnan([lr.mean_mm, lr.sd_mm, lr.p95_mm, lr.range_mm, lr.baseline_shift_mm]).all()
    assert f"<td>residual motion, LR</td><td>{UNKNOWN} (not shown by the plane)</td>" in render(data, summary)


def test_a_session_too_short_for_a_baseline_says_so(data: SessionData, summary: SessionSummary) -> None:
    (one,) = session_figures(data)
    assert one.baseline == ()
    assert "are needed" in one.baseline_unknown_because
    page = render(data, summary)
    assert f"<td>baseline shift, from beginning to end</td><td>{UNKNOWN} ({one.baseline_unknown_because})</td>" in page
    assert "couch shift" not in page


def test_without_beam_or_command_the_duty_cycle_is_unknown(data: SessionData) -> None:
    alone = replace(data, statuses=[], confirmed_on=[], beam_kind="", commands=[], commanded_on=[])
    summary = summarise_data(alone)
    assert (summary.duty_cycle, summary.duty_cycle_commanded, summary.beam_on_s) == (None, None, None)
    assert re.search(rf"duty cycle +│ {UNKNOWN} +│", shown(summary))


def test_without_a_beam_interface_the_commanded_beam_counts(data: SessionData) -> None:
    alone = summarise_data(replace(data, statuses=[], confirmed_on=[], beam_kind=""))
    assert (alone.beam_known_by, alone.duty_cycle) == ("commanded", alone.duty_cycle_commanded)


def test_latencies_of_a_fast_replay_are_never_real_time_ones(data: SessionData) -> None:
    frames = {k: msgspec.structs.replace(header, pacing=Pacing.SCALED) for k, header in data.frames.items()}
    fast = replace(data, frames=frames)
    summary = summarise_data(fast)
    assert not summary.real_time
    assert "not real-time" in render(fast, summary)


def test_arrival_times_are_flagged_on_the_page_and_in_the_table(data: SessionData) -> None:
    frames = {k: msgspec.structs.replace(h, acquired_meaning=StampMeaning.ARRIVAL) for k, h in data.frames.items()}
    arrived = replace(data, frames=frames)
    summary = summarise_data(arrived)
    assert summary.arrival_time
    assert not summarise_data(data).arrival_time
    page = render(arrived, summary)
    assert ", ARRIVAL TIMES</small>" in page
    assert ARRIVAL_TIME_MEANS in page
    assert ARRIVAL_TIME_MEANS not in render(data, summarise_data(data))
    assert ARRIVAL_TIME_MEANS in shown(summary)


def test_a_torn_log_is_summarised_and_says_so(tmp_path: Path) -> None:
    torn = write_session(tmp_path / "torn.mcap", close=False)
    torn.write_bytes(torn.read_bytes()[:-400])
    summary = summarise_session(torn)
    assert summary.frames_decided >= FRAMES - 2
    assert "ends without a footer" in summary.cut
    assert "torn" in render(read_data(torn), summary)


def test_a_log_without_a_single_frame_has_a_summary_and_a_page(tmp_path: Path) -> None:
    path = tmp_path / "empty.mcap"
    writer = SessionWriter(path, "s1", CLOCK)
    writer.open()
    writer.close()
    summary = summarise_session(path)
    assert (summary.frames_published, summary.duty_cycle, summary.latency_ms) == (0, None, {})
    write_html(path, tmp_path / "empty.html")


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.mcap").write_text("not a log at all")
    with pytest.raises(SessionError, match="no session log"):
        summarise_session(tmp_path / "x.mcap")


def test_the_summary_is_one_json_object_with_documented_keys(summary: SessionSummary) -> None:
    plain = json.loads(json.dumps(summary_dict(summary), allow_nan=False))
    promised = {"frames_published", "frames_decided", "frames_skipped", "duty_cycle", "reasons", "latency_ms"}
    assert promised <= set(plain)
    assert set(plain["latency_ms"]["loop"]) == {"p50", "p99", "p999", "max", "n"}


def shown(summary: SessionSummary) -> str:
    from rich.console import Console

    console = Console(record=True, width=120, file=io.StringIO())
    console.print(summary_table(summary))
    return console.export_text()


def test_the_table_names_duty_cycle_and_skipped_frames(summary: SessionSummary) -> None:
    text = shown(summary)
    assert f"{FRAMES} published, {FRAMES} decided" in text
    assert "% confirmed" in text


@pytest.mark.parametrize(
    ("source", "kind", "said"),
    [
        ("replay exhale", "replay", "replay exhale"),
        ("scanner 2", "live", "scanner 2 (live)"),
        ("unknown", "", "unknown"),
    ],
)
def test_the_table_names_the_source_and_its_kind_once(summary: SessionSummary, source, kind, said) -> None:
    text = shown(msgspec.structs.replace(summary, source=source, source_kind=kind, real_time=True))
    assert re.search(rf"│ source +│ {re.escape(said)} +│", text)


def page_plots(page: str) -> Any:
    return json.loads(re.findall(r"^const plots = (.*);$", page, re.M)[-1])


def test_the_page_is_self_contained(log: Path, tmp_path: Path, summary: SessionSummary) -> None:
    write_html(log, tmp_path / "s1.html")
    page = (tmp_path / "s1.html").read_text(encoding="utf-8")
    assert fetched_addresses(page) == []
    for said in ("PHANTOM", "Research software", *NOT_MEASURED, "First and worst frames", "abc123", "max_out_fraction"):
        assert said in page, said
    plots = page_plots(page)
    motion = plots["motion"]
    assert [len(trace["x"]) for trace in motion["data"]] == [FRAMES] * 4
    shaded = [shape for shape in motion["layout"]["shapes"] if shape["type"] == "rect"]
    assert len(shaded) == len(summary.beam_on_periods)
    assert {trace["name"] for trace in plots["latency"]["data"]} == set(STAGES)
    assert plots["reasons"]["data"][0]["x"][-1] == len(ON)


def test_every_axis_has_a_title_with_its_unit(data: SessionData, summary: SessionSummary) -> None:
    for plot in page_plots(render(data, summary)).values():
        for name, axis in plot["layout"].items():
            if re.match(r"[xy]axis", name) and "title" in axis:
                assert re.search(r"\((mm|%|s|ms)\)|frames", axis["title"]["text"]), axis["title"]["text"]


def test_the_first_and_worst_frames_are_drawn_with_contour_and_boundary(
    data: SessionData, summary: SessionSummary
) -> None:
    page = render(data, summary)
    worst = max(range(FRAMES), key=out_fraction)
    for said in ("frame 0,", f"frame {worst},", "frame 20,", "lowest confidence"):
        assert said in page, said
    figures = page.count('<figure class="frame">')
    assert page.count('<polygon class="contour"') == page.count('<polygon class="boundary"') == figures >= 4


def test_text_from_the_wire_is_never_markup(data: SessionData) -> None:
    evil = "</script><script>alert(1)</script>"
    event = Event(session_id="s1", role="x", severity="fault", code=evil, text=evil, at_ns=data.first_ns)
    attacked = replace(data, events=[event])
    page = render(attacked, summarise_data(attacked))
    assert "<script>alert" not in page


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("everywhere", [False, True])
def test_a_frame_of_nan_or_infinity_is_drawn_with_those_pixels_black(value, everywhere):
    pixels = np.full((8, 8), value, np.float32) if everywhere else np.arange(64, dtype=np.float32).reshape(8, 8)
    pixels[4, 4] = value
    encoded = np.frombuffer(base64.b64decode(png_data_uri(pixels).removeprefix("data:image/png;base64,")), np.uint8)
    drawn = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)
    assert drawn[4, 4] == 0
    assert everywhere or drawn[7, 7] == 255
