"""The benchmark's comparison of a loop with keys and the same loop without."""

from __future__ import annotations

import pytest

from bench import curve


@pytest.mark.slow
def test_both_loops_decide_every_frame_and_each_is_compared_with_its_twin(monkeypatch):
    monkeypatch.setattr(curve, "CASES", (("tcp", 60.0),))
    (row,) = curve.curve_rows(seconds=1.5)
    assert (row["transport"], row["rate_hz"], row["size_px"], row["dtype"]) == ("tcp", 60.0, 256, "uint16")
    assert row["n"] >= 0.95 * 90
    assert row["plain_ms"]["p50"] > 0
    assert row["curve_ms"]["p50"] > 0
