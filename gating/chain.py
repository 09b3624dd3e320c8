"""The hash chain of a session log: each seal covers every message since the last one, and that seal.

A seal is an MCAP metadata record with the running BLAKE2b-256 (RFC 7693). Whoever changes, removes, adds or reorders a
record breaks the chain at the next seal. It needs no key, so it cannot tell a log that was rewritten from its
beginning: for that, keep the last digest somewhere else.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Final

from mcap.records import Channel, McapRecord, Metadata
from mcap.records import Message as McapMessage
from msgspec import Struct

SEAL: Final = "cinegate.seal"
DIGEST_BYTES: Final = 32
_HEAD: Final = struct.Struct("<HQIQ")
"""Length of the topic, receive stamp, number within the topic, length of the data."""


class HashChain:
    """The running digest of a log that is being written or read."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=DIGEST_BYTES)
        self.unsealed = 0
        self.seals = 0

    def begin(self, metadata: Mapping[str, str]) -> None:
        """Cover what the log says of itself."""
        for name in sorted(metadata):
            self._hash.update(f"{name}={metadata[name]}\n".encode())
        self.unsealed += 1

    def add(self, topic: str, log_time_ns: int, sequence: int, data: bytes) -> None:
        """Cover one message."""
        name = topic.encode()
        self._hash.update(_HEAD.pack(len(name), log_time_ns, sequence, len(data)))
        self._hash.update(name)
        self._hash.update(data)
        self.unsealed += 1

    def seal(self) -> dict[str, str]:
        """Return what goes into the seal, and begin the next stretch with it."""
        digest = self._hash.hexdigest()
        sealed = {"digest": digest, "records": str(self.unsealed), "seal": str(self.seals)}
        self._hash = blake2b(digest.encode(), digest_size=DIGEST_BYTES)
        self.unsealed = 0
        self.seals += 1
        return sealed


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
    from gating.session import METADATA, SessionReader

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
