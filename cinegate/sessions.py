"""A session log as arrays, and its report."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from gating.report.summary import SessionSummary, summarise_data
from gating.session.log import SessionError
from gating.session.summary_data import SessionData, read_data

if TYPE_CHECKING:
    import pandas

    from gating.analysis.figures import SessionFigures
    from gating.messages import Event, SessionHeader, StreamInfo, TargetReference

_MM: Final = [("lr_mm", np.float64), ("ap_mm", np.float64), ("si_mm", np.float64)]
FRAMES: Final = np.dtype(
    [
        ("frame", np.int64),
        ("t_s", np.float64),
        ("plane", "U64"),
        ("acquired_ns", np.int64),
        ("published_ns", np.int64),
    ]
)
ESTIMATES: Final = np.dtype(
    [
        ("frame", np.int64),
        ("acquired_ns", np.int64),
        ("plane", "U64"),
        ("target", "U64"),
        ("x_px", np.float64),
        ("y_px", np.float64),
        *_MM,
        ("confidence", np.float64),
        ("status", "U16"),
        ("target_out_fraction", np.float64),
        ("gate", "U8"),
        ("reason", "U32"),
    ]
)
COMMANDS: Final = np.dtype(
    [
        ("t_s", np.float64),
        ("frame", np.int64),
        ("state", "U8"),
        ("reason", "U32"),
        ("engine_state", "U16"),
        ("renewal", np.bool_),
        ("lease_ms", np.float64),
    ]
)
BEAM: Final = np.dtype(
    [
        ("t_s", np.float64),
        ("frame", np.int64),
        ("commanded", "U8"),
        ("confirmed", "U8"),
        ("reason", "U32"),
        ("latched", np.bool_),
    ]
)
POSITIONS: Final = np.dtype(
    [
        ("t_s", np.float64),
        ("frame", np.int64),
        ("structure", "U64"),
        ("valid", np.bool_),
        ("reason", "U32"),
        ("renewal", np.bool_),
        *((f"measured_{name}", kind) for name, kind in _MM),
        ("predicted_t_s", np.float64),
        *((f"predicted_{name}", kind) for name, kind in _MM),
        *((f"sd_{name}", kind) for name, kind in _MM),
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class SessionLog:
    """What a session log holds, but for the pixels, which `open_recording(log.path)` reads.

    Times `t_s` are seconds after the first frame was published; `frame` is its number in the stream, -1 before the
    first. The arrays are numpy structured arrays in the order of their arrival, which `dataframe` turns into tables.

    Attributes
    ----------
    path
        Of the log.
    frames
        One row per frame: `frame`, `t_s` (publication), `plane`, `acquired_ns` (the source's own stamp),
        `published_ns`.
    estimates
        One row per target and frame: `frame`, `acquired_ns`, `plane`, `target`, `x_px`, `y_px`, `lr_mm`, `ap_mm`,
        `si_mm` (LPS), `confidence` (0 to 1), `status`, `target_out_fraction` (0 to 1), `gate`, `reason`.
    commands
        Every command of the engine, renewals included: `t_s` (sent), `frame`, `state`, `reason`, `engine_state`,
        `renewal`, `lease_ms`.
    beam
        Every status of the beam interface: `t_s` (sent), `frame`, `commanded`, `confirmed` (by the line), `reason`,
        `latched`.
    positions
        Every position for machines that follow: `t_s` (sent), `frame`, `structure`, `valid`, `reason`, `renewal`,
        `measured_lr_mm` and so on (LPS), `predicted_t_s` (the moment predicted), `predicted_lr_mm` and so on, and
        their standard deviations `sd_lr_mm` and so on; NaN where it was not known.
    events
        What the processes reported.
    targets
        The targets and gating boundaries as they were learned, by name.
    header, stream
        What ran with which settings, and what the source declared; None if the log lacks it.
    summary
        The figures that `cinegate report` prints.
    """

    path: Path
    frames: NDArray[np.void]
    estimates: NDArray[np.void]
    commands: NDArray[np.void]
    beam: NDArray[np.void]
    positions: NDArray[np.void]
    events: tuple[Event, ...]
    targets: dict[str, TargetReference]
    header: SessionHeader | None
    stream: StreamInfo | None
    summary: SessionSummary


def read_session(path: str | os.PathLike[str]) -> SessionLog:
    """Read a session log, also a torn one: `summary.cut` then says what it lacks.

    Parameters
    ----------
    path
        Session log (`.mcap`).

    Raises
    ------
    SessionError
        If the file is missing or is no session log.

    Examples
    --------
    >>> log = cinegate.read_session("sessions/20260301T101500-4f2a1c.mcap")
    >>> log.summary.duty_cycle
    0.53
    >>> log.estimates["si_mm"][log.estimates["gate"] == "on"].std()
    1.1
    """
    data = read_data(existing_log(path))
    return SessionLog(
        path=data.path,
        frames=_array(_frame_rows(data), FRAMES),
        estimates=_array(_estimate_rows(data), ESTIMATES),
        commands=_array(_command_rows(data), COMMANDS),
        beam=_array(_beam_rows(data), BEAM),
        positions=_array(_position_rows(data), POSITIONS),
        events=tuple(data.events),
        targets=dict(data.references),
        header=data.header,
        stream=data.stream,
        summary=summarise_data(data),
    )


def report(
    log: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    patient: str = "",
    plan: str = "",
    fraction: str = "",
) -> Path:
    """Write the HTML report of a session log, one file that opens offline, as `cinegate report` does.

    Parameters
    ----------
    log
        Session log (`.mcap`).
    out
        HTML file; beside the log by default.
    patient, plan, fraction
        Labels of the session for its page, preferably pseudonyms; at most 64 characters each.

    Returns
    -------
    Path of the page.

    Raises
    ------
    SessionError
        If the file is missing or is no session log.
    ValueError
        If a label is too long.

    Examples
    --------
    >>> cinegate.report("sessions/20260301T101500-4f2a1c.mcap")
    PosixPath('sessions/20260301T101500-4f2a1c.html')
    """
    from gating.report.html import write_html
    from gating.report.labels import Labels

    path = existing_log(log)
    page = path.with_suffix(".html") if out is None else Path(out)
    write_html(path, page, Labels(patient=patient, plan=plan, fraction=fraction))
    return page


def session_document(summary: SessionSummary, found: Sequence[SessionFigures]) -> dict[str, Any]:
    """Return the summary of a session, and the figures of its targets as `clinical`, ready for JSON."""
    from gating.analysis.export import figures_json
    from gating.report.summary import summary_dict

    return {**summary_dict(summary), "clinical": figures_json(found, summary.session_id)}


def existing_log(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file that is there. Raises `SessionError`."""
    file = Path(path)
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "there is no such file"
        raise SessionError(f"{file}: {what}; a session log (.mcap) is needed")
    return file


def dataframe(table: NDArray[np.void]) -> pandas.DataFrame:
    """Return one of the structured arrays as a pandas data frame. Raises `Unavailable` where pandas is missing."""
    from cinegate.tables import dataframe as as_dataframe

    return as_dataframe(table)


def _frame_rows(data: SessionData) -> Iterable[tuple[Any, ...]]:
    for frame in data.frames.values():
        t_s = data.seconds(frame.published_ns)
        yield frame.sequence, t_s, frame.plane, frame.acquired_ns, frame.published_ns


def _estimate_rows(data: SessionData) -> Iterable[tuple[Any, ...]]:
    found = [one for estimates in data.estimates.values() for one in estimates]
    for one in sorted(found, key=lambda estimate: estimate.frame_sequence):
        where = (one.frame_sequence, one.acquired_ns, one.plane, one.target, one.x_px, one.y_px, *one.position_mm)
        yield *where, one.confidence, one.status, one.target_out_fraction, str(one.gate), one.reason


def _command_rows(data: SessionData) -> Iterable[tuple[Any, ...]]:
    for at_ns, one in data.commands:
        said = (one.frame_sequence, str(one.state), one.reason, str(one.engine_state), one.renewal, one.lease_ms)
        yield data.seconds(at_ns), *said


def _beam_rows(data: SessionData) -> Iterable[tuple[Any, ...]]:
    for at_ns, one in data.statuses:
        said = (one.frame_sequence, str(one.commanded), str(one.confirmed), one.reason, one.latched)
        yield data.seconds(at_ns), *said


def _position_rows(data: SessionData) -> Iterable[tuple[Any, ...]]:
    for one in data.positions:
        variances = (one.covariance_mm2[index] for index in (0, 3, 5))
        sd_mm = (None if variance is None else variance**0.5 for variance in variances)
        predicted_s = data.seconds(one.predicted_ns) if one.valid else None
        said = (one.frame_sequence, one.structure, one.valid, one.reason, one.renewal, *one.measured_mm)
        yield data.seconds(one.sent_ns), *said, predicted_s, *one.predicted_mm, *sd_mm


def _array(rows: Iterable[tuple[Any, ...]], dtype: np.dtype[np.void]) -> NDArray[np.void]:
    return np.array(list(rows), dtype)
