"""Whether a session log is as it was written: its seals compared with what stands before them."""

from __future__ import annotations

from pathlib import Path

from mcap.records import Channel, McapRecord, Metadata
from mcap.records import Message as McapMessage
from msgspec import Struct

from gating.session.hash_chain import SEAL, HashChain
from gating.session.log import METADATA, SessionReader


class ChainReport(Struct, frozen=True, kw_only=True):
    """What became of a log's chain."""

    seals: int
    sealed_messages: int
    unsealed_messages: int
    """After the last seal: what a killed writer had flushed and not yet sealed."""
    digest: str
    broken: str = ""
    """One sentence where the chain does not fit; empty if it does."""


def check_chain(path: Path) -> ChainReport:
    """Follow the chain of a log from its beginning to its last seal.

    Raises
    ------
    SessionError
        If the file is no session log.
    OSError
        If it cannot be read.
    """
    chain, follower = HashChain(), Follower()
    for record in SessionReader(path).records():
        if isinstance(record, Metadata) and record.name == METADATA:
            chain.begin(record.metadata)
        elif not follower.take(chain, record):
            break
    broken = follower.broken or ("" if chain.seals else f"{path.name} holds no seal")
    return ChainReport(
        seals=chain.seals,
        sealed_messages=follower.sealed,
        unsealed_messages=follower.waiting,
        digest=follower.digest,
        broken=broken,
    )


class Follower:
    """Compares a log's seals with the digest of what stands before them."""

    def __init__(self) -> None:
        self.topics: dict[int, str] = {}
        self.sealed = self.waiting = 0
        self.digest = self.broken = ""

    def take(self, chain: HashChain, record: McapRecord) -> bool:
        """Follow one record; return False once the chain is broken."""
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
                self.broken = f"seal {number} does not fit the {self.waiting} messages before it (up to {messages})"
                return False
            self.sealed, self.waiting, self.digest = self.sealed + self.waiting, 0, expected["digest"]
        return True
