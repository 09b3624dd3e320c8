"""What a process says on its console: one line a sentence, written by another thread, bounded whatever comes."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from cinegate.verbs.speaking import QUEUED_RECORDS, Line, TellingHandler, speaking
from tests.patience import PATIENCE_S

LOG = logging.getLogger("cinegate.test")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time enough for the writer, also where others keep the machine busy."""
    monkeypatch.setattr("cinegate.verbs.speaking.LEAVE_WITHIN_S", PATIENCE_S)


@pytest.fixture
def handler() -> Iterator[TellingHandler]:
    """A handler whose queue nobody reads."""
    made = TellingHandler(SimpleQueue())
    LOG.addHandler(made)
    LOG.setLevel(logging.INFO)
    yield made
    LOG.setLevel(logging.NOTSET)
    LOG.removeHandler(made)


def test_a_sentence_is_a_line_with_its_role(capsys: pytest.CaptureFixture[str]) -> None:
    with speaking("engine", "s1"):
        LOG.info("gate %s at frame %d", "hold", 12)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(" engine: gate hold at frame 12")


def test_machines_get_a_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    with speaking("beam", "s1", log_format="json"):
        LOG.warning("beam held", extra={"code": "lease_expired"})
    line = json.loads(capsys.readouterr().err)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "warning", "role": "beam", "session_id": "s1", "code": "lease_expired", "text": "beam held"
    }  # fmt: skip


@pytest.mark.parametrize(("verbose", "lines"), [(False, 0), (True, 1)])
def test_what_is_routine_is_said_on_request(capsys: pytest.CaptureFixture[str], verbose: bool, lines: int) -> None:
    with speaking("engine", "s1", verbose=verbose):
        LOG.debug("template accepted")
    assert len(capsys.readouterr().err.splitlines()) == lines


def test_a_peers_text_forges_no_line_and_no_colour(capsys: pytest.CaptureFixture[str]) -> None:
    with speaking("source", "s1"):
        LOG.warning("%s", "refused\n12:00:00.000 engine: gate on\x1b[31m")
    (line,) = capsys.readouterr().err.splitlines()
    assert "\x1b" not in line


def test_a_flood_of_one_warning_is_told_once_and_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with speaking("beam", "s1"):
        for _ in range(500):
            LOG.warning("a message was refused", extra={"code": "message_refused"})
        LOG.warning("another", extra={"code": "other"})
        monkeypatch.setattr("cinegate.verbs.speaking.LIKE_IT_S", 0.0)
        LOG.warning("a message was refused", extra={"code": "message_refused"})
    told = [line.partition(": ")[2] for line in capsys.readouterr().err.splitlines()]
    assert told == ["a message was refused", "another", "a message was refused (499 more like it before)"]


def test_who_speaks_formats_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    formatted_by: list[int] = []

    class Value:
        def __str__(self) -> str:
            formatted_by.append(threading.get_ident())
            return "1 mm"

    with speaking("engine", "s1"):
        LOG.info("%s outside", Value())
    assert formatted_by
    assert threading.get_ident() not in formatted_by


def test_a_queue_that_nobody_reads_stays_bounded(handler: TellingHandler) -> None:
    for _ in range(QUEUED_RECORDS + 7):
        LOG.info("gate hold")
    assert handler.dropped == 7


def test_a_stopped_terminal_keeps_no_process_from_leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cinegate.verbs.speaking.LEAVE_WITHIN_S", 0.05)
    reads_again = threading.Event()

    class Stopped(io.StringIO):
        def write(self, text: str) -> int:
            reads_again.wait(20)
            return len(text)

    monkeypatch.setattr("sys.stderr", Stopped())
    with speaking("beam", "s1"):
        LOG.info("beam commanded hold")
    assert not reads_again.is_set()
    reads_again.set()


def test_a_line_without_a_session_has_none() -> None:
    record = LOG.makeRecord("cinegate.line", logging.INFO, "", 0, "line hold", (), None)
    assert json.loads(Line("line", "", "json").format(record))["session_id"] == ""
