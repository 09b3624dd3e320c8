"""A short soak in real processes under load: every frame decided, memory flat, misses counted."""

from __future__ import annotations

import pytest

from bench.peer_reconnects import run_peer_reconnects
from bench.reconnects import run_reconnects
from bench.soak import run_soak
from gating.latency.budgets import load_budgets
from gating.settings.config import Config

pytestmark = pytest.mark.alone


MINUTES, RATE_HZ = 1 / 3, 8.0


def test_twenty_seconds_under_load_decide_every_frame() -> None:
    result = run_soak(MINUTES, RATE_HZ, Config(), load_budgets())
    stood_still = result["stalls"]["longest_ms"] > 1000 / RATE_HZ
    assert result["decided"] >= 0.9 * 60 * MINUTES * RATE_HZ or stood_still
    assert result["skipped"] == 0 or stood_still
    assert set(result["memory_mb"]) == {"beam", "record", "engine", "source"}
    assert all(one["growth_percent"] < 10 for one in result["memory_mb"].values())
    for kind in ("threads", "descriptors"):
        assert [role for role, one in result[kind].items() if one["last"] > one["settled"]] == []
        assert all(one["last"] > 0 for one in result[kind].values())
    assert result["missed"] == result["missed_explained"] + result["missed_unexplained"]


@pytest.mark.slow
def test_peers_that_come_and_go_leave_nothing_behind() -> None:
    result = run_reconnects(20)
    assert result["passed"], result
    assert set(result["after"]) == {"beam", "record", "engine", "source"}


@pytest.mark.slow
def test_imaging_peers_that_come_and_go_leave_nothing_behind() -> None:
    pytest.importorskip("pynetdicom", reason="install cinegate[dicom]")
    results = run_peer_reconnects(20)
    assert set(results) == {"mrd", "openigtlink", "dicom"}
    assert {kind for kind, result in results.items() if not result["passed"]} == set(), results
