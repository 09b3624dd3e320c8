"""Settings of a phantom. Motion is in patient axes (LPS): left, posterior and superior are positive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from drivers.errors import Unavailable

_Seconds = Annotated[float, Meta(ge=0, le=36_000)]
_Fraction = Annotated[float, Meta(ge=0, le=1)]
_Mm = Annotated[float, Meta(ge=-60, le=60)]
_Rate = Annotated[float, Meta(ge=-100, le=100)]


class _Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Breathing(_Section, frozen=True, kw_only=True):
    """Free breathing after Lujan et al. 1999 (doi:10.1118/1.598577): exhale is the rest position, inhale is short."""

    period_s: Annotated[float, Meta(ge=1, le=30)] = 4.2
    inhale_si_mm: _Mm = -15.0
    """Displacement at full inhale; negative is inferior."""
    inhale_ap_mm: _Mm = -4.0
    inhale_lr_mm: _Mm = 1.0
    lujan_n: Annotated[int, Meta(ge=1, le=6)] = 2
    """Half the power of the cosine."""
    variability: Annotated[float, Meta(ge=0, le=0.5)] = 0.12
    """Relative standard deviation of the period and depth of each cycle, cut at twice that."""
    ap_lag_s: Annotated[float, Meta(ge=0, le=1)] = 0.15
    """Delay of the anterior-posterior motion, which makes the path of the target a loop."""
    lr_lag_s: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """Delay of the left-right motion."""


class BreathHold(_Section, frozen=True, kw_only=True):
    """A breath-hold from `start_s`, reached and left within `ramp_s`."""

    start_s: _Seconds
    duration_s: _Seconds
    depth: Annotated[float, Meta(ge=-0.2, le=1.5)] = 0.0
    """0: exhale, 1: full inhale."""
    ramp_s: Annotated[float, Meta(ge=0.2, le=5)] = 1.0


class Cough(_Section, frozen=True, kw_only=True):
    """A damped jerk along SI."""

    at_s: _Seconds
    amplitude_mm: _Mm = 12.0
    frequency_per_s: Annotated[float, Meta(gt=0, le=10)] = 2.5
    decay_s: Annotated[float, Meta(gt=0, le=5)] = 0.35


class TargetLoss(_Section, frozen=True, kw_only=True):
    """The target leaves the slice; meanwhile the noise may rise."""

    start_s: _Seconds
    duration_s: _Seconds
    ramp_s: Annotated[float, Meta(ge=0.05, le=5)] = 0.5
    noise_factor: Annotated[float, Meta(ge=1, le=20)] = 1.0


class PhantomSettings(_Section, frozen=True, kw_only=True):
    """One phantom session; the same settings and seed give the same pixels."""

    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 1
    rows: Annotated[int, Meta(ge=48, le=1024)] = 256
    columns: Annotated[int, Meta(ge=48, le=1024)] = 256
    pixel_spacing_mm: tuple[Annotated[float, Meta(gt=0.2, le=10)], Annotated[float, Meta(gt=0.2, le=10)]] = (1.2, 1.2)
    """(row, column)."""
    dtype: Literal["uint8", "uint16", "float32"] = "uint16"
    plane: Literal["sagittal", "coronal"] = "sagittal"
    frames_per_s: Annotated[float, Meta(gt=0, le=200)] = 8.0
    duration_s: _Seconds | None = None
    """None: endless."""
    interval_jitter: Annotated[float, Meta(ge=0, le=0.8)] = 0.04
    """Largest relative deviation of an interval from the nominal one."""
    breathing: Breathing = Breathing()
    breath_holds: tuple[BreathHold, ...] = ()
    coughs: tuple[Cough, ...] = ()
    losses: tuple[TargetLoss, ...] = ()
    drift_si_mm_per_min: _Rate = 0.0
    drift_ap_mm_per_min: _Rate = 0.0
    target_radius_mm: Annotated[float, Meta(ge=4, le=60)] = 12.0
    target_signal: Annotated[float, Meta(ge=0, le=2)] = 0.85
    """Liver is 0.5, vessels are 0.8, fat is 1."""
    noise_sigma: _Fraction = 0.035
    """Standard deviation of each of the two channels behind the Rician magnitude; liver is 0.5."""
    intensity_drift_per_min: Annotated[float, Meta(ge=-0.9, le=5)] = -0.03
    band_depth: _Fraction = 0.7
    """Share of the signal lost in the middle of a saturation band fixed in the image; 0: no band."""
    band_row: _Fraction = 0.36
    """Position of the band, from 0 at the first row to 1 at the last."""

    @property
    def frame_count(self) -> int | None:
        """Frames in the session, None if endless."""
        return None if self.duration_s is None else max(2, round(self.duration_s * self.frames_per_s))


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Recorded target motion instead of the breathing model. Displacements count from the first sample."""

    t_s: NDArray[np.float64]
    si_mm: NDArray[np.float64]
    ap_mm: NDArray[np.float64]
    lr_mm: NDArray[np.float64]

    def checked(self) -> Trace:
        """Return the trace with all arrays as float64. Raises `Unavailable`, naming the array at fault."""
        columns: dict[str, NDArray[np.float64]] = {}
        for name in ("t_s", "si_mm", "ap_mm", "lr_mm"):
            values: NDArray[Any] = np.asarray(getattr(self, name), np.float64)
            if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
                raise Unavailable(f"trace: {name} has shape {values.shape}; 2 or more finite numbers are needed")
            columns[name] = values
        if len({len(values) for values in columns.values()}) != 1:
            raise Unavailable(f"trace: lengths are {[len(values) for values in columns.values()]}; they must agree")
        if not (np.diff(columns["t_s"]) > 0).all():
            raise Unavailable("trace: t_s does not increase; each time must be later than the last")
        return Trace(**columns)


def checked_settings(settings: PhantomSettings) -> PhantomSettings:
    """Return the settings. Raises `Unavailable`, naming the one that is out of bounds."""
    try:
        return msgspec.convert(msgspec.to_builtins(settings), PhantomSettings)
    except msgspec.ValidationError as error:
        raise Unavailable(f"phantom settings: {error}") from None
