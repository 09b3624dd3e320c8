"""Synthetic patients: a population with known errors, and the motion of each of their sessions.

The error of a session is the mean displacement of the target from its place in the plan, along AP and SI. It is the sum
of one that is the same in every fraction of a patient, with the standard deviation Sigma over patients, and one that is
another in each fraction, with sigma (van Herk 2004, doi:10.1053/j.semradonc.2003.10.003). Breathing and drift move the
target about that mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from drivers.errors import Unavailable
from drivers.phantom.motion import Motion, smoothstep
from drivers.phantom.settings import BreathHold, Breathing, PhantomSettings, Trace

Strategy = Literal["respiratory", "exhale", "breath_hold", "exception"]
"""Presets of `gating.settings.presets`."""
FIRST_DAY: Final = datetime(2025, 1, 6, 8, tzinfo=UTC)
ONSET_S: Final = 2.0
"""Time in which the target goes from its place in the plan, where it is drawn, to where it is in the session."""
_STEP_S: Final = 0.05
_HOLD_S, _PAUSE_S = 15.0, 10.0
_Sd = Annotated[float, Meta(ge=0, le=10)]


class Population(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Standard deviations and means of a population; each is a convention of this project, to be set at will."""

    patients: Annotated[int, Meta(ge=1, le=100_000)] = 20
    fractions: Annotated[int, Meta(ge=1, le=40)] = 5
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 1
    systematic_ap_mm: _Sd = 1.0
    systematic_si_mm: _Sd = 1.5
    """Sigma."""
    random_ap_mm: _Sd = 0.8
    random_si_mm: _Sd = 1.2
    """sigma."""
    drift_si_mm_per_min: Annotated[float, Meta(ge=-5, le=5)] = -0.5
    """Mean over sessions; negative is inferior."""
    drift_sd_mm_per_min: _Sd = 0.5
    inhale_si_mm: Annotated[float, Meta(ge=-20, le=0)] = -6.0
    """Mean depth of a breath over patients."""
    inhale_sd_mm: Annotated[float, Meta(ge=0, le=5)] = 1.5
    strategies: Annotated[tuple[Strategy, ...], Meta(min_length=1)] = ("respiratory", "exhale", "breath_hold")
    """The patients take turns."""
    duration_s: Annotated[float, Meta(ge=5, le=3600)] = 60.0
    frames_per_s: Annotated[float, Meta(ge=1, le=50)] = 4.0
    side_px: Annotated[int, Meta(ge=48, le=512)] = 64
    field_of_view_mm: Annotated[float, Meta(ge=160, le=400)] = 165.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticSession:
    """One fraction of one patient, and the truth about it; pairs are AP, SI."""

    patient: str
    fraction: int
    strategy: Strategy
    started_at: datetime
    systematic_mm: tuple[float, float]
    random_mm: tuple[float, float]
    moving: PhantomSettings
    """Breathing, holds and drift."""

    @property
    def phantom(self) -> PhantomSettings:
        """Return the phantom that `trace` moves: within the imaged slice, so that what is tracked is always there."""
        return replace(self.moving, breathing=Breathing(inhale_si_mm=0.0, inhale_ap_mm=0.0, inhale_lr_mm=0.0))

    @property
    def name(self) -> str:
        """Return the session's id."""
        return f"{self.patient}-F{self.fraction:02d}"

    @property
    def mean_mm(self) -> tuple[float, float]:
        """Return the planted error of the session."""
        ap, si = (s + r for s, r in zip(self.systematic_mm, self.random_mm, strict=True))
        return ap, si

    def truth(self) -> dict[str, Any]:
        """Return what is known of the session, as a row."""
        ap, si = self.mean_mm
        return {
            "patient": self.patient, "fraction": self.fraction, "strategy": self.strategy, "session_id": self.name,
            "mean_ap_mm": ap, "mean_si_mm": si,
            "systematic_ap_mm": self.systematic_mm[0], "systematic_si_mm": self.systematic_mm[1],
            "random_ap_mm": self.random_mm[0], "random_si_mm": self.random_mm[1],
            "drift_si_mm_per_min": self.moving.drift_si_mm_per_min,
            "inhale_si_mm": self.moving.breathing.inhale_si_mm, "period_s": self.moving.breathing.period_s,
        }  # fmt: skip

    def trace(self) -> Trace:
        """Return the motion. Its mean over the session is `mean_mm`, and it begins at the place in the plan."""
        assert self.moving.duration_s is not None
        t_s, motion = np.arange(0.0, self.moving.duration_s + _STEP_S, _STEP_S), Motion(self.moving)
        moved = [motion.at(when) for when in t_s.tolist()]
        arrived = np.array([smoothstep(when / ONSET_S) for when in t_s.tolist()])
        ap, si = (
            _with_mean(np.array([getattr(one, axis) for one in moved]), arrived, mean_mm)
            for axis, mean_mm in zip(("ap_mm", "si_mm"), self.mean_mm, strict=True)
        )
        return Trace(t_s=t_s, si_mm=si, ap_mm=ap, lr_mm=np.zeros(len(t_s)))


