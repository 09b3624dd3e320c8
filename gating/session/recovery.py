"""Closing torn session logs, with every whole record kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from mcap.records import Channel, Metadata
from mcap.records import Message as McapMessage
from msgspec import Struct

from gating.session.log import REFUSED, SessionError, SessionReader
from gating.session.log_writer import BUFFER_BYTES, add_channel, start_mcap


class RecoverReport(Struct, frozen=True, kw_only=True):
    """What `recover` did to a log."""

    path: str
    was_torn: bool
    messages: int
    cut_bytes: int
    """Number of bytes of an unfinished record at the end, which no reader could use."""
    text: str

    def __str__(self) -> str:
        return self.text


def recover(path: Path) -> RecoverReport:
    """Close a torn log: keep every whole record, add summary and footer, and replace the file in one step.

    Raises
    ------
    SessionError
        If the file is no session log.
    OSError
        If there is no room for the closed copy. The torn log is then unchanged.
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
    writer = start_mcap(stream)
    channels: dict[int, int] = {}
    for record in SessionReader(path).records():
        if isinstance(record, Channel):
            channels[record.id] = add_channel(writer, record.topic)
        elif isinstance(record, Metadata):
            writer.add_metadata(record.name, record.metadata)
        elif isinstance(record, McapMessage):
            channel = channels.get(record.channel_id)
            if channel is None:
                channel = channels[record.channel_id] = add_channel(writer, REFUSED)
            writer.add_message(channel, record.log_time, record.data, record.publish_time, record.sequence)
    writer.finish()  # type: ignore[no-untyped-call]  # mcap's
