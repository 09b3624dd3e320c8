"""Damaged and random input for every parser, for a short time each; `bench.fuzz_guided` is the long form.

Each parser gets random bytes, and valid input with changed bits, bytes, lengths and longer stretches. Only its own
documented errors are allowed.
"""

from __future__ import annotations

import resource
import struct
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from bench import fuzz_cine_files as files
from bench import fuzz_seeds as seeds
from drivers.errors import DriverError
from drivers.formats import mrd, openigtlink
from drivers.formats.crc64 import crc64
from drivers.formats.dicom import read_dicom_file
from drivers.formats.mrd_image import MrdImage
from drivers.formats.stream import StreamParser
from drivers.formats.unity import parse_unity
from drivers.recordings import open_recording
from drivers.recordings.masks import read_mask
from drivers.recordings.traces import read_trace
from gating.messages import StampMeaning
from gating.session.chain_check import check_chain
from gating.session.log import SessionError, read_session
from gating.session.recovery import recover
from gating.settings.config import ConfigError, parse_config
from gating.wire.codec import WireError, decode

LIMIT_BYTES: Final = 2 * 2**30
BATCH: Final = 200
MOST_CHANGES: Final = 8
EXTREMES: Final = tuple(
    struct.pack(order + code, value)
    for order in "<>"
    for code, values in (
        ("H", (0, 1, 2**15, 2**16 - 1)),
        ("I", (0, 1, 2**31 - 1, 2**31, 2**32 - 1)),
        ("Q", (0, 1, 2**63 - 1, 2**63, 2**64 - 1)),
        ("f", (float("nan"), float("inf"), -0.0, 3e38)),
        ("d", (float("nan"), float("inf"), -1.0, 1e308)),
    )
    for value in values
)

Parts = list[bytes]


@dataclass(frozen=True, slots=True)
class Target:
    """A parser: valid input, the call, and its documented errors."""

    seeds: Callable[[], list[Parts]]
    call: Callable[[Parts], None]
    documented: tuple[type[Exception], ...]


