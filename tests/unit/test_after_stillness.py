"""After images that stood still, nothing is concluded from them: the living patient is trusted again at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.faults.pictures import PictureBook
from bench.faults.scene_files import scene_config, scene_stream, scene_target
from gating.decision.reasons import GateReason
from gating.engine.offline import decide_offline, offline_frames
from gating.messages import GateState

BEFORE_S, STILL_S, AFTER_S = 10.0, 3.5, 2.0


def _under_noise(pixels: np.ndarray, number: int) -> np.ndarray:
    noise = np.random.default_rng(number).normal(0, 0.03 * pixels.max(), pixels.shape)
    return np.clip(pixels + noise, 0, 65535).astype(pixels.dtype)


def _commands(seed: int, rate_per_s: float) -> tuple[list, int]:
    """Decide on a calm patient whose image stands still under fresh noise for a while; also the first living frame."""
    book = PictureBook(100 + seed, rate_per_s, "uint16")
    first = round(BEFORE_S * rate_per_s)
    living = first + round(STILL_S * rate_per_s)
    shown = [book.alive(book.calm[slot % 40].pixels, slot) for slot in range(living + round(AFTER_S * rate_per_s))]
    shown[first:living] = [_under_noise(shown[first - 1], slot) for slot in range(first, living)]
    stream = scene_stream("offline", book)
    frames = offline_frames(stream, ((round(slot * 1e9 / rate_per_s), pixels) for slot, pixels in enumerate(shown)))
    config = scene_config(Path())
    decided = decide_offline(config, [scene_target(book)], stream, frames)
    return [outcome.command for _, outcome in decided], living


def test_a_living_patient_is_trusted_soon_after_a_still_image():
    commands, living = _commands(seed=11, rate_per_s=12.0)
    assert commands[living - 1].reason is GateReason.FROZEN_IMAGE
    soon = commands[living:]
    assert GateState.ON in [command.state for command in soon]
