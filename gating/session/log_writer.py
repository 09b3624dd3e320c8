"""Writing session logs: each message as it came by wire, sealed and flushed every 250 ms."""

from __future__ import annotations

import contextlib
import io
import os
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import msgpack
from mcap.writer import IndexType, Writer

from gating.messages import SCHEMA, TOPICS, WITH_PIXELS
from gating.session.hash_chain import END, SEAL, HashChain
from gating.session.log import HEADER_LENGTH, METADATA, REFUSED
from gating.session.log_file import LogFile
from gating.wire.codec import MAX_HEADER_BYTES, MAX_PARTS, MAX_PIXEL_BYTES, Part

if TYPE_CHECKING:
    from gating.session.signing import Signer

FLUSH_NS: Final = 250_000_000
SYNC_NS: Final = 1_000_000_000
"""A killed writer loses at most what came after the last flush; a power cut, what came after the last sync."""
ENCODING: Final = "cinegate-wire"
BUFFER_BYTES: Final = 1024 * 1024

_TOPICS: Final = {topic: kind.__name__ for kind, topic in TOPICS.items()}
_WITH_PIXELS: Final = {TOPICS[kind] for kind in WITH_PIXELS}


def session_log_name(session_id: str, started: datetime | None = None) -> str:
    """Return a file name made of the session's id and start only, so that it tells nothing about a patient."""
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", session_id)
    return f"{safe}_{(started or datetime.now(UTC)).astimezone(UTC):%Y%m%dT%H%M%SZ}.mcap"


class SessionWriter:
    """Appends wire messages to a new log, and hands each to the kernel within 250 ms.

    Parameters
    ----------
    path
        The new file. It is readable by its owner alone (0600), and so is its folder if it has to be made (0700).
    session_id
        Stored with the name of the clock, the wall-clock offset and the versions.
    clock_name
        Clock of the receive stamps.
    details
        Further metadata; what the writer notes under the same name gives way to it.
    signer
        Signs each seal; None: the seals are not signed.

    Raises
    ------
    OSError
        From every method but `abandon`, if the disk refuses, or if the file is no longer where and as it was left
        (`LogFile`). What is left of the log is then readable up to its last whole record.
    """

    def __init__(
        self,
        path: Path,
        session_id: str,
        clock_name: str,
        details: Mapping[str, str] | None = None,
        signer: Signer | None = None,
    ) -> None:
        self.path = path
        self.bytes_written = 0
        self._details = dict(details or {})
        self._metadata = {
            "session_id": session_id,
            "clock": clock_name,
            "schema": SCHEMA,
            "ends_with": END,
            **({} if signer is None else {"signer": signer.public}),
            **{name: version(name) for name in ("cinegate", "pyzmq", "msgpack", "mcap", "numpy")},
        }
        self._stream: IO[bytes] | None = None
        self._channels: dict[str, int] = {}
        self._sequences: dict[str, int] = {}
        self._chain = HashChain()
        self._signer = signer
        self._flushed_ns = 0
        self._synced_ns = 0

    def open(self) -> None:
        """Create the file and write its head. Calling it again does nothing."""
        if self._stream is not None:
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = LogFile(self.path)
        self._stream = io.BufferedWriter(self._file, BUFFER_BYTES)
        self._writer = start_mcap(self._stream)
        wall_ns, monotonic_ns = time.time_ns(), time.monotonic_ns()
        offset = {"wall_minus_monotonic_ns": str(wall_ns - monotonic_ns), "wall_time_ns": str(wall_ns)}
        metadata = self._metadata | offset | self._details
        self._writer.add_metadata(METADATA, metadata)
        self._chain.add_metadata(metadata)
        self.flush()

    def write(self, parts: Sequence[Part], log_time_ns: int) -> None:
        """Append one message. A malformed one goes to the topic `refused`, cut to what the wire would have read."""
        topic, data = _pack(parts)
        if topic not in self._channels:
            self._channels[topic] = add_channel(self._writer, topic)
        sequence = self._sequences.get(topic, 0)
        self._sequences[topic] = sequence + 1
        self._writer.add_message(self._channels[topic], log_time_ns, data, log_time_ns, sequence & 0xFFFFFFFF)
        self._chain.add(topic, log_time_ns, sequence & 0xFFFFFFFF, data)
        self.bytes_written += len(data)
        self.flush_if_due()

    def flush_if_due(self) -> None:
        """Flush if the last flush was 250 ms ago, and write to the disk if that was last done a second ago."""
        now_ns = time.monotonic_ns()
        if now_ns - self._flushed_ns >= FLUSH_NS:
            self.flush(sync=now_ns - self._synced_ns >= SYNC_NS)

    def flush(self, *, sync: bool = False) -> None:
        """Seal what was written and hand the buffer to the kernel; with `sync`, wait until it is on the disk."""
        assert self._stream is not None
        self._seal()
        self._file.check()
        self._stream.flush()
        self._flushed_ns = time.monotonic_ns()
        if sync:
            os.fdatasync(self._stream.fileno())
            self._synced_ns = self._flushed_ns

    def close(self) -> None:
        """Write end, summary and footer; seeking readers (Foxglove) need these. Calling it again does nothing."""
        if self._stream is None:
            return
        end = {"messages": str(sum(self._sequences.values()))}
        self._writer.add_metadata(END, end)
        self._chain.add_metadata(end)
        self._seal()
        self._writer.finish()  # type: ignore[no-untyped-call]  # mcap's
        self.flush(sync=True)
        self._stream.close()
        self._stream = None

    def _seal(self) -> None:
        if self._chain.unsealed:
            seal = self._chain.seal()
            if self._signer is not None:
                seal["signature"] = self._signer.sign(seal)
            self._writer.add_metadata(SEAL, seal)

    def abandon(self) -> None:
        """Close the file as it is, without raising. What was written stays readable, and `recover` completes it."""
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError):
                self._stream.close()
            self._stream = None


def start_mcap(stream: IO[bytes]) -> Writer:
    """Begin an MCAP file and return its writer."""
    # No index: it would keep an entry for every seal in memory, half a kilobyte per second, until the log is closed.
    writer = Writer(stream, use_chunking=False, index_types=IndexType.NONE)
    writer.start(profile="cinegate")
    return writer


def add_channel(writer: Writer, topic: str) -> int:
    """Register a topic and return its channel."""
    schema = writer.register_schema(f"cinegate.{_TOPICS.get(topic.encode(), 'Refused')}", "", b"")
    return writer.register_channel(topic, ENCODING, schema, {"schema": SCHEMA})


def _pack(parts: Sequence[Part]) -> tuple[str, bytes]:
    topic = bytes(parts[0]) if parts else b""
    pixels = parts[2] if len(parts) == 3 else b""
    well_formed = (
        topic in _TOPICS
        and len(parts) == (3 if topic in _WITH_PIXELS else 2)
        and len(parts[1]) <= MAX_HEADER_BYTES
        and bool(len(pixels)) == (topic in _WITH_PIXELS)
        and memoryview(pixels).nbytes <= MAX_PIXEL_BYTES
    )
    if well_formed:
        return topic.decode("ascii"), b"".join((HEADER_LENGTH.pack(len(parts[1])), parts[1], pixels))
    cut = [bytes(part[:MAX_HEADER_BYTES]) for part in parts[: MAX_PARTS + 1]]
    packed: bytes = msgpack.packb(cut, use_bin_type=True)
    return REFUSED, packed