def sessions_of(population: Population, patient: int) -> list[SyntheticSession]:
    """Return the sessions of one patient, by number from 0. They do not depend on how many patients there are."""
    random = np.random.Generator(np.random.PCG64([population.seed, patient]))
    spread = np.array([population.systematic_ap_mm, population.systematic_si_mm])
    systematic = random.standard_normal(2) * spread
    inhale_si_mm = float(np.clip(random.normal(population.inhale_si_mm, population.inhale_sd_mm), -20, -0.5))
    breathing = Breathing(
        period_s=float(np.clip(random.normal(4.2, 0.6), 2.5, 8)),
        inhale_si_mm=inhale_si_mm,
        inhale_ap_mm=inhale_si_mm / 4,
        inhale_lr_mm=0.0,
    )
    strategy = population.strategies[patient % len(population.strategies)]
    begins = FIRST_DAY + timedelta(days=int(random.integers(0, 360)), minutes=30 * int(random.integers(0, 20)))
    return [
        _session(population, patient, fraction, strategy, breathing, begins, systematic, random)
        for fraction in range(population.fractions)
    ]


def _session(
    population: Population,
    patient: int,
    fraction: int,
    strategy: Strategy,
    breathing: Breathing,
    begins: datetime,
    systematic: NDArray[np.float64],
    random: np.random.Generator,
) -> SyntheticSession:
    errors = random.standard_normal(2) * (population.random_ap_mm, population.random_si_mm)
    drift = float(random.normal(population.drift_si_mm_per_min, population.drift_sd_mm_per_min))
    spacing_mm = population.field_of_view_mm / population.side_px
    holds = np.arange(5.0, population.duration_s, _HOLD_S + _PAUSE_S) if strategy == "breath_hold" else np.empty(0)
    moving = PhantomSettings(
        seed=int(random.integers(2**32)),
        rows=population.side_px,
        columns=population.side_px,
        pixel_spacing_mm=(spacing_mm, spacing_mm),
        frames_per_s=population.frames_per_s,
        duration_s=population.duration_s,
        breathing=breathing,
        breath_holds=tuple(BreathHold(start_s=float(at), duration_s=_HOLD_S) for at in holds),
        drift_si_mm_per_min=drift,
        dtype="uint8",
        target_radius_mm=16.0,
        noise_sigma=0.02,
        band_depth=0.0,
    )
    return SyntheticSession(
        patient=f"P{patient + 1:05d}",
        fraction=fraction + 1,
        strategy=strategy,
        started_at=begins + timedelta(days=fraction),
        systematic_mm=(float(systematic[0]), float(systematic[1])),
        random_mm=(float(errors[0]), float(errors[1])),
        moving=moving,
    )


def _with_mean(moved: NDArray[np.float64], arrived: NDArray[np.float64], mean_mm: float) -> NDArray[np.float64]:
    """Return the motion, shifted from its arrival on so that its mean over the whole session is as wanted."""
    moved = moved * arrived
    shifted: NDArray[np.float64] = moved + arrived * (mean_mm - moved.mean()) / arrived.mean()
    return shifted


def read_population(path: Path | None, given: Mapping[str, Any]) -> Population:
    """Return a population from TOML, or the default one, with some of its fields as given.

    Raises
    ------
    Unavailable
        If a value is out of its limits or the file is no TOML; one sentence.
    OSError
        If the file cannot be read.
    """
    try:
        read = {} if path is None else msgspec.toml.decode(path.read_text(encoding="utf-8"))
        return msgspec.convert({**read, **given}, Population)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
        raise Unavailable(f"population{'' if path is None else f' {path}'}: {error}") from None
