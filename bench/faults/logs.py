"""Check that nothing recorded is lost: session logs must still hold after a fault what they held before it."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from mcap.records import Message as McapMessage
from mcap.records import Metadata

from gating.messages import CineFrame, FrameHeader, GateCommand
from gating.session.chain_check import SealChecker
from gating.session.hash_chain import HashChain
from gating.session.log import METADATA, SessionReader, unpack
from gating.session.recovery import recover
from gating.wire.codec import WireError, decode

READ: Final = ("gate", "frame")
BLOCK_BYTES: Final = 2**20


class MessageKey(NamedTuple):
    """Identity of one gate command or frame: its sender and number, and for a frame the hash of its pixels."""

    sender: str
    number: int
    content: str = ""

    @classmethod
    def of(cls, message: GateCommand | FrameHeader) -> MessageKey:
        """Return the key of a message."""
        if isinstance(message, GateCommand):
            return cls(message.engine_id, message.command_sequence)
        return cls(message.publisher_id, message.sequence, message.content_hash)


class Log:
    """One session log, read a part at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kept: set[MessageKey] = set()
        self.closed = False
        self._chain, self._checker = HashChain(), SealChecker()
        self._good_bytes = 8
        self._mark: tuple[int, bytes] = (0, _digest(path, 0))

    @property
    def broken(self) -> str:
        """Sentence about a break of the hash chain; empty if there is none."""
        return self._checker.broken

    def read(self) -> None:
        """Read the records that are new since the last call."""
        reader = SessionReader(self.path)
        with self.path.open("rb") as stream:
            stream.seek(self._good_bytes)
            for record in reader.whole_records(stream):
                if isinstance(record, Metadata) and record.name == METADATA:
                    self._chain.add_metadata(record.metadata)
                elif not self._checker.check(self._chain, record):
                    return
                if isinstance(record, McapMessage):
                    self._keep(self._checker.topics.get(record.channel_id, ""), record.data)
        self._good_bytes, self.closed = reader.good_bytes, reader.closed_properly

    def mark(self) -> None:
        """Remember the bytes that are on the disk now."""
        size = self.path.stat().st_size
        self._mark = size, _digest(self.path, size)

    def changed(self) -> bool:
        """Return whether any byte has changed since `mark`."""
        size, digest = self._mark
        return _digest(self.path, size) != digest

    def _keep(self, topic: str, data: bytes) -> None:
        if topic not in READ:
            return
        try:
            message = decode(unpack(topic, data))
        except WireError:
            return
        if isinstance(message, CineFrame):
            self.kept.add(MessageKey.of(message.header))
        elif isinstance(message, GateCommand):
            self.kept.add(MessageKey.of(message))


class Logs:
    """All logs in a folder. They are numbered, and only the newest is being written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._logs: dict[Path, Log] = {}

    def mark(self) -> None:
        """Remember the content of the logs before a fault."""
        for log in self._growing():
            log.read()
            log.mark()

    def violations(self, recorded: set[MessageKey]) -> list[str]:
        """Read the new records, recover torn logs, and return a sentence for each loss, also of `recorded` messages."""
        found: list[str] = []
        growing = self._growing()
        for log in growing:
            if log.changed():
                found.append(f"what stood in {log.path.name} before the fault has changed")
            log.read()
            if log is not growing[-1] and not log.closed:
                found += self._recovered(log)
            if log.broken or self._logs[log.path].broken:
                found.append(f"{log.path.name}: {log.broken or self._logs[log.path].broken}")
        missing = recorded.difference(*(log.kept for log in self._logs.values()))
        if missing:
            found.append(f"{len(missing)} of {len(recorded)} recorded messages are in no log, one is {min(missing)}")
        return found

    def _growing(self) -> list[Log]:
        """Return the logs that were not closed when they were last read, the newest last."""
        for path in sorted(self._folder.glob("*.mcap"), key=lambda one: int(one.stem)):
            self._logs.setdefault(path, Log(path))
        return [log for log in self._logs.values() if not log.closed]

    def _recovered(self, torn: Log) -> list[str]:
        """Close a log whose writer is gone; return a sentence if that lost anything."""
        recover(torn.path)
        whole = self._logs[torn.path] = Log(torn.path)
        whole.read()
        lost = len(torn.kept - whole.kept)
        return [f"{torn.path.name} lost {lost} messages as it was recovered"] if lost else []


def _digest(path: Path, size: int) -> bytes:
    """Return a hash of the first `size` bytes of a file."""
    digest = blake2b()
    with path.open("rb") as stream:
        while size > 0 and (block := stream.read(min(size, BLOCK_BYTES))):
            digest.update(block)
            size -= len(block)
    return digest.digest()
