"""The Set up page's requests: bounded, refused in a sentence, and answered by processes that may end."""

from __future__ import annotations

import json
import operator
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette

import replay_data
from cinegate.console.setup import MAX_UPLOAD_BYTES, SetUp
from cinegate.console.worker import Worker, WorkError
from tests.console_bench import finished
from tests.patience import PATIENCE_S

SHOWN = {"recording": "replay_data/free_breathing.npz"}
SQUARE = [[30, 45], [50, 45], [50, 62], [30, 62]]
PLAN = {"shown": SHOWN, "frame": 0, "structures": [{"name": "GTV", "points_px": SQUARE}]}


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SetUp]:
    setup = SetUp([replay_data.FOLDER], tmp_path_factory.mktemp("s"), "dr_who")
    yield setup
    setup.close()


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


def ask(setup: SetUp, path: str, body: object = None, *, size: int | None = None) -> tuple[int, str]:
    """Status and text of an answer; `size` is what the header says of the body."""
    data = b"" if body is None else json.dumps(body).encode()
    headers = [(b"content-length", str(len(data) if size is None else size).encode())]
    name, _, query = path.partition("?")
    scope = {"type": "http", "method": "GET" if body is None else "POST", "path": f"/setup/{name}"}
    sent: list[dict] = []

    async def receive() -> dict:
        return {"type": "http.request", "body": data, "more_body": False}

    async def send(message: dict) -> None:
        sent.append(message)

    app = Starlette(routes=setup.routes())
    finished(app({**scope, "query_string": query.encode(), "headers": headers}, receive, send))  # type: ignore[arg-type]
    return sent[0]["status"], sent[1]["body"].decode(errors="replace").strip()


def test_an_upload_of_a_hundred_megabytes_is_refused_unread(setup):
    path = f"copy?shown={json.dumps(SHOWN)}&file=mask.npy"
    assert ask(setup, path, "", size=10**8) == (400, f"100000000 bytes were sent; the limit is {MAX_UPLOAD_BYTES}")


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        ("open", {"recording": "/etc/passwd"}, "recording is '/etc/passwd'; there is none of that name"),
        ("open", {"recording": 3}, "the request is refused: Expected `str`, got `int`"),
        ("frame", {"shown": SHOWN, "index": 1000}, "frame is 1000; free_breathing has frames 0 to 199"),
        ("outline", {**PLAN, "preset": "wrong"}, "preset is 'wrong'; one of respiratory"),
        ("look", {"source": "wrong"}, "source 'wrong' is unknown"),
        ("look", {"source": "phantom", "options": ["rows=1"]}, "--option of phantom: Expected `int` >= 48"),
        ("save", {"plan": PLAN, "name": "a", "accepted_by": "me"}, "the proposal is of other contours or settings"),
        ("dry-run", {"plan": PLAN, "seconds": 1}, "the request is refused: Expected `float` >= 30"),
    ],
    ids=["path", "type", "frame", "preset", "source", "option", "no dry run", "length"],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(setup, path, body, sentence):
    status, text = ask(setup, path, body)
    assert (status, text.partition("\n")[2]) == (400, "")
    assert text.startswith(sentence)


def test_a_console_without_an_operator_writes_no_file(tmp_path: Path):
    setup = SetUp([replay_data.FOLDER], tmp_path / "new", "")
    for path, body in (("save", {"plan": PLAN, "name": "a"}), ("look", {"source": "phantom"})):
        assert ask(setup, path, body)[1].startswith("this console only shows; start it with --operator")
    assert not (tmp_path / "new").exists()


def test_the_form_of_a_source_is_made_of_its_own_settings(setup):
    form = json.loads(ask(setup, "form/openigtlink")[1])
    assert form["properties"]["port"]["maximum"] == 65535
    assert "reconstruction_done" in form["properties"]["stamp_meaning"]["enum"]
    assert "recording" not in json.loads(ask(setup, "form/recording")[1])["properties"]


@pytest.mark.parametrize(
    ("work", "sentence"),
    [
        ((signal.raise_signal, signal.SIGKILL), "the process that did the work has ended"),
        ((operator.getitem, {}, "answer"), "it failed: KeyError: 'answer'"),
        ((time.sleep, 60), "it took longer than 1 s, which is the limit"),
    ],
    ids=["killed", "failed", "too long"],
)
def test_work_that_goes_wrong_is_one_sentence_and_the_next_is_done(worker, work, sentence):
    with pytest.raises(WorkError, match=sentence):
        worker.run(*work, limit_s=PATIENCE_S if work[0] is not time.sleep else 1.0)
    assert worker.run(bytes, b"done", limit_s=PATIENCE_S) == b"done"
