"""A session log copied without identity: every message by its rules, at moved times, under a chain of its own.

The copy is not signed, and its head says what it is a copy of: a keyed hash of the original's last digest, which only
the owner of the link table can compare.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Final

from msgspec import Struct, ValidationError
from msgspec.structs import replace

from cinegate.deidentify.identities import DeidentifyError, Patient
from cinegate.deidentify.messages import Earliest, MessageCleaner, Moved
from cinegate.deidentify.pixels import looks_like_text
from gating.messages import CineFrame, ReferenceImage
from gating.session.chain_check import ChainReport, check_chain
from gating.session.log import COPY_OF, SHADOW, SessionReader
from gating.session.log_writer import SessionWriter
from gating.settings.config import ConfigError
from gating.wire.codec import WireError, decode, encode, encode_frame

COPIED_BY: Final = "deidentified_by"
FIRST_S: Final = 1000
"""Where the clocks of a copy begin: the time since a host was started would tell one session's day from another's."""


class LogCopy(Struct, frozen=True, kw_only=True):
    """What became of a log."""

    messages: int
    left_out: int
    """Messages that could not be read, or whose identity could not be taken out."""
    text_in_images: bool
    torn: bool
    """Whether the original was cut; the copy then has no end either."""


def copy_log(
    original: Path, copy: Path, patient: Patient, *, keep_texts: bool = False, keep_target_names: bool = False
) -> LogCopy:
    """Copy a session log without identity.

    Raises
    ------
    DeidentifyError
        If the original is damaged: a copy, with a chain of its own, would hide it.
    SessionError
        If the file is no session log.
    OSError
        If it cannot be read, or the copy cannot be written.
    """
    chain = check_chain(original)
    if chain.broken:
        raise DeidentifyError(f"{original.name}: {chain.broken}; a copy would hide that it is not as it was written")
    reader = SessionReader(original)
    moved = _moved(reader)
    cleaner = MessageCleaner(patient, moved, keep_texts=keep_texts, keep_target_names=keep_target_names)
    details = _head(reader.metadata, cleaner, patient, moved.clocks_ns, chain)
    writer = SessionWriter(copy, details["session_id"], details["clock"], details)
    messages = left_out = 0
    seen: dict[str, bool] = {}
    try:
        writer.open()
        for _, log_time_ns, parts in SessionReader(original):
            try:
                message = decode(parts)
                if isinstance(message, CineFrame | ReferenceImage):
                    header = cleaner.clean(message.header)
                    plane = getattr(header, "plane", "image")
                    seen[plane] = seen[plane] if plane in seen else looks_like_text(message.pixels)
                    kept = encode_frame(replace(message, header=header))
                else:
                    kept = list(encode(cleaner.clean(message)))
            except (WireError, ValidationError, ConfigError):
                left_out += 1
                continue
            writer.write(kept, log_time_ns + moved.clocks_ns)
            messages += 1
        if reader.closed_properly:
            writer.close()
        else:
            writer.flush(sync=True)
    finally:
        writer.abandon()
    return LogCopy(
        messages=messages, left_out=left_out, text_in_images=any(seen.values()), torn=not reader.closed_properly
    )


def _moved(reader: SessionReader) -> Moved:
    """Read the log to its end; return how far its clocks move."""
    earliest = Earliest()
    for _, log_time_ns, parts in reader:
        earliest.log_time(log_time_ns)
        try:
            message = decode(parts)
        except WireError:
            continue
        earliest.message(message.header if isinstance(message, CineFrame | ReferenceImage) else message)
    return earliest.moved(FIRST_S)


def _head(
    metadata: dict[str, str], cleaner: MessageCleaner, patient: Patient, clock_shift_ns: int, chain: ChainReport
) -> dict[str, str]:
    """Return the metadata of the copy; what else the original holds, its signer too, is left out."""
    offset = dict.fromkeys(("wall_time_ns", "wall_minus_monotonic_ns"), "")
    if all(metadata.get(name, "").lstrip("-").isdecimal() for name in offset):
        wall_ns = int(metadata["wall_time_ns"]) + patient.shift_ns
        minus_ns = int(metadata["wall_minus_monotonic_ns"]) + patient.shift_ns - clock_shift_ns
        offset = {"wall_time_ns": str(wall_ns), "wall_minus_monotonic_ns": str(minus_ns)}
    return {
        "session_id": patient.token("session", metadata.get("session_id", "")),
        "clock": cleaner.clock(metadata.get("clock", "")),
        **offset,
        **({SHADOW: "yes"} if SHADOW in metadata else {}),
        COPY_OF: patient.digest(chain.digest),
        COPIED_BY: f"cinegate {version('cinegate')}",
    }
