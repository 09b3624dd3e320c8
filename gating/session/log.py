"""Session logs: every wire message verbatim, with its receive stamp, in MCAP records that survive any kill.

The data of a record is a little-endian u32 with the header's length, the msgpack header and, for a frame, its pixels.
A message that the wire would refuse is kept too, on the topic `refused`, as a msgpack list of its parts.
Format: MCAP 1.0, https://mcap.dev/spec, unchunked, so that a record is whole or absent whatever happened to the writer.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, Final, NamedTuple

import msgpack
from mcap.exceptions import McapError
from mcap.records import Channel, DataEnd, Footer, McapRecord, Metadata
from mcap.records import Message as McapMessage
from mcap.stream_reader import StreamReader
from mcap.writer import IndexType, Writer
from msgspec import Struct

from gating.errors import CinegateError
from gating.messages import SCHEMA, TOPICS, CineFrame, FrameHeader, Message
from gating.session.hash_chain import SEAL, HashChain
from gating.wire.codec import MAX_HEADER_BYTES, MAX_PARTS, MAX_PIXEL_BYTES, Part, WireError, decode

FLUSH_NS: Final = 250_000_000
SYNC_NS: Final = 1_000_000_000
"""A killed writer loses at most what came since the last flush; a power cut, what came since the last sync."""
ENCODING: Final = "cinegate-wire"
REFUSED: Final = "refused"
METADATA: Final = "cinegate"
BUFFER_BYTES: Final = 1024 * 1024

_MAGIC: Final = b"\x89MCAP0\r\n"
_MAGIC_BYTES: Final = len(_MAGIC)
_TOPICS: Final = {topic: kind.__name__ for kind, topic in TOPICS.items()}
_FRAME: Final = TOPICS[FrameHeader]
_LENGTH: Final = struct.Struct("<I")
_MAX_RECORD_BYTES: Final = MAX_PIXEL_BYTES + MAX_HEADER_BYTES + 1024


class SessionError(CinegateError, ValueError):
    """A file that is no session log, or a log that cannot be written; one sentence."""


class LogRecord(NamedTuple):
    """One message of a log, decoded."""

    topic: str
    log_time_ns: int
    """Receive stamp on the recorder's monotonic clock."""
    message: Message | CineFrame


class RawRecord(NamedTuple):
    """One message of a log, byte for byte as it came by wire."""

    topic: str
    log_time_ns: int
    parts: list[bytes]


class RecoverReport(Struct, frozen=True, kw_only=True):
    """What `recover` did."""

    path: str
    was_torn: bool
    messages: int
    cut_bytes: int
    """Bytes of an unfinished record at the end, which no reader could have used."""
    text: str

    def __str__(self) -> str:
        return self.text


def session_log_name(session_id: str, started: datetime | None = None) -> str:
    """Return a file name from the session's id and start; it carries nothing else, so nothing about a patient."""
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", session_id)
    return f"{safe}_{(started or datetime.now(UTC)).astimezone(UTC):%Y%m%dT%H%M%SZ}.mcap"


