"""The format of session logs, and how they are read.

A log holds every wire message as it came, with its receive stamp, in the records of an MCAP file (version 1.0,
https://mcap.dev/spec). The data of a record is a little-endian u32 with the length of the header, the msgpack header
and, for a frame or an image, its pixels. Messages that the wire refuses are kept too, on the topic `refused`, as a
msgpack list of their parts. The file is not chunked, so each record is either whole or absent, whenever the writer was
killed.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Final, NamedTuple

import msgpack
from mcap.exceptions import McapError
from mcap.records import Channel, DataEnd, Footer, McapRecord, Metadata
from mcap.records import Message as McapMessage
from mcap.stream_reader import StreamReader

from gating.errors import CinegateError
from gating.messages import TOPICS, CineFrame, Message, ReferenceImage
from gating.wire.codec import MAX_HEADER_BYTES, MAX_PARTS, MAX_PIXEL_BYTES, WireError, decode

REFUSED: Final = "refused"
METADATA: Final = "cinegate"
SHADOW: Final = "shadow"
"""In the head of a log: a shadow session, of which no beam interface is part."""
COPY_OF: Final = "deidentified_copy_of"
"""In the head of a log: a copy without identity, of the log whose last digest has this keyed hash."""
HEADER_LENGTH: Final = struct.Struct("<I")

_MAGIC: Final = b"\x89MCAP0\r\n"
_MAX_RECORD_BYTES: Final = MAX_PIXEL_BYTES + MAX_HEADER_BYTES + 1024


class SessionError(CinegateError, ValueError):
    """A file is no session log, or a log cannot be closed. The text is one sentence."""


class LogRecord(NamedTuple):
    """A decoded message of a log."""

    topic: str
    log_time_ns: int
    """When the recorder received it, on its monotonic clock."""
    message: Message | CineFrame | ReferenceImage


class RawRecord(NamedTuple):
    """A message of a log, byte for byte as it came by wire."""

    topic: str
    log_time_ns: int
    parts: list[bytes]


class SessionReader(Iterator[RawRecord]):
    """Reads a log from beginning to end. The end may be torn; `cut` then says what is missing.

    Parameters
    ----------
    path
        Path of the log.
    kinds
        The messages that are wanted; all by default. Others are passed over as fast as the file can be read.

    Raises
    ------
    SessionError
        If the file is no session log.
    OSError
        If the file cannot be read.
    """

    def __init__(self, path: Path, kinds: Collection[type[Message]] = ()) -> None:
        self.path = path
        self._wanted = frozenset(TOPICS[kind].decode() for kind in kinds)
        self.metadata: dict[str, str] = {}
        self.closed_properly = False
        self.good_bytes = 0
        self.cut = ""
        self._records = self._read()

    @property
    def cut_bytes(self) -> int:
        """Number of bytes after the last whole record, once the log has been read to its end."""
        return 0 if self.closed_properly else self.path.stat().st_size - self.good_bytes

    def __next__(self) -> RawRecord:
        return next(self._records)

    def records(self) -> Iterator[McapRecord]:
        """Yield every whole record of the data section, as it is in the file."""
        with self.path.open("rb") as stream:
            self._check_magic(stream.read(len(_MAGIC)))
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
                if self._wanted and topic not in self._wanted:
                    continue
                yield RawRecord(topic, record.log_time, unpack(topic, record.data))
        if not self.closed_properly:
            self.cut = (
                f"{self.path.name} ends without a footer after {self.good_bytes} bytes of whole records; "
                f"{self.cut_bytes} bytes of an unfinished one follow"
            )

    def _check_magic(self, magic: bytes) -> None:
        if not _MAGIC.startswith(magic):
            raise SessionError(f"{self.path.name} is no session log: it does not begin like an MCAP file")

    def whole_records(self, stream: IO[bytes]) -> Iterator[McapRecord]:
        """Yield records up to the end or the first that is not whole. The summary repeats data and is left out."""
        self.good_bytes = stream.tell()
        records = StreamReader(stream, skip_magic=True, record_size_limit=_MAX_RECORD_BYTES).records
        in_summary = False
        while True:
            try:
                record = next(records)
            except StopIteration:
                return
            except (McapError, struct.error, ValueError, KeyError, OverflowError, MemoryError):
                return
            self.good_bytes = stream.tell()
            if isinstance(record, Footer):
                self.closed_properly = stream.read(len(_MAGIC)) == _MAGIC
                return
            in_summary = in_summary or isinstance(record, DataEnd)
            if not in_summary:
                yield record


class DecodedReader(Iterator[LogRecord]):
    """Reads the decoded messages of a log. It counts those that cannot be decoded and keeps the last reason."""

    def __init__(self, path: Path, kinds: Collection[type[Message]] = ()) -> None:
        self.raw = SessionReader(path, kinds)
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
    """Return a reader of the messages of a log, byte for byte."""
    return SessionReader(path)


def read_session(path: Path, kinds: Collection[type[Message]] = ()) -> DecodedReader:
    """Return a reader of the decoded messages of a log, or of those of some kinds; those of frames are their headers.

    At the end, its `.raw.cut` says what a torn log lacks.
    """
    return DecodedReader(path, kinds)


def unpack(topic: str, data: bytes) -> list[bytes]:
    """Return the parts of the wire message that a record holds."""
    if topic == REFUSED:
        try:
            parts = msgpack.unpackb(data, max_array_len=MAX_PARTS + 1, max_bin_len=MAX_HEADER_BYTES, max_ext_len=0)
        except (ValueError, TypeError, msgpack.UnpackException):
            return [data]
        return parts if isinstance(parts, list) else [data]
    begin = HEADER_LENGTH.size
    end = begin + int.from_bytes(data[:begin], "little")
    parts = [topic.encode(), data[begin:end]]
    return [*parts, data[end:]] if end < len(data) else parts
