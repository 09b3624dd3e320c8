"""What the patient's page is told: where the target is in its window, and how the hold goes. No anatomy. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from cinegate.console.bands import Axis, Band
from cinegate.console.protocol import GuidePatient
from cinegate.console.trace import displacement_mm
from cinegate.console.updates import breath_hold, state
from cinegate.console.view import SessionView
from gating.errors import CinegateError
from gating.messages import GateState
from gating.settings.toml_lines import parse_toml

MAX_TEXTS_BYTES: Final = 16_384
Text = Annotated[str, Meta(min_length=1, max_length=80)]


class Texts(Struct, frozen=True, forbid_unknown_fields=True):
    """Every sentence that a patient can read."""

    language: Annotated[str, Meta(pattern="^[A-Za-z-]{2,16}$")]
    wait: Text
    breathe: Text
    steady: Text
    hold: Text
    inside: Text
    outside: Text
    second: Text


class TextsError(CinegateError, ValueError):
    """A file of texts is refused. One sentence."""


def load_texts(path: Path | None) -> Texts:
    """Return the texts of a file (TOML), or the English ones. Raises `TextsError`."""
    name = path or "patient_texts.toml"
    try:
        raw = (files("cinegate.console") / "patient_texts.toml" if path is None else path).read_bytes()
    except OSError as error:
        raise TextsError(f"{name} cannot be read: {error.strerror}") from None
    if len(raw) > MAX_TEXTS_BYTES:
        raise TextsError(f"{name} has {len(raw)} bytes; the limit is {MAX_TEXTS_BYTES}")
    try:
        return msgspec.convert(parse_toml(raw.decode()), Texts)
    except (ValueError, msgspec.ValidationError) as error:
        raise TextsError(f"{name}: {error}") from None


def patient_update(view: SessionView, guide: GuidePatient, now_ns: int) -> dict[str, Any]:
    """Return the next message to a patient's page."""
    return state(view, now_ns) | {
        "guide": {"view": guide.view, "numbers": guide.numbers, "message": guide.message},
        "on": view.command is not None and view.command.state is GateState.ON,
        "marker": _marker(view),
        "breath_hold": breath_hold(view),
    }


def _marker(view: SessionView) -> dict[str, Any] | None:
    """Return displacement and window of the guiding target along up and across; None if it is not seen."""
    name = view.guided_target
    seen = None if name is None else view.newest(name)
    if name is None or seen is None or view.stream is None:
        return None
    left_mm, posterior_mm, superior_mm = displacement_mm(seen, view.references[name])
    bands = view.bands.get(name, [])
    across: Axis = "lr" if seen.plane == "coronal" else "ap"
    up: Axis = "ap" if seen.plane == "transversal" else "si"
    away = {"lr": left_mm, "ap": -posterior_mm, "si": superior_mm}
    across = "lr" if seen.plane == "transversal" else across
    return {
        "up_mm": away[up],
        "across_mm": away[across],
        "up": _window(bands, up),
        "across": _window(bands, across),
    }


def _window(bands: Sequence[Band], axis: Axis) -> tuple[float, float] | None:
    """Return the narrowest window along one axis: what every band allows; None if it is open on a side."""
    lows = [band.low_mm for band in bands if band.axis == axis and band.low_mm is not None]
    highs = [band.high_mm for band in bands if band.axis == axis and band.high_mm is not None]
    return (max(lows), min(highs)) if lows and highs else None