class SessionWriter:
    """Append wire messages to a new log. A message is on its way to the disk 250 ms later at the latest.

    Parameters
    ----------
    path
        The new file; it is made for its owner alone (0600), as is its folder where that is missing (0700).
    session_id
        Stored beside the clock's name, the wall-clock offset and the versions.
    clock_name
        Clock of the receive stamps.
    details
        Further metadata.

    Raises
    ------
    OSError
        From every method but `abandon`, where the disk refuses; the log is readable up to the last whole record then.
    """

    def __init__(self, path: Path, session_id: str, clock_name: str, details: Mapping[str, str] | None = None) -> None:
        self.path = path
        self.bytes_written = 0
        self._metadata = {
            "session_id": session_id,
            "clock": clock_name,
            "schema": SCHEMA,
            **{name: version(name) for name in ("cinegate", "pyzmq", "msgpack", "mcap", "numpy")},
            **(details or {}),
        }
        self._stream: IO[bytes] | None = None
        self._channels: dict[str, int] = {}
        self._sequences: dict[str, int] = {}
        self._chain = HashChain()
        self._flushed_ns = 0
        self._synced_ns = 0

    def open(self) -> None:
        """Create the file and write its head. Twice is harmless."""
        if self._stream is not None:
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._stream = os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", BUFFER_BYTES)
        self._writer = _start(self._stream)
        wall_ns, monotonic_ns = time.time_ns(), time.monotonic_ns()
        offset = {"wall_minus_monotonic_ns": str(wall_ns - monotonic_ns), "wall_time_ns": str(wall_ns)}
        self._writer.add_metadata(METADATA, self._metadata | offset)
        self._chain.begin(self._metadata | offset)
        self.flush()

    def write(self, parts: Sequence[Part], log_time_ns: int) -> None:
        """Append one message; malformed ones go to the topic `refused`, cut to what the wire would have read."""
        topic, data = _pack(parts)
        if topic not in self._channels:
            self._channels[topic] = _channel(self._writer, topic)
        sequence = self._sequences.get(topic, 0)
        self._sequences[topic] = sequence + 1
        self._writer.add_message(self._channels[topic], log_time_ns, data, log_time_ns, sequence & 0xFFFFFFFF)
        self._chain.add(topic, log_time_ns, sequence & 0xFFFFFFFF, data)
        self.bytes_written += len(data)
        self.flush_if_due()

    def flush_if_due(self) -> None:
        """Hand the buffer to the kernel every 250 ms, and ask for the disk every second."""
        now_ns = time.monotonic_ns()
        if now_ns - self._flushed_ns >= FLUSH_NS:
            self.flush(sync=now_ns - self._synced_ns >= SYNC_NS)

    def flush(self, *, sync: bool = False) -> None:
        """Seal what was written, hand the buffer to the kernel, and wait for the disk where asked."""
        assert self._stream is not None
        self._seal()
        self._stream.flush()
        self._flushed_ns = time.monotonic_ns()
        if sync:
            os.fdatasync(self._stream.fileno())
            self._synced_ns = self._flushed_ns

    def close(self) -> None:
        """Write the summary and footer, so that seeking readers (Foxglove) open the log. Twice is harmless."""
        if self._stream is None:
            return
        self._seal()
        self._writer.finish()  # type: ignore[no-untyped-call]
        self.flush(sync=True)
        self._stream.close()
        self._stream = None

    def _seal(self) -> None:
        if self._chain.unsealed:
            self._writer.add_metadata(SEAL, self._chain.seal())

    def abandon(self) -> None:
        """Let go of the file as it is; never raises. What was written stays readable, and `recover` closes it."""
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError):
                self._stream.close()
            self._stream = None


