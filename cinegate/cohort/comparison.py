"""The decisions of a cohort's logs beside those of this code, other settings or another version."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from cinegate.cohort.run import CohortRun
from cinegate.cohort.sources import staged
from cinegate.cohort.work import Verify
from gating.analysis.comparison import Comparison, Place
from gating.analysis.stretches import Stretch
from gating.errors import CinegateError
from gating.report.comparison_page import first_frame, write_comparison_page
from gating.session.summary_data import read_data

PICTURES: Final = 6


def compare(run: CohortRun, work: Verify, page: Path) -> Comparison:
    """Gather what `Verify` found in every log, and write the page.

    Where another version verified the logs too, only stretches that it does not have are counted and shown: decisions
    that this code takes otherwise. A log that the other version could not replay, or whose version does not tell its
    stretches, is compared with its own decisions.

    Raises
    ------
    OSError
        If the page cannot be written.
    """
    found = Comparison()
    for source, result in run.results():
        replay = result.get("replay")
        if replay is None:
            found.add_damaged()
            continue
        ours = _stretches(replay)
        theirs = _stretches((result.get("other") or {}).get("replay") or {})
        found.gone += len(theirs.keys() - ours.keys())
        appeared = [stretch for values, stretch in ours.items() if values not in theirs]
        found.add(source, replay["commands"], replay["frames"], appeared)
    write_comparison_page(page, found, _compared(work), _pictures(found.worst))
    return found


def _stretches(replay: Any) -> dict[tuple[Any, ...], Stretch]:
    """Return the stretches of a replay by all that they hold."""
    return {astuple(one): one for one in msgspec.convert(replay.get("stretches", []), list[Stretch])}


def _compared(work: Verify) -> str:
    if work.python:
        return f"what this code decides otherwise than the log, and {work.python} does not"
    return "those of the log, and those of this code under " + ("other" if work.config else "the log's") + " settings"


def _pictures(worst: list[Place]) -> list[str]:
    """Return the first frame of the worst stretch of each log; of a log that cannot be read any more, none."""
    chosen: dict[str, Place] = {}
    for place in worst:
        chosen.setdefault(place.log, place)
    drawn = []
    for place in islice(chosen.values(), PICTURES):
        with suppress(OSError, CinegateError), staged(place.log) as (path, _):
            drawn.append(first_frame(read_data(path), place))
    return drawn
