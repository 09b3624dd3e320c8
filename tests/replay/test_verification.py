"""A session of real processes, verified: its log is unbroken, and its frames lead to the same decisions again."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from cinegate.verbs.run import run_session
from gating.analysis.verification import verify_session
from gating.session.chain_check import check_chain
from gating.session.completeness import check_completeness
from gating.session.log import read_raw
from gating.session.log_writer import SessionWriter
from gating.settings.config import Config, GatingSettings, Margins
from gating.wire.codec import decode, encode
from replay_data import session_path

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sessions")
    return run_session(
        session_path("drift_cough"), config=Config(), box="33,54,12,11", speed="4", log=folder, show=False
    )


def test_every_decision_follows_again_bit_for_bit(log):
    told = []
    found = verify_session(log, decided=lambda: told.append(1))
    assert len(told) == found.commands == check_completeness(log).commands
    assert (found.first_difference, found.differences, found.largest_px) == ("", 0, 0.0)
    assert 180 <= found.frames <= 224  # a busy machine skips some
    assert found.commands > found.frames


def test_the_chain_is_unbroken_to_the_end(log):
    report = check_chain(log)
    assert (report.broken, report.unsealed_messages) == ("", 0)


def test_other_settings_show_what_they_would_have_decided(log):
    wide = Margins(superior_mm=20, inferior_mm=20, anterior_mm=20, posterior_mm=20, left_mm=20, right_mm=20)
    found = verify_session(log, Config(gating=GatingSettings(margins=wide)))
    assert found.hold_to_on > 100
    assert found.on_to_hold == 0


def test_a_hold_changed_to_beam_on_is_found_despite_a_rebuilt_chain(log, tmp_path):
    forged = tmp_path / "forged.mcap"
    writer = SessionWriter(forged, "forged", "monotonic")
    writer.open()
    changed = False
    for topic, log_time_ns, parts in read_raw(log):
        if topic == "gate" and not changed and b"out_of_window" in parts[1]:
            command = decode(parts)
            parts = encode(replace(command, state="on", reason="in_window", lease_ms=100.0))  # noqa: PLW2901
            changed = True
        writer.write(parts, log_time_ns)
    writer.close()
    assert changed
    assert check_chain(forged).broken == ""
    assert "state is on in the log and hold in the replay" in verify_session(forged).first_difference