class Fuzzed(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one parser."""

    parser: str
    inputs: int
    accepted: int
    """Number of inputs accepted; the others were refused with a documented error."""
    seconds: float
    grown_mb: float
    """Peak of the resident memory above that before the first input."""
    failure: str = ""
    """The undocumented error, and the smallest input found that causes it."""


def _decode(parts: Parts) -> None:
    decode(parts)


def _unity(parts: Parts) -> None:
    parse_unity(parts[0], "fuzzed").target_contour_px()


def _mrd(parts: Parts) -> None:
    maker = mrd.FrameMaker(StampMeaning.START, "centre")
    for message in _streamed(mrd.parse_messages(), parts[0]):
        if isinstance(message, MrdImage):
            maker.frame(message, 0)


def _openigtlink(parts: Parts) -> None:
    """Parse the input as it is, and with the first checksum corrected, so that the code behind the check is reached."""
    data = parts[0]
    (body_bytes,) = struct.unpack(">Q", data[42:50].rjust(8, b"\0"))
    checked = data[:50] + struct.pack(">Q", crc64(data[58 : 58 + min(body_bytes, len(data))])) + data[58:]
    for stream in (data, checked):
        with suppress(DriverError):
            for message in _streamed(openigtlink.parse_messages(), stream):
                if isinstance(message, openigtlink.Image):
                    openigtlink.geometry(message)
    for _ in _streamed(openigtlink.parse_messages(), data):
        pass


def _streamed(parser: StreamParser, data: bytes) -> list[Any]:
    """Give a parser the bytes that it asks for, never more than a socket would buffer; return its messages."""
    messages: list[Any] = []
    at, wanted = 0, next(parser)
    while at < len(data):
        if isinstance(wanted, int) and not isinstance(wanted, bool):
            assert 0 <= wanted <= LIMIT_BYTES
            if at + wanted > len(data):
                break
            at, given_bytes = at + wanted, data[at : at + wanted]
            try:
                wanted = parser.send(given_bytes)
            except StopIteration:
                break
        else:
            messages.append(wanted)
            wanted = next(parser)
    return messages


def _recording(suffix: str) -> Callable[[Parts], None]:
    def call(parts: Parts) -> None:
        with tempfile.TemporaryDirectory(prefix="cgf-") as name:
            case = Path(name) / "images" if suffix == ".mha" else Path(name)
            case.mkdir(exist_ok=True)
            (case.parent / "frame-rate.json").write_text("8")
            path = case / f"a_frames{suffix}"
            path.write_bytes(parts[0])
            if suffix == ".mha":
                with suppress(DriverError):
                    read_mask(path)
            recording = open_recording(path)
            if len(recording):
                _ = recording.frames[0], recording.frames[len(recording) - 1]
            _ = recording.target_mask

    return call


def _without_times(*names: str) -> Callable[[Parts], None]:
    """Return a call that writes each part as a file and opens the first, or its folder, as a user would."""

    def call(parts: Parts) -> None:
        with tempfile.TemporaryDirectory(prefix="cgf-") as name:
            for file, part in zip(names, parts, strict=False):
                (Path(name) / file).write_bytes(part)
            path = Path(name) if names[0].endswith(".png") else Path(name) / names[0]
            spacing_mm = None if names[0].endswith((".raw", ".dat")) else 3.5
            recording = open_recording(path, spacing_mm, frames_per_s=4, skip_frames=0)
            _ = recording.frames[0], recording.frames[len(recording) - 1], recording.target_mask

    return call


def _session_log(parts: Parts) -> None:
    with tempfile.TemporaryDirectory(prefix="cgf-") as name:
        path = Path(name) / "log.mcap"
        path.write_bytes(parts[0])
        for read in (lambda: list(read_session(path)), lambda: check_chain(path), lambda: recover(path)):
            with suppress(SessionError):
                read()
        open_recording(path)


def _dicom(parts: Parts) -> None:
    with tempfile.TemporaryDirectory(prefix="cgf-") as name:
        path = Path(name) / "image.dcm"
        path.write_bytes(parts[0])
        read_dicom_file(path)


def _traces(parts: Parts) -> None:
    """Read a trace whose suffix is the first part."""
    suffix = parts[0].decode("ascii", "replace").replace("/", "").replace("\0", "")[-8:]
    with tempfile.TemporaryDirectory(prefix="cgf-") as name:
        path = Path(name) / f"trace{suffix}"
        path.write_bytes(parts[-1])
        read_trace(path).for_phantom()


def _configuration(parts: Parts) -> None:
    parse_config(parts[0].decode("utf-8", "replace"))


def _one(make: Callable[[], bytes]) -> Callable[[], list[Parts]]:
    return lambda: [[make()]]


TARGETS: Final = {
    "wire": Target(seeds.wire_messages, _decode, (WireError,)),
    "session log": Target(_one(seeds.session_log), _session_log, (SessionError, DriverError)),
    "MS-NRBF": Target(_one(seeds.unity_frame), _unity, (DriverError,)),
    "MRD": Target(_one(seeds.mrd_stream), _mrd, (DriverError,)),
    "MRD 2": Target(_one(seeds.mrd2_stream), _mrd, (DriverError,)),
    "OpenIGTLink": Target(_one(seeds.openigtlink_stream), _openigtlink, (DriverError,)),
    "npz": Target(_one(seeds.npz_recording), _recording(".npz"), (DriverError,)),
    "mha": Target(_one(seeds.mha_image), _recording(".mha"), (DriverError,)),
    "DICOM": Target(_one(seeds.dicom_image), _dicom, (DriverError,)),
    "0.35 T series": Target(files.mridian_series, _without_times("a.raw", "a.roi"), (DriverError,)),
    "0.35 T stream": Target(_one(files.mridian_stream), _without_times("a.dat"), (DriverError,)),
    "PNG": Target(lambda: [[files.png_image()] * 2], _without_times("1.png", "2.png"), (DriverError,)),
    "movie": Target(_one(files.movie), _without_times("a.avi"), (DriverError,)),
    "motion traces": Target(seeds.motion_traces, _traces, (DriverError,)),
    "configuration": Target(_one(seeds.configuration), _configuration, (ConfigError,)),
}


@st.composite
def spoilt(draw: st.DrawFn, valid: Sequence[Parts]) -> Parts:
    """Draw valid input with one to eight changes."""
    parts = [bytearray(part) for part in draw(st.sampled_from(valid))]
    for _ in range(draw(st.integers(1, MOST_CHANGES))):
        part = parts[draw(st.integers(0, len(parts) - 1))]
        at = draw(st.integers(0, len(part)))
        match draw(st.sampled_from(("flip", "byte", "extreme", "insert", "cut", "delete", "repeat"))):
            case "flip" if at < len(part):
                part[at] ^= 1 << draw(st.integers(0, 7))
            case "byte" if at < len(part):
                part[at] = draw(st.integers(0, 255))
            case "extreme":
                value = draw(st.sampled_from(EXTREMES))
                part[at : at + len(value)] = value
            case "insert":
                part[at:at] = draw(st.binary(max_size=16))
            case "cut":
                del part[at:]
            case "delete":
                del part[at : at + draw(st.integers(1, 16))]
            case "repeat":
                part[at:at] = part[at : at + draw(st.integers(1, 64))] * draw(st.integers(1, 4))
            case _:
                pass
    return [bytes(part) for part in parts]


@cache
def _inputs(name: str) -> st.SearchStrategy[Parts]:
    valid = TARGETS[name].seeds()
    made_up = st.lists(st.binary(max_size=400), min_size=len(valid[0]), max_size=len(valid[0]))
    return spoilt(valid) | made_up


def fuzz(name: str, seconds: float, seed: int = 0) -> Fuzzed:
    """Call one parser for a time. An input that causes an undocumented error is shrunk, which may take longer."""
    target, counts = TARGETS[name], [0, 0]

    def call(parts: Parts) -> None:
        counts[0] += 1
        with suppress(*target.documented), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.call(parts)
            counts[1] += 1

    for parts in target.seeds():
        target.call(parts)
    before_mb, began, failure = _resident_mb(), time.monotonic(), ""
    test = settings(
        max_examples=BATCH,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )(given(_inputs(name))(call))
    while time.monotonic() - began < seconds and not failure:
        try:
            seeded(seed)(test)()
        except Exception as error:  # noqa: BLE001 - undocumented errors are looked for
            notes = " ".join(getattr(error, "__notes__", []))
            failure = f"{type(error).__name__}: {error} {notes}"[:2000]
        seed += 1
    took_s = time.monotonic() - began
    grown_mb = round(_resident_mb() - before_mb, 1)
    return Fuzzed(
        parser=name, inputs=counts[0], accepted=counts[1], seconds=round(took_s, 1), grown_mb=grown_mb, failure=failure
    )


def _resident_mb() -> float:
    """Return the peak of the resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
