"""The hash chain of a session log: each seal covers the seal before it and every message in between.

A seal is an MCAP metadata record with the running BLAKE2b-256 (RFC 7693). Changing, removing, adding or reordering a
record breaks the chain at the next seal. Someone who rewrites a log from the beginning can make a new chain. Only
signed seals (`gating/session/signing.py`), or the last digest kept elsewhere, reveal that.

A recorder that closes its log writes the number of messages as a last record. A log that lacks it was cut.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

SEAL: Final = "cinegate.seal"
END: Final = "cinegate.end"
DIGEST_BYTES: Final = 32
_HEAD: Final = struct.Struct("<HQIQ")
"""Length of the topic, receive stamp, number within the topic, length of the data."""


class HashChain:
    """The running digest of a log that is being written or read."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=DIGEST_BYTES)
        self.unsealed = 0
        self.seals = 0

    def add_metadata(self, metadata: Mapping[str, str]) -> None:
        """Add a metadata record: the log's head or its end."""
        for name in sorted(metadata):
            self._hash.update(f"{name}={metadata[name]}\n".encode())
        self.unsealed += 1

    def add(self, topic: str, log_time_ns: int, sequence: int, data: bytes) -> None:
        """Add one message."""
        name = topic.encode()
        self._hash.update(_HEAD.pack(len(name), log_time_ns, sequence, len(data)))
        self._hash.update(name)
        self._hash.update(data)
        self.unsealed += 1

    def seal(self) -> dict[str, str]:
        """Return the content of the seal, and begin the next part of the chain with its digest."""
        digest = self._hash.hexdigest()
        sealed = {"digest": digest, "records": str(self.unsealed), "seal": str(self.seals)}
        self._hash = blake2b(digest.encode(), digest_size=DIGEST_BYTES)
        self.unsealed = 0
        self.seals += 1
        return sealed
