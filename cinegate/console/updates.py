"""What a page is told of the session: the newest state with the age of each part, and what is new for this page. Pure.

Ages are measured here and grow in the page by its own clock, so that neither a dead process nor a dead console can
look alive.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from cinegate.console.picture import Picture, plane_of
from cinegate.console.view import SessionView
from gating.decision.reasons import words
from gating.messages import ASSUMED_CLOCK, GateCommand, StampMeaning
from gating.settings.config import Config
from gating.targets.from_settings import active_rules, is_avoided

FIGURES_NS: Final = 500_000_000
"""Nobody reads figures that change more often than this."""
HEARD: Final = ("frame", "gate", "beam", "source", "recorder")


@dataclass(slots=True)
class Cursor:
    """What a page has been told already."""

    setting_version: int = -1
    pictures: dict[str, int] = field(default_factory=dict)
    """The newest picture of each plane by its number."""
    sample_number: int = 0
    events_version: int = -1
    figures_ns: int = 0
    """When the figures were told last."""

    def forget(self) -> None:
        """Begin anew, because the session is another one."""
        self.sample_number, self.events_version = 0, -1


def state(view: SessionView, now_ns: int) -> dict[str, Any]:
    """Return the part that every page is told each time."""
    return {
        "at_ms": now_ns / 1e6,
        "session": view.session_id,
        "source_kind": view.stream and view.stream.source_kind,
        "ages_ms": {name: (now_ns - view.heard_ns[name]) / 1e6 if name in view.heard_ns else None for name in HEARD},
        "limits_ms": {name: view.silence_limit_ns(name) / 1e6 for name in HEARD},
    }


def treat_update(view: SessionView, cursor: Cursor, now_ns: int, clock: str) -> tuple[dict[str, Any], Picture | None]:
    """Return the next message to a treatment page, and a picture that it has not seen.

    Parameters
    ----------
    view, now_ns
        The session, at this time of the monotonic clock.
    cursor
        What the page has been told; moved on.
    clock
        Name of this host's clock: the age of an image is told only if its stamps are on the same one.
    """
    update = state(view, now_ns) | {
        "gate": gate(view.command),
        "beam": view.beam and {name: getattr(view.beam, name) for name in _BEAM},
        "processes": processes(view),
        "breath_hold": breath_hold(view),
        "frame_age_ms": frame_age_ms(view, clock, now_ns),
    }
    if cursor.setting_version != view.setting_version:
        cursor.setting_version = view.setting_version
        update["setting"] = setting(view)
    if now_ns - cursor.figures_ns >= FIGURES_NS:
        cursor.figures_ns = now_ns
        update["figures"] = figures(view)
    if cursor.sample_number > view.trace.number or cursor.events_version > view.events.version:
        cursor.forget()
    update["samples"] = view.trace.since(cursor.sample_number)
    cursor.sample_number = view.trace.number
    if cursor.events_version != view.events.version:
        cursor.events_version = view.events.version
        update["events"] = view.events.newest_first()
    picture = _next_picture(view, cursor)
    if picture is not None:
        update["picture"] = picture.header()
    return update, picture


def _next_picture(view: SessionView, cursor: Cursor) -> Picture | None:
    """Return the newest picture of the plane that was told longest ago, so that no plane starves; None without news."""
    told = cursor.pictures
    unseen = {plane: one for plane, one in view.pictures.items() if one.number > told.get(plane, 0)}
    plane = min(unseen, key=lambda name: told.get(name, 0), default=None)
    if plane is None:
        return None
    told[plane] = unseen[plane].number
    return unseen[plane]


_BEAM: Final = ("beam", "beam_kind", "commanded", "confirmed", "reason", "detail", "latched")


def gate(command: GateCommand | None) -> dict[str, Any] | None:
    """Return the newest command with its reason in words."""
    if command is None:
        return None
    return {
        "state": command.state,
        "reason": command.reason,
        "words": words(command.reason),
        "detail": command.detail,
        "engine_state": command.engine_state,
        "frame_sequence": command.frame_sequence,
    }


def processes(view: SessionView) -> dict[str, Any]:
    """Return what source and recorder say of themselves."""
    said = {"source": view.source, "recorder": view.recorder}
    return {
        name: heartbeat and {"state": heartbeat.state, "detail": heartbeat.detail} for name, heartbeat in said.items()
    }


def figures(view: SessionView) -> dict[str, Any]:
    """Return what the session came to since the console attached. None: not known."""
    tally, stream = view.tally, view.stream
    left_s = None
    if stream is not None and stream.frame_count is not None and view.command is not None:
        left_s = max(0, stream.frame_count - 1 - view.command.frame_sequence) * view.frame_interval_ns / 1e9
    return {
        "watched_s": tally.watched_ns / 1e9,
        "beam_on_s": tally.beam_on_ns / 1e9,
        "duty_cycle": tally.duty_cycle,
        "left_s": left_s,
        "holds": [{"reason": one.reason, "times": one.times, "s": one.seconds} for one in tally.holds()],
        "engine_ms": tally.engine_latency(),
        "loop_ms": tally.loop_latency(),
    }


def breath_hold(view: SessionView) -> dict[str, Any] | None:
    """Return the progress of the breath-hold; None without a rule for it."""
    name = view.guided_target
    seen = None if name is None else view.newest(name)
    rule = None if name is None else view.hold_rule(name)
    if view.breath_hold is None or seen is None or rule is None:
        return None
    progress = view.breath_hold.state(seen.acquired_ns)
    return {
        "held_s": progress.held_s,
        "left_s": progress.left_s,
        "max_s": rule.max_hold_s,
        "plateau_s": rule.plateau_s,
        "in_place": not view.breath_hold.violation(seen.acquired_ns),
    }


def frame_age_ms(view: SessionView, clock: str, now_ns: int) -> float | None:
    """Return how long ago the shown image was acquired; None if that cannot be known here."""
    if view.picture is None:
        return None
    header = view.picture.frame.header
    if header.publish_clock != clock or header.acquired_meaning is StampMeaning.ARRIVAL:
        return None
    return (now_ns - header.acquired_on_publish_clock_ns) / 1e6


def setting(view: SessionView) -> dict[str, Any]:
    """Return what holds for the whole session: source, settings, targets and their bands."""
    stream, header = view.stream, view.header
    config = view.config or Config()
    targets = [
        {
            "name": name,
            "plane": known.plane,
            "boundary_px": known.boundary_px,
            "avoided": is_avoided(name, config.gating.rules),
            "bands": view.bands.get(name, []),
            "axes": _seen_axes(name, view),
            "max_out_fraction": _max_out_fraction(name, config),
        }
        for name, known in view.references.items()
    ]
    return {
        "session": view.session_id,
        "in_3d": config.gating.three_d.on,
        "source": stream
        and {
            "name": stream.source,
            "kind": stream.source_kind,
            "pacing": stream.pacing,
            "speed": stream.speed,
            "description": stream.description,
            "origin": stream.origin if stream.peer else "",
            "arrival_time": stream.acquired_meaning is StampMeaning.ARRIVAL,
            "times_assumed": stream.acquired_clock == ASSUMED_CLOCK,
            "frame_count": stream.frame_count,
        },
        "ended": view.ended and view.ended.why,
        "tracker": header and header.tracker,
        "started_at": header and header.started_at,
        "overrides": header.overrides if header else [],
        "min_confidence": config.tracking.min_confidence if view.config else None,
        "max_beam_on_s": config.safety.max_beam_on_s if view.config else None,
        "targets": targets,
        "sites": [{"name": one.name, "plan": one.plan} for one in config.sites],
        "site": header.site if header else "",
        "guided": view.guided_target,
    }


def _seen_axes(name: str, view: SessionView) -> list[str]:
    """Return the patient axes that the images of a target show; in 3D, the others are estimated."""
    plane = plane_of(view.planes[name]) if name in view.planes else None
    return [] if plane is None else sorted(plane.shown_axes())


def _max_out_fraction(name: str, config: Config) -> float | None:
    limits = [getattr(rule, "max_out_fraction", None) for rule in active_rules(name, config.gating)]
    return min((limit for limit in limits if limit is not None), default=None)
