"""Small valid messages and results for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.ndimage import shift as ndimage_shift

from gating.analysis.whatif import Outcome, Setting
from gating.messages import (
    BeamStatus,
    CineFrame,
    FrameHeader,
    GateState,
    Pacing,
    SourceKind,
    StampMeaning,
    StreamInfo,
)
from gating.wire.pixels import content_hash

INTERVAL_NS = 125_000_000
START_NS = 10_000_000_000


def anatomy(shape: tuple[int, int] = (96, 96), dtype: str = "uint16", *, seed: int = 0, shift: float = 0.0) -> Any:
    """A textured image with a bright blob near its middle, all of it moved down by `shift` px; noise by `seed`."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(float)
    image = 200 + gaussian_filter(np.random.default_rng(1).normal(0, 400, shape), 2.5, mode="wrap")
    image += 300 * np.exp(-((rows - shape[0] / 2) ** 2 + (columns - shape[1] / 2) ** 2) / 60)
    image = ndimage_shift(image, (shift, 0), order=3, mode="grid-wrap")
    image += np.random.default_rng(seed).normal(0, 2, shape)
    scale = 1.0 if dtype != "uint8" else 0.4
    return np.clip(image * scale, 0, 255 if dtype == "uint8" else None).astype(dtype)


def stream(**overrides: Any) -> StreamInfo:
    fields: dict[str, Any] = {
        "session_id": "s1",
        "source": "test",
        "source_kind": SourceKind.REPLAY,
        "pacing": Pacing.REAL_TIME,
        "dtype": "uint16",
        "shape": (96, 96),
        "pixel_spacing_mm": (2.0, 2.0),
        "image_orientation": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
        "image_position_mm": (0.0, -96.0, 96.0),
        "nominal_interval_ns": INTERVAL_NS,
        "acquired_clock": "recording",
        "acquired_meaning": StampMeaning.START,
    }
    return StreamInfo(**fields | overrides)


def frame(sequence: int = 0, pixels: Any = None, **overrides: Any) -> CineFrame:
    image = anatomy(seed=sequence) if pixels is None else pixels
    acquired_ns = sequence * INTERVAL_NS
    fields: dict[str, Any] = {
        "session_id": "s1",
        "source": "test",
        "publisher_id": "p1",
        "source_kind": SourceKind.REPLAY,
        "pacing": Pacing.REAL_TIME,
        "sequence": sequence,
        "plane": "sagittal",
        "acquired_ns": acquired_ns,
        "acquired_clock": "recording",
        "acquired_meaning": StampMeaning.START,
        "acquired_on_publish_clock_ns": START_NS + acquired_ns,
        "published_ns": START_NS + acquired_ns + 100_000,
        "publish_clock": "manual",
        "dtype": str(image.dtype),
        "shape": image.shape,
        "pixel_spacing_mm": (2.0, 2.0),
        "image_orientation": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
        "image_position_mm": (0.0, -96.0, 96.0),
        "content_hash": content_hash(image),
    }
    return CineFrame(FrameHeader(**fields | overrides), image)


def beam_status(**overrides: Any) -> BeamStatus:
    fields: dict[str, Any] = {
        "session_id": "s1",
        "beam": "beam",
        "beam_kind": "simulated",
        "status_sequence": 0,
        "commanded": GateState.HOLD,
        "confirmed": GateState.HOLD,
        "reason": "commanded_hold",
        "sent_ns": START_NS,
        "clock": "manual",
    }
    return BeamStatus(**fields | overrides)


def outcome(margin_mm: float, duty_cycle: float, residual_mm: float, predictor: str = "off") -> Outcome:
    """A result of a sweep; no duty cycle means that it was mostly held for low confidence."""
    setting = Setting(margin_mm=margin_mm, out_percent=5.0, delay_ms=0.0, predictor=predictor, latency_ms=250.0)
    return Outcome(
        recording="case",
        setting=setting,
        duty_cycle=duty_cycle,
        residual_p95_mm=residual_mm,
        residual_sd_mm=1.0,
        coverage=1.0,
        relative_d98=1.0,
        beam_on_periods=3,
        overshoot_p95_mm=0.5,
        mostly_held_for="" if duty_cycle else "low_confidence",
    )
