"""Settings that can disarm a safeguard: the range in which each is safe, and the override that it needs beyond it.

An override names the setting and says why, and who decided it:

    [overrides]
    "gating.max_out_fraction" = "phantom test of the line, J. Doe"

Settings not listed here either cannot weaken a safeguard within the range that the configuration admits, or state
something measured (`clocks`, `safety.source_latency_ms`), or can only take beam away (`prediction`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from gating.settings.three_d import LEAST_GROWTH_MM_S

OWN: Final = "no publication found; a limit of this project"
_LAMB: Final = "Lamb et al. 2017, PMC5689863: 3 mm and 10 %; the limit beyond is this project's"
_TG76: Final = "AAPM TG-76 section VI: 500 ms, of a beam that follows the target; this share is this project's"
_HOLD: Final = "one example of doi:10.1186/s13014-015-0383-y: 2.5 mm, 2 s; the limit beyond is this project's"
MAX_REASON: Final = 200


class Safeguard(NamedTuple):
    """A setting, its safe range (both ends included), and what is lost beyond it."""

    setting: str
    """Key in the configuration; `*` stands for any one part."""
    lowest: float
    highest: float
    lost: str
    hazard: str
    """Number of the hazard in `docs/safety.md`."""
    source: str = OWN

    @property
    def safe(self) -> str:
        """The safe range in words."""
        if isinstance(self.lowest, bool):
            return str(self.lowest).lower()
        if self.lowest == -_ANY:
            return f"at most {self.highest:g}"
        return f"at least {self.lowest:g}" if self.highest == _ANY else f"{self.lowest:g} to {self.highest:g}"


class Disarmed(NamedTuple):
    """A setting beyond its safe range."""

    setting: str
    value: Any
    safeguard: Safeguard

    def __str__(self) -> str:
        value = str(self.value).lower() if isinstance(self.value, bool) else f"{self.value:g}"
        return f"{self.setting} = {value}: {self.safeguard.lost}; safe is {self.safeguard.safe}"


_ANY: Final = float("inf")
_WIDE = "the beam stays on with the target far outside"
_NARROW = "the target may be outside the bound of its position"

SAFEGUARDS: Final = (
    Safeguard("gating.margins.*", -_ANY, 10, _WIDE, "H1", _LAMB),
    Safeguard("gating.max_out_fraction", -_ANY, 0.3, _WIDE, "H1", _LAMB),
    Safeguard("gating.resume_good_frames", 2, _ANY, "one good frame brings the beam back", "H1"),
    Safeguard("gating.off_delay_ms", -_ANY, 200, "the beam stays on after the target has left", "H1", _TG76),
    Safeguard("gating.rules.*.margins.*", -_ANY, 10, _WIDE, "H1", _LAMB),
    Safeguard("gating.rules.*.max_out_fraction", -_ANY, 0.3, _WIDE, "H1", _LAMB),
    Safeguard("gating.rules.*.min_overlap", 0.7, _ANY, _WIDE, "H1"),
    Safeguard("gating.rules.*.lr_mm", -_ANY, 15, _WIDE, "H1"),
    Safeguard("gating.rules.*.ap_mm", -_ANY, 15, _WIDE, "H1"),
    Safeguard("gating.rules.*.si_mm", -_ANY, 15, _WIDE, "H1"),
    Safeguard("gating.rules.*.distance_mm", -_ANY, 10, _WIDE, "H1", "SPARK protocol, PMC5341369: 3 mm"),
    Safeguard("gating.rules.*.duration_s", -_ANY, 10, "an excursion is tolerated", "H1", "SPARK protocol: 5 s"),
    Safeguard("gating.rules.*.max_in_fraction", -_ANY, 0.3, "an organ at risk lies in the beam", "H1"),
    Safeguard("gating.rules.*.flat_mm", -_ANY, 5, "breathing passes for a breath-hold", "H1", _HOLD),
    Safeguard("gating.rules.*.reproducibility_mm", -_ANY, 5, "a hold elsewhere passes as the right one", "H1", _HOLD),
    Safeguard("gating.rules.*.shift_lps_mm.*", -30, 30, "the window is far from the contour that was drawn", "H15"),
    Safeguard("gating.three_d.measured_mm", 0.2, _ANY, _NARROW, "H22"),
    Safeguard("gating.three_d.coverage", 0.9, _ANY, _NARROW, "H22"),
    Safeguard("gating.three_d.couplings.*.bound_mm", 0.2, _ANY, _NARROW, "H22"),
    Safeguard("gating.three_d.couplings.*.growth_mm_s", LEAST_GROWTH_MM_S, _ANY, _NARROW, "H22"),
    Safeguard("gating.three_d.learn_frames", 10, _ANY, _NARROW, "H22"),
    Safeguard("tracking.min_confidence", 0.5, _ANY, "the beam stays on at what may be a look-alike", "H2"),
    Safeguard("tracking.max_speed_mm_s", -_ANY, 400, "a jump to a look-alike passes for motion", "H2"),
    Safeguard("safety.lease_ms", -_ANY, 200, "the beam outlives the engine or the network", "H8", _TG76),
    Safeguard("positions.lease_ms", -_ANY, 200, "a machine outlives the stream that it follows", "H24", _TG76),
    Safeguard("safety.stale_intervals", -_ANY, 3, "the beam stays on with old images", "H3", _TG76),
    Safeguard("safety.stale_margin_ms", -_ANY, 100, "the beam stays on with old images", "H3", _TG76),
    Safeguard("safety.arm_good_frames", 3, _ANY, "a stream that was hardly seen is armed", "H6"),
    Safeguard("safety.max_beam_on_s", -_ANY, 600, "nothing ends a beam that never ends by itself", "H1"),
    Safeguard("safety.hold_over_budget", True, True, "late decisions go on", "H3"),
    Safeguard("health.max_interval_ratio", -_ANY, 3, "missing frames pass for a slow rate", "H3"),
    Safeguard("health.min_interval_ratio", 0.1, _ANY, "replayed or doubled frames pass for a fast rate", "H4"),
    Safeguard("health.max_stamp_uncertainty_ms", -_ANY, 100, "the age of images is not known", "H4", _TG76),
    Safeguard("health.max_saturated_fraction", -_ANY, 0.5, "overexposed images are decided on", "H7"),
    Safeguard("health.max_still_s", -_ANY, 60, "a still image under noise passes for a patient", "H4"),
    Safeguard("recording.max_silence_ms", -_ANY, 2000, "beam is delivered without a record", "H13"),
    Safeguard("clocks.max_drift_ppm", -_ANY, 48, "a queue that grows by 0.2 ms/s passes for drift", "H3"),
    Safeguard("security.allow_open_network", False, False, "any host may send images and commands", "H10"),
)


def disarmed(config: msgspec.Struct) -> list[Disarmed]:
    """Return the settings that are beyond their safe range, in the order of the table."""
    values = dict(_flat(msgspec.to_builtins(config), ()))
    return [
        Disarmed(".".join(path), value, safeguard)
        for safeguard in SAFEGUARDS
        for path, value in values.items()
        if _matches(path, safeguard.setting.split(".")) and not safeguard.lowest <= value <= safeguard.highest
    ]


def refusal(config: msgspec.Struct, overrides: Mapping[str, str]) -> tuple[str, str]:
    """Return which setting is refused and why, in one sentence; two empty texts if every override is as it must be."""
    found = {each.setting: each for each in disarmed(config)}
    for setting, each in found.items():
        if setting not in overrides:
            return setting, f'{each}, or an override with its reason: [overrides] "{setting}" = "WHY, WHO"'
    for setting, reason in overrides.items():
        if setting not in found:
            return (
                f"overrides.{setting}",
                f"override of {setting}: this is in its safe range, or no safeguard; remove it",
            )
        if not reason.strip() or len(reason) > MAX_REASON or not reason.isprintable():
            why = f"the reason must be 1 to {MAX_REASON} plain characters"
            return f"overrides.{setting}", f"override of {setting}: {why}"
    return "", ""


def in_words(config: msgspec.Struct, overrides: Mapping[str, str]) -> list[str]:
    """Return one sentence for each override in force."""
    return [f"{each} (override: {overrides.get(each.setting, 'none')})" for each in disarmed(config)]


def _flat(plain: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    items = plain.items() if isinstance(plain, dict) else enumerate(plain) if isinstance(plain, list | tuple) else None
    if items is None:
        yield path, plain
        return
    for key, value in items:
        yield from _flat(value, (*path, str(key)))


def _matches(path: tuple[str, ...], pattern: list[str]) -> bool:
    return len(path) == len(pattern) and all(part in ("*", key) for key, part in zip(path, pattern, strict=True))
