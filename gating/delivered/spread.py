"""How far errors of tracking and latency carry the figures of a structure, by Monte Carlo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct

from gating.analysis.motion import GRID_S, GatedMotion, inside
from gating.analysis.uncertainty import Uncertainty, default_table, root_sums_mm
from gating.delivered.deliveries import DosePlan, Timeline, part_kernels, received
from gating.delivered.dvh import DoseFigures, OnGrid

POSITION_ERRORS: Final = ("tracking", "pixel size", "MR geometric distortion", "MR to radiation isocentre")
"""Rows of the default table that say how far the target may be from where the log has it, relative to the beam."""
LATENCY_SD_MS: Final = 33.0
"""Of a latency that may be anywhere in the range published for one system at 4 frames/s, 128 to 243 ms
(doi:10.1002/acm2.13118)."""
SAMPLES: Final = 100
EVERY: Final = 5
"""Of the grid of 10 ms, every fifth time is enough for motion that 8 frames/s show."""
SEED: Final = 21


class Spread(Struct, frozen=True, kw_only=True):
    """The 5th and the 95th percentile of each figure of a structure."""

    p5: DoseFigures
    p95: DoseFigures


def position_errors(pixel_mm: float) -> tuple[Uncertainty, ...]:
    """Return the errors of position that count by default."""
    return tuple(row for row in default_table(pixel_mm) if row.name in POSITION_ERRORS)


def figure_spreads(
    plan: DosePlan,
    motion: GatedMotion,
    structures: Sequence[OnGrid],
    errors: Sequence[Uncertainty],
    *,
    latency_sd_ms: float = LATENCY_SD_MS,
    later_ms: float = 0.0,
    dose_rate_mu_min: float | None = None,
    prescribed_gy: float | None = None,
    samples: int = SAMPLES,
) -> list[Spread]:
    """Return the spread of the figures of each structure in a gated delivery.

    In each sample, the target is elsewhere than logged: by one displacement for the session, of the systematic and
    random errors, and by one for each frame, of those within a fraction; and the beam is earlier or later by one time.
    Along an axis that the plane does not show nothing is known, so nothing is varied there either.

    Parameters
    ----------
    errors
        Errors of the gated arm.
    latency_sd_ms
        Standard deviation of when the beam was on.
    later_ms, dose_rate_mu_min, prescribed_gy
        As for the delivery itself.
    samples
        Number of samples; the seed is fixed.
    """
    sums, rng = root_sums_mm(errors, "gated"), np.random.default_rng(SEED)
    shown = np.array(motion.shown, float)
    when_s, away_mm, _ = motion.grid()
    when_s, away_mm = when_s[::EVERY], away_mm[::EVERY] - motion.window_mm
    frame = np.searchsorted(motion.t_s, when_s, side="right") - 1
    found: list[list[DoseFigures]] = [[] for _ in structures]
    for _ in range(samples):
        session_mm = rng.normal(0, np.hypot(sums["systematic"], sums["random"]), 3)
        frames_mm = rng.normal(0, sums["intrafraction"], (len(motion.t_s), 3))
        late_s = (later_ms + rng.normal(0, latency_sd_ms)) / 1e3
        on = inside(when_s - late_s, motion.beam_s)
        met = Timeline((away_mm + shown * (session_mm + frames_mm[frame]))[on], EVERY * GRID_S)
        kernels = part_kernels(plan, met, dose_rate_mu_min)
        for one, figures in zip(structures, found, strict=True):
            figures.append(one.figures(received(plan, kernels, one.box), prescribed_gy))
    return [Spread(p5=_percentile(figures, 5), p95=_percentile(figures, 95)) for figures in found]


def _percentile(found: Sequence[DoseFigures], percent: float) -> DoseFigures:
    columns = np.array([msgspec.structs.astuple(one) for one in found])
    return DoseFigures(
        **dict(zip(DoseFigures.__struct_fields__, np.percentile(columns, percent, axis=0).tolist(), strict=True))
    )
