"""What a process of a session says on its console, by Python's `logging`, at the logger `cinegate.ROLE`.

The processes log where they listen, who came and went, each change of gate or beam with its reason, and each refusal.
A record costs its maker a place in a queue; a thread of its own formats and writes it, so that a terminal that is slow
or stopped delays nobody.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from logging.handlers import QueueHandler
from queue import SimpleQueue
from typing import Annotated, Final, Literal

import typer

from cinegate.verbs.terminal import plain
from gating.settings.config import Config
from gating.settings.safeguards import in_words

QUEUED_RECORDS: Final = 1000
LIKE_IT_S: Final = 1.0
"""Of warnings from one place, one is told in this time and the others are counted: a flood must not hide the rest."""
LEAVE_WITHIN_S: Final = 1.0
_STACK_BYTES: Final = 256 * 1024
"""Processes lock their memory, and the usual stack is 8 MB."""

VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Say what is routine as well.")]
LogFormat = Literal["text", "json"]
LogFormatOption = Annotated[LogFormat, typer.Option("--log-format", help="One line of text a sentence, or of JSON.")]


class TellingHandler(QueueHandler):
    """Passes records on unformatted, drops them when nobody takes them, and counts warnings that repeat."""

    def __init__(self, records: SimpleQueue[logging.LogRecord | None]) -> None:
        super().__init__(records)
        self._records = records
        self.dropped = 0
        self._told_s: dict[str, float] = {}
        self._untold: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is to be told, with the number of untold ones like it before."""
        if record.levelno < logging.WARNING:
            return True
        place = getattr(record, "code", f"{record.pathname}:{record.lineno}")
        if record.created - self._told_s.get(place, 0.0) < LIKE_IT_S:
            self._untold[place] += 1
            return False
        self._told_s[place] = record.created
        record.untold = self._untold.pop(place, 0)
        return True

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return the record as it is: who writes it formats it."""
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue a record, unless too many wait to be written."""
        if self._records.qsize() < QUEUED_RECORDS:
            self._records.put_nowait(record)
        else:
            self.dropped += 1


class Line(logging.Formatter):
    """A record as one line: text for people, or one JSON object for machines."""

    def __init__(self, role: str, session_id: str, style: LogFormat) -> None:
        super().__init__()
        self._role, self._session_id, self._json = role, session_id, style == "json"

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. Control characters and line feeds from peers are replaced."""
        untold = getattr(record, "untold", 0)
        text = plain(record.getMessage()).replace("\n", " ") + (f" ({untold} more like it before)" if untold else "")
        at = datetime.fromtimestamp(record.created, UTC)
        if not self._json:
            return f"{at.astimezone():%H:%M:%S}.{at.microsecond // 1000:03d} {self._role}: {text}"
        fields = {
            "time": at.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "role": self._role,
            "session_id": self._session_id,
            "code": getattr(record, "code", ""),
            "text": text,
        }
        return json.dumps(fields, ensure_ascii=False)


@contextmanager
def speaking(role: str, session_id: str, *, verbose: bool = False, log_format: LogFormat = "text") -> Iterator[None]:
    """Write what this process logs to standard error, until the block is left."""
    records: SimpleQueue[logging.LogRecord | None] = SimpleQueue()
    queued, written = TellingHandler(records), logging.StreamHandler()
    written.setFormatter(Line(role, session_id, log_format))
    usual_bytes = threading.stack_size(_STACK_BYTES)
    writer = threading.Thread(target=_write, args=(records, written), name="console", daemon=True)
    writer.start()
    threading.stack_size(usual_bytes)
    ours = logging.getLogger("cinegate")
    before = ours.level, ours.propagate
    ours.setLevel(logging.DEBUG if verbose else logging.INFO)
    ours.propagate = False
    ours.addHandler(queued)
    try:
        yield
    finally:
        ours.removeHandler(queued)
        ours.setLevel(before[0])
        ours.propagate = before[1]
        if queued.dropped:
            records.put(ours.makeRecord("cinegate", logging.WARNING, "", 0, "%d sentences were not written",
                                        (queued.dropped,), None))  # fmt: skip
        records.put(None)
        writer.join(LEAVE_WITHIN_S)


def name_overrides(role: str, settings: Config) -> None:
    """Name each safeguard that the settings override."""
    for sentence in in_words(settings, settings.overrides):
        logging.getLogger(f"cinegate.{role}").warning("safeguard off: %s", sentence, extra={"code": sentence})


def _write(records: SimpleQueue[logging.LogRecord | None], handler: logging.Handler) -> None:
    while (record := records.get()) is not None:
        handler.handle(record)
