"""Acquisition stamps of DICOM images, in integer nanoseconds; never through floating point.

Each frame takes the first of these that is present:

1. FrameAcquisitionDateTime (0018,9074), enhanced images: when the acquisition of this frame started.
2. FrameReferenceDateTime (0018,9151), enhanced images: the moment most representative of this frame.
3. AcquisitionDateTime (0008,002A), then AcquisitionDate and AcquisitionTime (0008,0022 and 0008,0032), then
   AcquisitionTime alone: when the acquisition of the image started. In a multi-frame image whose frames have no stamps,
   FrameTimeVector (0018,1065) or FrameTime (0018,1063) is added up to the frame.

The start comes first because it can only make a frame older, never younger. ContentTime and the like are not used: they
say when an image was made, not when it was acquired.

Source: DICOM PS3.3 C.7.6.16.2.2 (frame content), C.8.3.1 and C.8.13.1 (MR image), C.7.6.5 (cine); PS3.5 6.2 (DA, DT,
TM).
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from drivers.errors import BadFrame
from gating.messages import StampMeaning

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

UTC: Final = "dicom-utc"
LOCAL: Final = "dicom-local"
TIME_OF_DAY: Final = "dicom-time-of-day"
ARRIVAL: Final = "arrival"
DAY_NS: Final = 86_400 * 10**9
MAX_FRAME_TIME_MS: Final = 60_000.0

_TIME: Final = re.compile(r"(\d\d):?(\d\d):?(\d\d)(?:\.(\d{1,6}))?")
_DATE: Final = re.compile(r"(\d{4})\.?(\d\d)\.?(\d\d)")
_DATE_TIME: Final = re.compile(r"(\d{8})(\d{6}(?:\.\d{1,6})?)([+-]\d{4})?")
_ZONE: Final = re.compile(r"([+-])(\d\d)(\d\d)")


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a frame was acquired, on which clock, and which moment of the acquisition that is."""

    acquired_ns: int
    clock: str
    """`dicom-utc`: since 1970, UTC; `dicom-local`: the same in an unknown zone; `dicom-time-of-day`: since midnight."""
    meaning: StampMeaning
    resolution_ns: int = 0
    """Step of the last digit written. The scanner's clock may be coarser."""


def frame_stamp(dataset: Dataset, index: int) -> Stamp:
    """Return the stamp of one frame of an image. Raises `BadFrame`, naming the attribute and its value."""
    zone = str(dataset.get("TimezoneOffsetFromUTC", "") or "")
    content = _frame_content(dataset, index)
    for attribute, meaning in (
        ("FrameAcquisitionDateTime", StampMeaning.START),
        ("FrameReferenceDateTime", StampMeaning.KSPACE_CENTRE),
    ):
        if content is not None and (text := _text(content, attribute)):
            return _from_date_time(attribute, text, zone, meaning)
    whole = _image_stamp(dataset, zone)
    return replace(whole, acquired_ns=whole.acquired_ns + _offset_ns(dataset, index))


def time_of_day_ns(field: str, text: str) -> int:
    """Return the nanoseconds since midnight of a TM value, which must have seconds. Raises `BadFrame`."""
    match = _TIME.fullmatch(text.strip())
    hours, minutes, seconds = (int(part) for part in match.groups()[:3]) if match else (99, 99, 99)
    if not (match and hours < 24 and minutes < 60 and seconds < 61):
        raise BadFrame(f"{field} is {text[:40]!r}; HHMMSS with seconds and up to 6 decimals is needed")
    return (hours * 3600 + minutes * 60 + seconds) * 10**9 + int((match[4] or "").ljust(9, "0"))


