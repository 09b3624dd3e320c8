"""Synthetic sessions of a population of phantoms: their logs, or their recordings, and the truth beside them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np

from cinegate.offline_log import write_offline_log
from drivers.errors import BadRecording
from drivers.phantom import Phantom
from drivers.phantom.population import Population, SyntheticSession, sessions_of
from gating.analysis.population import population_errors
from gating.archive.labels import write_labels
from gating.messages import Pacing, Pixels, SourceKind, StampMeaning, StreamInfo
from gating.report.labels import Labels
from gating.session.log_writer import session_log_name
from gating.settings.config import parse_config
from gating.settings.presets import read_preset
from gating.targets.spec import TargetSpec

Layout = Literal["logs", "trackrad"]
TRUTH: Final = "truth.json"
PHANTOM_CLOCK: Final = "phantom"
TARGET: Final = "GTV"


@dataclass(frozen=True, slots=True)
class Cohort:
    """What was made: a log or a case for each session, and by axis the errors of the population and of this sample."""

    files: tuple[Path, ...]
    planted: dict[str, dict[str, float | None]]


def make_cohort(
    population: Population,
    folder: Path,
    layout: Layout = "logs",
    *,
    processes: int | None = None,
    made: Callable[[], None] = lambda: None,
) -> Cohort:
    """Make every session of a population, and write what is true of it and whose it is.

    The same population gives the same images and decisions, in any number of processes.

    Parameters
    ----------
    population
        Whom to make.
    folder
        New or empty folder, for a log (or a TrackRAD2025 case) of each session, `truth.json` with what was planted, and
        `labels.csv` with patient and fraction of each log.
    layout
        `logs`: session logs. `trackrad`: labelled recordings, without an engine.
    processes
        How many work at once; one for each processor by default.
    made
        Called after each session, for progress.

    Returns
    -------
    The files, and the errors that they have.

    Raises
    ------
    BadRecording
        If the folder is not empty.
    OSError
        If a file cannot be written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise BadRecording(f"{folder}: it is not empty; a cohort is made in a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    sessions = [one for patient in range(population.patients) for one in sessions_of(population, patient)]
    work = partial(_make, folder=folder, layout=layout)
    files = []
    for file in _in_processes(work, sessions, processes or len(os.sched_getaffinity(0))):
        files.append(file)
        made()
    labels = (Labels(patient=one.patient, fraction=str(one.fraction)) for one in sessions)
    write_labels(folder, zip((file.name for file in files), labels, strict=True))
    rows = [one.truth() | {"file": file.name} for one, file in zip(sessions, files, strict=True)]
    planted = _planted(population, sessions)
    truth = {"population": msgspec.to_builtins(population), "planted": planted, "sessions": rows}
    (folder / TRUTH).write_text(json.dumps(truth, indent=1), encoding="utf-8")
    return Cohort(tuple(files), planted)


def _planted(population: Population, sessions: list[SyntheticSession]) -> dict[str, dict[str, float | None]]:
    """Return Sigma and sigma of the population, and those that this sample of it has, by axis."""
    found = {}
    for at, (axis, spread_mm) in enumerate({
        "AP": (population.systematic_ap_mm, population.random_ap_mm),
        "SI": (population.systematic_si_mm, population.random_si_mm),
    }.items()):  # fmt: skip
        sample = population_errors([one.patient for one in sessions], [one.mean_mm[at] for one in sessions])
        found[axis] = {
            "systematic_mm": spread_mm[0],
            "sample_systematic_mm": _known(sample.systematic_mm),
            "random_mm": spread_mm[1],
            "sample_random_mm": _known(sample.random_mm),
        }
    return found


def _known(mm: float) -> float | None:
    return mm if math.isfinite(mm) else None


def _in_processes(
    work: Callable[[SyntheticSession], Path], sessions: list[SyntheticSession], processes: int
) -> Iterator[Path]:
    if processes == 1:
        yield from map(work, sessions)
        return
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        yield from pool.map(work, sessions, chunksize=max(1, min(8, len(sessions) // processes)))


def _make(session: SyntheticSession, folder: Path, layout: Layout) -> Path:
    phantom = Phantom(session.phantom, session.trace())
    if layout == "trackrad":
        return _write_case(session, phantom, folder / session.name)
    path = folder / session_log_name(session.name, session.started_at)
    drawn = TargetSpec(TARGET, phantom.truth(0).contour_px.astype(np.float32))
    config = parse_config(read_preset(session.strategy))
    write_offline_log(path, session.name, session.started_at, config, [drawn], _stream(session, phantom),
                      _images(phantom))  # fmt: skip
    return path


def _images(phantom: Phantom) -> Iterator[tuple[int, Pixels]]:
    for index in range(phantom.settings.frame_count or 0):
        pixels: Any = np.empty(phantom.shape, phantom.settings.dtype)
        phantom.render_into(index, pixels)
        yield phantom.stamp_ns(index), pixels


def _stream(session: SyntheticSession, phantom: Phantom) -> StreamInfo:
    return StreamInfo(
        session_id=session.name,
        source="phantom cohort",
        source_kind=SourceKind.PHANTOM,
        pacing=Pacing.UNPACED,
        speed=0.0,
        planes=(phantom.settings.plane,),
        dtype=phantom.settings.dtype,
        shape=phantom.shape,
        pixel_spacing_mm=phantom.spacing_mm,
        image_orientation=phantom.orientation,
        image_position_mm=phantom.position_mm,
        nominal_interval_ns=round(1e9 / phantom.settings.frames_per_s),
        frame_count=phantom.settings.frame_count,
        acquired_clock=PHANTOM_CLOCK,
        acquired_meaning=StampMeaning.START,
        description="synthetic patient",
    )


def _write_case(session: SyntheticSession, phantom: Phantom, folder: Path) -> Path:
    from drivers.recordings.recording import checked_recording
    from drivers.recordings.writing import write_case

    images = list(_images(phantom))
    recording = checked_recording(
        path=folder,
        frames=np.stack([pixels for _, pixels in images]),
        shape=phantom.shape,
        dtype=phantom.settings.dtype,
        stamps_ns=np.array([stamp_ns for stamp_ns, _ in images], np.int64),
        pixel_spacing_mm=phantom.spacing_mm,
        given_spacing_mm=None,
        image_orientation=phantom.orientation,
        image_position_mm=phantom.position_mm,
        target_contours_px={index: phantom.truth(index).contour_px for index in range(len(images))},
        name=session.name,
    )
    write_case(recording, folder)
    return folder