class SessionReader(Iterator[RawRecord]):
    """Read a log from front to back, also one whose end is torn; `cut` then says what is missing.

    Raises
    ------
    SessionError
        If the file is no session log at all.
    OSError
        If it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata: dict[str, str] = {}
        self.closed_properly = False
        self.good_bytes = 0
        self.cut = ""
        self._records = self._read()

    @property
    def cut_bytes(self) -> int:
        """Bytes after the last whole record, once the log has been read to its end."""
        return 0 if self.closed_properly else self.path.stat().st_size - self.good_bytes

    def __next__(self) -> RawRecord:
        return next(self._records)

    def records(self) -> Iterator[McapRecord]:
        """Yield every whole record of the data as it stands in the file."""
        with self.path.open("rb") as stream:
            self._check_magic(stream.read(_MAGIC_BYTES))
            yield from self.whole_records(stream)

    def _read(self) -> Iterator[RawRecord]:
        topics: dict[int, str] = {}
        for record in self.records():
            if isinstance(record, Channel):
                topics[record.id] = record.topic
            elif isinstance(record, Metadata) and record.name == METADATA:
                self.metadata = dict(record.metadata)
            elif isinstance(record, McapMessage):
                topic = topics.get(record.channel_id, REFUSED)
                yield RawRecord(topic, record.log_time, unpack(topic, record.data))
        if not self.closed_properly:
            self.cut = (
                f"{self.path.name} ends without a footer after {self.good_bytes} bytes of whole records; "
                f"{self.cut_bytes} bytes of an unfinished one follow"
            )

    def _check_magic(self, magic: bytes) -> None:
        if not _MAGIC.startswith(magic):
            raise SessionError(f"{self.path.name} is no session log: it does not begin as MCAP does")

    def whole_records(self, stream: IO[bytes]) -> Iterator[McapRecord]:
        """Yield records until the end or the first that is not whole; a summary repeats, so only data is yielded."""
        self.good_bytes = stream.tell()
        records = StreamReader(stream, skip_magic=True, record_size_limit=_MAX_RECORD_BYTES).records
        summary = False
        while True:
            try:
                record = next(records)
            except StopIteration:
                return
            except (McapError, struct.error, ValueError, KeyError, OverflowError, MemoryError):
                return
            self.good_bytes = stream.tell()
            if isinstance(record, Footer):
                self.closed_properly = stream.read(_MAGIC_BYTES) == _MAGIC
                return
            summary = summary or isinstance(record, DataEnd)
            if not summary:
                yield record


class DecodedReader(Iterator[LogRecord]):
    """The decoded messages of a log; what does not decode is counted and its sentence kept."""

    def __init__(self, path: Path) -> None:
        self.raw = SessionReader(path)
        self.undecodable = 0
        self.last_refusal = ""

    def __next__(self) -> LogRecord:
        while True:
            topic, log_time_ns, parts = next(self.raw)
            try:
                return LogRecord(topic, log_time_ns, decode(parts))
            except WireError as error:
                self.undecodable += 1
                self.last_refusal = str(error)


def read_raw(path: Path) -> SessionReader:
    """Iterate over the messages of a log, byte for byte."""
    return SessionReader(path)


def read_session(path: Path) -> DecodedReader:
    """Iterate over the decoded messages of a log; `.raw.cut` says, at the end, what a torn log lacks."""
    return DecodedReader(path)


def recover(path: Path) -> RecoverReport:
    """Close a torn log: every whole record is kept, a summary and footer are added, the file is replaced at once.

    Raises
    ------
    SessionError
        If the file is no session log.
    OSError
        If there is no room for the closed copy; the torn log is untouched then.
    """
    torn = SessionReader(path)
    messages = sum(1 for _ in torn)
    if torn.closed_properly:
        text = f"{path.name} was closed properly; {messages} messages, nothing to do"
        return RecoverReport(path=str(path), was_torn=False, messages=messages, cut_bytes=0, text=text)
    cut_bytes = torn.cut_bytes
    copy_path = path.with_name(f"{path.name}.recovering")
    try:
        with os.fdopen(os.open(copy_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb", BUFFER_BYTES) as stream:
            _copy_records(path, stream)
            stream.flush()
            os.fsync(stream.fileno())
        copied = SessionReader(copy_path)
        if sum(1 for _ in copied) != messages or not copied.closed_properly:
            raise SessionError(f"{path.name}: the closed copy does not hold the {messages} messages of the torn log")
        copy_path.replace(path)
    finally:
        copy_path.unlink(missing_ok=True)
    text = f"{path.name} is closed: {messages} messages kept, {cut_bytes} bytes of an unfinished record cut"
    return RecoverReport(path=str(path), was_torn=True, messages=messages, cut_bytes=cut_bytes, text=text)


def _copy_records(path: Path, stream: IO[bytes]) -> None:
    writer = _start(stream)
    channels: dict[int, int] = {}
    with path.open("rb") as torn:
        torn.seek(_MAGIC_BYTES)
        for record in SessionReader(path).whole_records(torn):
            if isinstance(record, Channel):
                channels[record.id] = _channel(writer, record.topic)
            elif isinstance(record, Metadata):
                writer.add_metadata(record.name, record.metadata)
            elif isinstance(record, McapMessage):
                channel = channels.get(record.channel_id)
                if channel is None:
                    channel = channels[record.channel_id] = _channel(writer, REFUSED)
                writer.add_message(channel, record.log_time, record.data, record.publish_time, record.sequence)
    writer.finish()  # type: ignore[no-untyped-call]


def _start(stream: IO[bytes]) -> Writer:
    # No index: one entry for every seal would stay in memory, half a kilobyte a second, until the log is closed.
    writer = Writer(stream, use_chunking=False, index_types=IndexType.NONE)
    writer.start(profile="cinegate")
    return writer


def _channel(writer: Writer, topic: str) -> int:
    schema = writer.register_schema(f"cinegate.{_TOPICS.get(topic.encode(), 'Refused')}", "", b"")
    return writer.register_channel(topic, ENCODING, schema, {"schema": SCHEMA})


def _pack(parts: Sequence[Part]) -> tuple[str, bytes]:
    topic = bytes(parts[0]) if parts else b""
    pixels = parts[2] if len(parts) == 3 else b""
    well_formed = (
        topic in _TOPICS
        and len(parts) == (3 if topic == _FRAME else 2)
        and len(parts[1]) <= MAX_HEADER_BYTES
        and bool(len(pixels)) == (topic == _FRAME)
        and memoryview(pixels).nbytes <= MAX_PIXEL_BYTES
    )
    if well_formed:
        return topic.decode("ascii"), b"".join((_LENGTH.pack(len(parts[1])), parts[1], pixels))
    cut = [bytes(part[:MAX_HEADER_BYTES]) for part in parts[: MAX_PARTS + 1]]
    packed: bytes = msgpack.packb(cut, use_bin_type=True)
    return REFUSED, packed


def unpack(topic: str, data: bytes) -> list[bytes]:
    """Return the parts of the wire message that a record holds."""
    if topic == REFUSED:
        try:
            parts = msgpack.unpackb(data, max_array_len=MAX_PARTS + 1, max_bin_len=MAX_HEADER_BYTES, max_ext_len=0)
        except (ValueError, TypeError, msgpack.UnpackException):
            return [data]
        return parts if isinstance(parts, list) else [data]
    begin = _LENGTH.size
    end = begin + int.from_bytes(data[:begin], "little")
    parts = [topic.encode(), data[begin:end]]
    return [*parts, data[end:]] if end < len(data) else parts