def _image_stamp(dataset: Dataset, zone: str) -> Stamp:
    if text := _text(dataset, "AcquisitionDateTime"):
        return _from_date_time("AcquisitionDateTime", text, zone, StampMeaning.START)
    text = _text(dataset, "AcquisitionTime")
    if not text:
        raise BadFrame(
            "AcquisitionTime is missing, as are AcquisitionDateTime and a frame's own; one of them is needed"
        )
    since_midnight_ns = time_of_day_ns("AcquisitionTime", text)
    day = _text(dataset, "AcquisitionDate")
    if not day:
        return Stamp(since_midnight_ns, TIME_OF_DAY, StampMeaning.START, _resolution_ns(text))
    stamp = _in_zone(_day_ns("AcquisitionDate", day) + since_midnight_ns, zone, StampMeaning.START)
    return replace(stamp, resolution_ns=_resolution_ns(text))


def _from_date_time(field: str, text: str, zone: str, meaning: StampMeaning) -> Stamp:
    match = _DATE_TIME.fullmatch(text.strip())
    if not match:
        raise BadFrame(f"{field} is {text[:40]!r}; YYYYMMDDHHMMSS with up to 6 decimals is needed")
    unzoned_ns = _day_ns(field, match[1]) + time_of_day_ns(field, match[2])
    return replace(_in_zone(unzoned_ns, match[3] or zone, meaning), resolution_ns=_resolution_ns(match[2]))


def _resolution_ns(time: str) -> int:
    return int(10 ** (9 - len(time.strip().partition(".")[2])))


def _in_zone(unzoned_ns: int, zone: str, meaning: StampMeaning) -> Stamp:
    if not zone:
        return Stamp(unzoned_ns, LOCAL, meaning)
    match = _ZONE.fullmatch(zone.strip())
    if not match:
        raise BadFrame(f"TimezoneOffsetFromUTC is {zone[:20]!r}; +HHMM or -HHMM is needed")
    east_ns = (int(match[2]) * 60 + int(match[3])) * 60 * 10**9
    return Stamp(unzoned_ns - (east_ns if match[1] == "+" else -east_ns), UTC, meaning)


def _day_ns(field: str, text: str) -> int:
    match = _DATE.fullmatch(text.strip())
    try:
        day = date(*(int(part) for part in match.groups())) if match else None
    except ValueError:
        day = None
    if day is None or day.year < 1970:
        raise BadFrame(f"{field} is {text[:40]!r}; a date YYYYMMDD since 1970 is needed")
    return calendar.timegm(day.timetuple()) * 10**9


def _frame_content(dataset: Dataset, index: int) -> Dataset | None:
    """Return the frame's FrameContentSequence item, or None."""
    groups = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    if not groups:
        return None
    if index >= len(groups):
        raise BadFrame(f"PerFrameFunctionalGroupsSequence has {len(groups)} items; frame {index + 1} needs its own")
    content = groups[index].get("FrameContentSequence") or ()
    return content[0] if content else None


def _offset_ns(dataset: Dataset, index: int) -> int:
    """Return how long after its image's stamp a frame was acquired."""
    count = int(dataset.get("NumberOfFrames") or 1)
    if count == 1:
        return 0
    vector = _milliseconds("FrameTimeVector", dataset.get("FrameTimeVector"))
    if vector:
        if len(vector) != count:
            raise BadFrame(f"FrameTimeVector has {len(vector)} values; {count} are needed, one a frame")
        return sum(round(step * 1e6) for step in vector[1 : index + 1])
    steps = _milliseconds("FrameTime", dataset.get("FrameTime"))
    if len(steps) != 1 or not steps[0] > 0:
        raise BadFrame(f"FrameTime is {steps or 'missing'}; {count} frames need one above 0 ms, or a stamp each")
    return round(steps[0] * 1e6) * index


def _milliseconds(field: str, value: Any) -> list[float]:
    if value is None or value == "":
        return []
    values: Sequence[Any] = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    numbers = [float(item) for item in values]
    if not all(0 <= number <= MAX_FRAME_TIME_MS for number in numbers):
        raise BadFrame(f"{field} is {str(numbers)[:60]}; 0 to {MAX_FRAME_TIME_MS:g} ms are allowed")
    return numbers


def _text(dataset: Dataset, attribute: str) -> str:
    value = dataset.get(attribute)
    return "" if value is None else str(value)
