"""The position stream in a session log: kept, shown, and no part of what the gate's record must hold."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from msgspec.structs import replace

from cinegate.deidentify.identities import Patient
from cinegate.deidentify.messages import MessageCleaner, Moved
from cinegate.exports.tables import write_csv
from cinegate.sessions import read_session
from gating.analysis.log_check import check_log
from gating.messages import TargetPosition
from gating.report.position_stream import position_stream
from gating.report.summary import summarise_session
from gating.session.log_writer import SessionWriter
from gating.session.summary_data import read_data
from gating.wire.codec import encode
from tests.position_bench import PositionBench
from tests.unit.session_bench import make_session

pytestmark = pytest.mark.usefixtures("one_thread")
CLOCK = "monotonic:test"
LOST = 3


@pytest.fixture(scope="module")
def positions() -> list[TargetPosition]:
    """Those of a stream that is not valid at first, and of which some are lost."""
    bench = PositionBench()
    told = []
    for _ in range(40):
        bench.frames(1)
        told += [bench.position(), bench.position(20)]
    return [*told[:50], *told[50 + LOST :]]


@pytest.fixture(scope="module")
def log(positions, tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "s1.mcap"
    writer = SessionWriter(path, "s1", CLOCK)
    writer.open()
    for parts, at_ns in make_session(6):
        writer.write(parts, at_ns)
    for position in positions:
        writer.write(encode(position), position.sent_ns)
        writer.write(encode(replace(position, session_id="another", publisher_id="p9")), position.sent_ns)
    writer.close()
    return path


def test_the_summary_tells_what_was_valid_and_what_is_lost(log, positions):
    (target,) = summarise_session(log).positions.structures
    assert (target.positions, target.valid) == (len(positions), sum(one.valid for one in positions))
    assert 0 < target.valid == target.positions - target.reasons["learning"]
    assert summarise_session(log).positions.lost == LOST
    assert summarise_session(log).positions.sentence().endswith(f" % valid; {LOST} lost")


def test_positions_of_another_session_that_were_heard_count_for_nothing(log, positions):
    assert [one.publisher_id for one in read_data(log).positions] == ["p1"] * len(positions)


def test_a_log_without_positions_says_nothing_of_them(tmp_path):
    writer = SessionWriter(tmp_path / "s1.mcap", "s1", CLOCK)
    writer.open()
    for parts, at_ns in make_session(6):
        writer.write(parts, at_ns)
    writer.close()
    assert summarise_session(tmp_path / "s1.mcap").positions is None


def test_lost_positions_are_no_gap_in_the_record(log):
    assert check_log(log).damage == ""


def test_a_copy_without_identity_keeps_why_a_position_was_not_valid(positions):
    cleaner = MessageCleaner(Patient(b"k" * 32, "smith"), Moved(0, 0), keep_texts=False, keep_target_names=False)
    cleaned = [cleaner.clean(one) for one in positions]
    assert [(one.reason, one.predicted_mm) for one in cleaned] == [(one.reason, one.predicted_mm) for one in positions]
    assert positions[0].publisher_id not in {one.publisher_id for one in cleaned}


def test_an_unknown_coordinate_is_an_empty_cell(log, tmp_path):
    write_csv(read_session(log), tmp_path / "csv")
    with (tmp_path / "csv" / "positions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    shown = [row for row in rows if row["valid"] == "True"]
    assert {row["predicted_lr_mm"] for row in rows} == {""}
    assert np.isfinite([float(row["predicted_si_mm"]) for row in shown]).all()
    assert {row["predicted_t_s"] for row in rows if row["valid"] == "False"} == {""}


def test_positions_of_two_publishers_are_counted_apart(positions):
    restarted = [replace(one, publisher_id="p2") for one in positions[:20]]
    assert position_stream([*positions, *restarted]).lost == LOST
