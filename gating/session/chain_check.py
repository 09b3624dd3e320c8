"""Checks whether a session log is as it was written, by comparing its seals with the messages before them."""

from __future__ import annotations

from pathlib import Path

from mcap.records import Channel, McapRecord, Metadata
from mcap.records import Message as McapMessage
from msgspec import Struct

from gating.session.hash_chain import END, SEAL, HashChain
from gating.session.log import COPY_OF, METADATA, SessionReader
from gating.session.signing import is_signed_by


class ChainReport(Struct, frozen=True, kw_only=True):
    """What the check of a log's hash chain found."""

    seals: int
    sealed_messages: int
    unsealed_messages: int
    """Messages after the last seal, which a killed writer had flushed and not yet sealed."""
    digest: str
    signer: str = ""
    """Public key whose signature every seal bears; empty if the log is not signed."""
    broken: str = ""
    """One sentence that says where the chain is broken; empty if it is whole."""
    copy_of: str = ""
    """Keyed hash of the digest of the log of which this is a copy without identity; empty if it is no copy."""
    no_end: str = ""
    """One sentence if the recorder did not close the log; empty if it did, or if its version wrote no end."""


def check_chain(path: Path, public: str = "") -> ChainReport:
    """Check the chain of a log from its beginning to its last seal.

    Parameters
    ----------
    path
        Path of the log.
    public
        Public key that must have signed it, as `load_public` returns it; empty: the one that the log itself names,
        if any.

    Raises
    ------
    SessionError
        If the file is no session log.
    OSError
        If the file cannot be read.
    """
    chain, checker, head = HashChain(), SealChecker(), dict[str, str]()
    for record in SessionReader(path).records():
        if isinstance(record, Metadata) and record.name == METADATA:
            head = dict(record.metadata)
            checker.public = public or head.get("signer", "")
            chain.add_metadata(record.metadata)
        elif not checker.check(chain, record):
            break
    signer = head.get("signer", "")
    broken = checker.broken or ("" if chain.seals else "the log holds no seal")
    if checker.ended and checker.waiting:
        broken = broken or f"{checker.waiting} messages follow the end"
    if public and signer != public:
        broken = f"signed with another key, {signer[:16]}" if signer else "not signed, though a key was given"
    no_end = f"no end: cut after {checker.sealed + checker.waiting} messages, as the recorder did not close the log"
    return ChainReport(
        seals=chain.seals,
        sealed_messages=checker.sealed,
        unsealed_messages=checker.waiting,
        digest=checker.digest,
        signer=signer,
        copy_of=head.get(COPY_OF, ""),
        broken=broken,
        no_end=no_end if "ends_with" in head and not checker.ended else "",
    )


class SealChecker:
    """Compares the seals of a log with the digest of the messages before them, and with `public`, if that is given."""

    def __init__(self) -> None:
        self.topics: dict[int, str] = {}
        self.sealed = self.waiting = 0
        self.digest = self.broken = self.public = ""
        self.ended = False
        """Whether the end was read, and sealed."""
        self._end: dict[str, str] | None = None

    def check(self, chain: HashChain, record: McapRecord) -> bool:
        """Take the next record; return False if it breaks the chain."""
        if isinstance(record, Channel):
            self.topics[record.id] = record.topic
        elif isinstance(record, McapMessage):
            topic = self.topics.get(record.channel_id, "")
            chain.add(topic, record.log_time, record.sequence, record.data)
            self.waiting += 1
        elif isinstance(record, Metadata) and record.name == END:
            self._end = dict(record.metadata)
            chain.add_metadata(self._end)
        elif isinstance(record, Metadata) and record.name == SEAL:
            self.broken = self._objection(chain, dict(record.metadata))
        return not self.broken

    def _objection(self, chain: HashChain, seal: dict[str, str]) -> str:
        """Return what is wrong with a seal, in one sentence; empty if it is right."""
        expected, messages = chain.seal(), self.sealed + self.waiting
        number = expected["seal"]
        if {name: seal.get(name) for name in expected} != expected:
            return f"seal {number} does not match the {self.waiting} messages before it (up to {messages})"
        if self.public and not is_signed_by(self.public, seal):
            return f"seal {number} does not bear the signature of {self.public[:16]} (up to {messages} messages)"
        if self._end is not None and self._end.get("messages") != str(messages):
            return f"the end counts {self._end.get('messages')} messages, and the log holds {messages}"
        self.sealed, self.waiting, self.digest = messages, 0, expected["digest"]
        self.ended = self._end is not None
        return ""
