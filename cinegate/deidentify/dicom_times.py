"""Dates and times of a DICOM data set, moved by a constant: together where a date and a time belong together."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

TEMPORAL: Final = frozenset(("DA", "TM", "DT"))
_PATIENT_GROUP: Final = 0x0010
_NO_DAY: Final = "20000101"
"""The day of a time that has none: only its time of day is kept."""
_DATE: Final = re.compile(r"\d{8}")
_TIME: Final = re.compile(r"(\d{2})(\d{2})?(\d{2})?(\.\d{1,6})?")
_DATE_TIME: Final = re.compile(r"(?P<date>\d{8})(?P<time>\d{2,6}(?:\.\d{1,6})?)?(?P<zone>[+-]\d{4})?")


def move_times(dataset: Dataset, shift_ns: int) -> None:
    """Move every date and time of one level of a data set, but those of the patient; what cannot be read is emptied."""
    shift = timedelta(microseconds=shift_ns // 1000)
    elements = [one for one in dataset if one.VR in TEMPORAL and one.tag.group != _PATIENT_GROUP]
    days = {one.keyword.removesuffix("Date"): one for one in elements if one.VR == "DA" and _one(one.value)}
    times = {one.keyword.removesuffix("Time"): one for one in elements if one.VR == "TM" and _one(one.value)}
    for what in days.keys() & times.keys():
        day, time = days[what], times[what]
        day.value, time.value = _moved_pair(str(day.value), str(time.value), shift)
    paired = {id(one[what]) for what in days.keys() & times.keys() for one in (days, times)}
    for element in elements:
        if id(element) not in paired:
            values = element.value if _several(element.value) else [element.value]
            moved = [_moved(element.VR, str(value or ""), shift) for value in values]
            element.value = moved if _several(element.value) else moved[0]


def _moved_pair(day: str, time: str, shift: timedelta) -> tuple[str, str]:
    moment = _moment(day, time)
    if moment is None:
        return "", ""
    moved = moment + shift
    return f"{moved:%Y%m%d}", _as_precise(moved, time)


def _moved(vr: str, text: str, shift: timedelta) -> str:
    if vr == "DA":
        moment = _moment(text, "12")
        return "" if moment is None else f"{moment + timedelta(days=round(shift / timedelta(days=1))):%Y%m%d}"
    if vr == "TM":
        moment = _moment(_NO_DAY, text)
        return "" if moment is None else _as_precise(moment + shift, text)
    said = _DATE_TIME.fullmatch(text)
    moment = None if said is None else _moment(said["date"], said["time"] or "")
    if said is None or moment is None:
        return ""
    moved = moment + shift
    return f"{moved:%Y%m%d}{_as_precise(moved, said['time'] or '')}{said['zone'] or ''}"


def _moment(day: str, time: str) -> datetime | None:
    """Return the moment of a date and a time, which may be empty; None if they cannot be read."""
    said = _TIME.fullmatch(time or "00")
    if _DATE.fullmatch(day) is None or said is None:
        return None
    hour, minute, second, fraction = said.groups()
    try:
        moment = datetime.strptime(f"{day}{hour}{minute or '00'}{second or '00'}", "%Y%m%d%H%M%S")
    except ValueError:
        return None
    return moment + timedelta(seconds=float(fraction or 0))


def _as_precise(moment: datetime, like: str) -> str:
    """Return a time of day with as many digits as another one."""
    whole, _, fraction = like.partition(".")
    text = f"{moment:%H%M%S}"[: len(whole)]
    return f"{text}.{f'{moment:%f}'[: len(fraction)]}" if fraction else text


def _one(value: Any) -> bool:
    return bool(value) and not _several(value)


def _several(value: Any) -> bool:
    return not isinstance(value, str) and hasattr(value, "__len__")
