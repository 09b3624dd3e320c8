"""What the index keeps of a session log: the report's own figures, one row a log with its targets and holds."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, get_args

import msgspec
from msgspec import Struct

from gating.analysis.figures import AXES, AxisMotion, SessionFigures, Transitions, session_figures
from gating.analysis.motion import session_config
from gating.report.summary import summarise_data
from gating.session.summary_data import SessionData, read_data
from gating.settings.presets import preset_of

if TYPE_CHECKING:
    import pyarrow


class Hold(Struct, frozen=True, kw_only=True):
    """How many times a reason ended a beam that was permitted."""

    reason: str
    count: int


class SessionRow(Struct, frozen=True, kw_only=True):
    """A session log, as it was when it was indexed; what is not known is null."""

    log: str
    """Path of the log in its folder."""
    content_hash: str
    """BLAKE2b-256 of the file."""
    size_bytes: int
    modified_ns: int
    changed_ns: int
    """Times of the file's last change and of its inode's, by which a later change is noticed."""
    indexed_utc: datetime
    follows: str = ""
    """Content hash of the torn log that this one continues, as it was indexed before; empty if it continues none."""
    problem: str = ""
    """Why the file gives no figures; empty if it does."""
    session_id: str = ""
    started_utc: datetime | None = None
    source_kind: str = ""
    source: str = ""
    real_time: bool | None = None
    beam_kind: str = ""
    beam_known_by: str = ""
    strategy: str = ""
    """The preset whose gating settings the session had, or `own`."""
    tracker: str = ""
    config_hash: str = ""
    version: str = ""
    """Of cinegate, when the session took place."""
    sites: list[str] = []
    cut: str = ""
    duration_s: float | None = None
    frames_published: int | None = None
    frames_skipped: int | None = None
    duty_cycle: float | None = None
    beam_on_s: float | None = None
    beam_on_periods: int | None = None
    engine_p99_ms: float | None = None
    """Latency of the engine; of sessions in real time alone."""
    faults: int | None = None
    """Events of severity `fault`."""
    safeguards_off: int | None = None
    holds: list[Hold] = []
    targets: list[dict[str, Any]] = []
    """The figures of `gating.analysis.figures`, one for each target; `ap_mean_mm` is `mean_mm` of the axis AP."""


def read_row(log: Path, file: dict[str, Any]) -> SessionRow:
    """Return the row of a log.

    Parameters
    ----------
    log
        The file. One that is no session log, or whose settings this version refuses, gets a row that says so.
    file
        The fields of the row that describe the file.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    try:
        data = read_data(log)
        figures = session_figures(data)
        config = session_config(data)
    except ValueError as error:
        return SessionRow(**file, problem=str(error))
    return SessionRow(**file, **_session(data), strategy=preset_of(config) or "own", targets=[*map(_flat, figures)])


def _session(data: SessionData) -> dict[str, Any]:
    said = summarise_data(data)
    engine = said.latency_ms.get("engine")
    return {
        "session_id": said.session_id,
        "started_utc": _utc(said.started_at),
        "source_kind": said.source_kind,
        "source": said.source,
        "real_time": said.real_time,
        "beam_kind": said.beam_kind,
        "beam_known_by": said.beam_known_by,
        "tracker": said.tracker,
        "config_hash": said.config_hash,
        "version": said.versions.get("cinegate", ""),
        "sites": [site.site for site in said.sites],
        "cut": said.cut,
        "duration_s": said.duration_s,
        "frames_published": said.frames_published,
        "frames_skipped": said.frames_skipped,
        "duty_cycle": said.duty_cycle,
        "beam_on_s": said.beam_on_s,
        "beam_on_periods": len(said.beam_on_periods),
        "engine_p99_ms": engine.p99 if engine is not None and said.real_time else None,
        "faults": sum(event.severity == "fault" for event in data.events),
        "safeguards_off": len(said.overrides),
        "holds": [Hold(reason=reason, count=count) for reason, count in said.holds.items()],
    }


def _utc(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)
    except ValueError:
        return None


def _flat(figures: SessionFigures) -> dict[str, Any]:
    """Return the figures of a target as one row; NaN, and the mean of what was never shown, become None."""
    row: dict[str, Any] = {}
    for name, value in msgspec.structs.asdict(figures).items():
        if isinstance(value, Transitions):
            row |= {f"{name}_{part}": one for part, one in msgspec.structs.asdict(value).items()}
        elif name == "residual":
            row |= {f"{axis.axis.lower()}_{part}": one for axis in value for part, one in _asdict(axis).items()}
        elif name == "holds":
            row["breath_holds"] = len(value)
        elif name != "baseline":
            row[name] = value
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


def _asdict(axis: AxisMotion) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(axis).items() if name != "axis"}


def arrow_schema() -> pyarrow.Schema:
    """Return the columns of the index, which follow from the records above and from the figures."""
    import pyarrow as pa

    plain = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(), datetime: pa.timestamp("us")}

    def columns(kind: type[Struct], prefix: str = "") -> list[tuple[str, Any]]:
        return [
            (f"{prefix}{field.name}", plain[_kind(field.type)])
            for field in msgspec.structs.fields(kind)
            if _kind(field.type) in plain and not (kind is AxisMotion and field.name == "axis")
        ]

    target = columns(SessionFigures)
    target += [one for name in ("beam_off", "beam_on") for one in columns(Transitions, f"{name}_")]
    target += [one for axis in AXES for one in columns(AxisMotion, f"{axis.lower()}_")]
    lists = [
        ("sites", pa.list_(pa.string())),
        ("holds", pa.list_(pa.struct(columns(Hold)))),
        ("targets", pa.list_(pa.struct([*target, ("breath_holds", pa.int64())]))),
    ]
    return pa.schema(columns(SessionRow) + lists)


def _kind(annotation: Any) -> Any:
    """Return the type without its None."""
    return (
        next(one for one in get_args(annotation) if one is not type(None))
        if isinstance(annotation, UnionType)
        else annotation
    )
