"""Checks whether a session log is as it was written, by comparing its seals with the messages before them."""

from __future__ import annotations

from pathlib import Path

from mcap.records import Channel, McapRecord, Metadata
from mcap.records import Message as McapMessage
from msgspec import Struct

from gating.session.hash_chain import SEAL, HashChain
from gating.session.log import METADATA, SessionReader


class ChainReport(Struct, frozen=True, kw_only=True):
    """What the check of a log's hash chain found."""

    seals: int
    sealed_messages: int
    unsealed_messages: int
    """Messages after the last seal, which a killed writer had flushed and not yet sealed."""
    digest: str
    broken: str = ""
    """One sentence that says where the chain is broken; empty if it is whole."""


def check_chain(path: Path) -> ChainReport:
    """Check the chain of a log from its beginning to its last seal.

    Raises
    ------
    SessionError
        If the file is no session log.
    OSError
        If the file cannot be read.
    """
    chain, checker = HashChain(), SealChecker()
    for record in SessionReader(path).records():
        if isinstance(record, Metadata) and record.name == METADATA:
            chain.begin(record.metadata)
        elif not checker.check(chain, record):
            break
    broken = checker.broken or ("" if chain.seals else f"{path.name} holds no seal")
    return ChainReport(
        seals=chain.seals,
        sealed_messages=checker.sealed,
        unsealed_messages=checker.waiting,
        digest=checker.digest,
        broken=broken,
    )


class SealChecker:
    """Compares the seals of a log with the digest of the messages before them."""

    def __init__(self) -> None:
        self.topics: dict[int, str] = {}
        self.sealed = self.waiting = 0
        self.digest = self.broken = ""

    def check(self, chain: HashChain, record: McapRecord) -> bool:
        """Take the next record; return False if it breaks the chain."""
        if isinstance(record, Channel):
            self.topics[record.id] = record.topic
        elif isinstance(record, McapMessage):
            topic = self.topics.get(record.channel_id, "")
            chain.add(topic, record.log_time, record.sequence, record.data)
            self.waiting += 1
        elif isinstance(record, Metadata) and record.name == SEAL:
            expected = chain.seal()
            if dict(record.metadata) != expected:
                number, messages = expected["seal"], self.sealed + self.waiting
                self.broken = f"seal {number} does not match the {self.waiting} messages before it (up to {messages})"
                return False
            self.sealed, self.waiting, self.digest = self.sealed + self.waiting, 0, expected["digest"]
        return True
