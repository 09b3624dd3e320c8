"""What the OpenIGTLink outlet makes of frames and estimates."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from drivers.outlets.translation import Translation
from gating.messages import GateState, TargetEstimate
from tests.factories import INTERVAL_NS, START_NS, frame

UTC_NS = 1_700_000_000 * 10**9


def estimate(sequence: int = 0, **changed: Any) -> TargetEstimate:
    fields: dict[str, Any] = {
        "session_id": "s1", "frame_sequence": sequence, "plane": "sagittal", "target": "GTV", "x_px": 1.0, "y_px": 2.0,
        "position_mm": (5.0, -6.0, 7.0), "confidence": 0.9, "score": 0.9, "status": "tracked", "gate": GateState.ON,
        "target_out_fraction": 0.0, "contour_px": [(10.0, 20.0), (30.0, 20.0), (20.0, 40.0)], "reason": "in_window",
        "acquired_ns": sequence * INTERVAL_NS,
    }  # fmt: skip
    return TargetEstimate(**fields | changed)


def heard(messages: list[bytes]) -> dict[str, tuple[str, int, bytes]]:
    """Type, stamp (ns) and body of each message, by device."""
    told = {}
    for raw in messages:
        _, kind, device, seconds, fraction, _, _ = struct.unpack(">H12s20sIIQQ", raw[:58])
        stamp_ns = seconds * 10**9 + (fraction * 10**9 >> 32)
        told[device.rstrip(b"\0").decode()] = kind.rstrip(b"\0").decode(), stamp_ns, raw[58:]
    return told


@pytest.fixture
def translation() -> Translation:
    made = Translation(UTC_NS)
    made.remember(frame(3).header)
    return made


def test_a_tracked_target_is_sent_with_its_status_and_contour(translation: Translation) -> None:
    told = heard(translation.target(estimate(3)))
    assert {device: kind for device, (kind, _, _) in told.items()} == {
        "GTV": "TRANSFORM",
        "GTV point": "POINT",
        "GTV contour": "POLYDATA",
        "GTV status": "STATUS",
        "GTV text": "STRING",
    }
    assert struct.unpack(">Hq", told["GTV status"][2][:10]) == (1, 1)
    assert told["GTV text"][2][4:] == b"GTV tracked, confidence 0.90"


def test_every_message_of_an_estimate_has_the_stamp_of_its_image(translation: Translation) -> None:
    image = heard([translation.image(frame(3))])["Cine sagittal"]
    stamps_ns = {stamp_ns for _, stamp_ns, _ in heard(translation.target(estimate(3))).values()}
    assert stamps_ns == {image[1]}
    assert image[1] == pytest.approx(UTC_NS + START_NS + 3 * INTERVAL_NS, abs=1)


def test_the_contour_is_a_closed_line_in_ras(translation: Translation) -> None:
    body = heard(translation.target(estimate(3)))["GTV contour"][2]
    assert struct.unpack(">10I", body[:40]) == (3, 0, 0, 1, 20, 0, 0, 0, 0, 0)
    points = np.frombuffer(body[40:76], ">f4").reshape(3, 3)
    np.testing.assert_allclose(points, [(0, 96 - 20, 96 - 40), (0, 96 - 60, 96 - 40), (0, 96 - 40, 96 - 80)])
    assert struct.unpack(">5I", body[76:]) == (4, 0, 1, 2, 0)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"status": "lost"}, 4),
        ({"status": "low_confidence"}, 13),
        ({"status": "refused", "position_mm": (float("nan"),) * 3, "confidence": float("nan")}, 13),
    ],
    ids=["lost", "doubted", "refused"],
)
def test_no_pose_is_sent_of_a_target_that_is_not_tracked(
    translation: Translation, changed: dict[str, Any], code: int
) -> None:
    told = heard(translation.target(estimate(3, **changed)))
    assert set(told) == {"GTV status", "GTV text"}
    assert struct.unpack(">Hq20s", told["GTV status"][2][:30])[:2] == (code, 0)
    assert changed["status"].encode() in told["GTV status"][2]


def test_a_pose_that_is_not_finite_is_not_sent(translation: Translation) -> None:
    assert set(heard(translation.target(estimate(3, position_mm=(0.0, float("nan"), 0.0))))) == {
        "GTV status",
        "GTV text",
    }


def test_an_estimate_that_comes_before_its_frame_waits_for_it(translation: Translation) -> None:
    assert translation.target(estimate(4)) == []
    header = frame(4).header
    translation.remember(header)
    assert "GTV" in heard(translation.targets_waiting_for(header))
    assert translation.targets_waiting_for(header) == []


def test_an_estimate_of_another_publishers_frame_is_not_paired(translation: Translation) -> None:
    assert translation.target(estimate(3, acquired_ns=5)) == []


def test_the_device_names_of_a_long_target_fit_and_differ(translation: Translation) -> None:
    told = heard(translation.target(estimate(3, target="GTV of the upper right lobe")))
    assert len(told) == 5
    assert "GTV of the u contour" in told
