"""The console's process: who may look, who may ask, and what it does with nonsense."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from socket import create_connection
from urllib.request import Request, urlopen

import pytest
from typer.testing import CliRunner
from websockets.exceptions import ConnectionClosed, InvalidStatus

from cinegate.console.operators import Operator
from cinegate.console.patient import load_texts
from cinegate.console.protocol import Ask
from cinegate.console.review import Review
from cinegate.console.serve import Address, ConsoleError, serve
from cinegate.console.setup import SetUp
from cinegate.verbs import register_verbs
from cinegate.verbs.app import app as cli
from gating.messages import ControlReply, ControlRequest, EngineState, Heartbeat
from gating.wire.codec import decode, encode, encode_frame
from tests.console_bench import Console, finished, publishers, updates
from tests.unit.session_bench import command, estimate, make_frame, reference, session_header, stream_info


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    console = Console(tmp_path_factory.mktemp("c"), "--operator", "dr_who")
    yield console
    console.close()


def closed_with(page) -> tuple[int, str]:
    """Code and reason with which the console closes a page."""
    with pytest.raises(ConnectionClosed) as error:
        collections.deque(iter(partial(page.recv, 5), None), maxlen=0)
    assert error.value.rcvd is not None
    return error.value.rcvd.code, error.value.rcvd.reason


def test_the_token_becomes_a_cookie_that_opens_the_pages(console):
    status, cookie = console.get(f"/treat?token={console.token}", follow=False)
    assert (status, cookie.partition("=")[2]) == (303, console.token)
    assert console.get("/treat")[0] == 200
    assert "gate" in console.get("/static/treat.js")[1]


@pytest.mark.parametrize(
    "path", ["/", "/treat", "/static/treat.js", "/latency", "/plotly.js", "/review/sessions", "/review/report?name=a"]
)
def test_nothing_is_shown_without_the_token(console, path):
    status, text = console.get(path, Cookie="")
    assert (status, "earlier start" in text) == (401, True)


def test_strangers_who_say_nothing_keep_no_page_out(console):
    """Until now the 65th connection was refused, with the token too."""
    with ExitStack() as opened:
        for _ in range(150):
            opened.enter_context(create_connection(console.origin.removeprefix("http://").split(":")))
        assert console.get("/treat")[0] == 200
        with console.page():
            assert console.get("/treat")[0] == 200


def test_a_connection_that_asks_without_the_token_is_closed(console):
    host = console.origin.removeprefix("http://")
    with create_connection(host.split(":"), timeout=3) as stranger:
        stranger.sendall(f"GET /treat HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        answer = b"".join(iter(partial(stranger.recv, 4096), b""))
    assert answer.startswith(b"HTTP/1.1 401")


def test_a_stale_token_is_refused_with_a_sentence(console):
    status, text = console.get("/treat?token=of-yesterday")
    assert (status, text.startswith("This address is not of the console that runs now")) == (401, True)


def test_a_name_that_leads_here_by_trickery_is_not_answered(console):
    assert console.get("/treat", Host="evil.example")[0] == 421


def test_every_answer_forbids_frames_and_foreign_scripts(console):
    request = Request(f"{console.origin}/treat", headers={"Cookie": console.cookie})
    with urlopen(request) as answer:
        policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Cookie": "a=b"}], ids=["origin", "cookie"])
def test_a_foreign_page_opens_no_websocket(console, headers):
    with pytest.raises(InvalidStatus) as error:
        console.page(**headers)
    assert error.value.response.status_code == 403


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ("[1, 2", "the message is refused"),
        ('{"type":"ask","action":"fire"}', "Invalid enum value 'fire'"),
        ('{"type":"ask","action":"mark","why":"\\u001b[2J"}', "cannot be printed"),
        ('{"type":"drawn","number":999}', "message 999 was not sent"),
        (b"\x00", "only text is allowed"),
    ],
    ids=["no json", "no action", "control characters", "not sent", "binary"],
)
def test_nonsense_closes_the_page_with_a_sentence(console, sent, reason):
    with console.page() as page:
        page.send(sent)
        assert reason in closed_with(page)[1]


def test_a_message_over_the_limit_closes_the_page(console):
    with console.page() as page:
        page.send("x" * 3000)
        assert closed_with(page)[0] == 1009


def test_a_flood_of_requests_closes_the_page(console):
    with console.page() as page:
        for _ in range(20):
            page.send('{"type":"ask","action":"mark","why":"x"}')
        assert "requests came within a second" in closed_with(page)[1]


def test_a_page_that_does_not_exist_is_named(console):
    with console.page("oven") as page:
        assert closed_with(page) == (1008, "there is no page 'oven'")


def test_a_patients_page_may_ask_for_nothing(console):
    with console.page("patient") as page:
        page.send('{"type":"ask","action":"arm"}')
        assert "may ask for nothing" in closed_with(page)[1]


def test_a_frame_reaches_the_page_with_its_contour_and_reason(console):
    with publishers(console) as sockets, console.page() as page, console.page("patient") as patient:
        heard = updates(page)
        for header in heard:
            sockets["frames"].send_multipart(encode(stream_info(9)))
            sockets["telemetry"].send_multipart(encode(session_header()))
            sockets["telemetry"].send_multipart(encode(reference()))
            if "setting" in header and any(target["bands"] for target in header["setting"]["targets"]):
                break
        shown = make_frame(4, 1000)
        for header in heard:
            sockets["frames"].send_multipart(encode(heartbeat_of_source()))
            sockets["gate"].send_multipart(encode(command(4, 1000, 7, renewal=False)))
            sockets["telemetry"].send_multipart(encode(estimate(4)))
            sockets["frames"].send_multipart(encode_frame(shown))
            if "picture" in header:
                break
        assert header["pixels"] == shown.pixels.tobytes()
        assert [one["target"] for one in header["picture"]["contours"]] == ["GTV"]
        assert header["gate"]["words"]
        told = next(header for header in updates(patient) if header["marker"])
        assert told["marker"]["up_mm"] == pytest.approx(-2 * estimate(4).y_px + 64)
        assert told["pixels"] == b""


def test_a_page_is_told_nothing_more_often_than_there_is_news(console):
    with console.page() as page:
        assert len([*updates(page, 0.8)]) < 10


def test_one_message_is_on_its_way_while_another_is_painted_and_no_third(console):
    with console.page() as page:
        first, second = page.recv(5), page.recv(5)
        assert first != second
        with pytest.raises(TimeoutError):
            page.recv(0.5)


def test_what_a_page_says_of_its_own_time_is_bounded(console):
    with console.page() as page:
        page.recv(5)
        page.send('{"type":"drawn","number":1,"spent_ms":[0,-1,0]}')
        assert "`float` >= 0.0" in closed_with(page)[1]


def heartbeat_of_source():
    return Heartbeat(session_id="s1", role="source", process_id=1, state="streaming", sent_ns=1)


def requests(control) -> Iterator[tuple[bytes, ControlRequest]]:
    """Each request with its peer; marks of the test that floods may still have waited for an engine."""
    while control.poll(5000):
        peer, *body = control.recv_multipart()
        request = decode(body)
        assert isinstance(request, ControlRequest)
        yield peer, request


def test_a_hold_reaches_the_engine_in_the_operators_name(console):
    with publishers(console) as sockets, console.page() as page:
        heard = updates(page)
        for header in heard:
            sockets["gate"].send_multipart(encode(command(4, 1000, 7, renewal=False)))
            if header["session"]:
                break
        page.send('{"type":"ask","action":"hold"}')
        peer, request = next(one for one in requests(sockets["control"]) if one[1].action != "mark")
        assert (request.action, request.operator, request.session_id) == ("disarm", "dr_who", "s1")
        reply = ControlReply(session_id="s1", accepted=True, engine_state=EngineState.READY, text="held")
        sockets["control"].send_multipart([peer, *encode(reply)])
        assert next(header["answers"] for header in heard if header["answers"]) == [{"accepted": True, "text": "held"}]


def test_a_console_without_an_operator_only_shows():
    answer = finished(Operator("", "ipc:///nowhere").ask("s1", Ask("arm")))
    assert (answer.accepted, "--operator NAME" in answer.text) == (False, True)


@pytest.mark.parametrize("files", [(None, None), (Path("cert.pem"), Path("key.pem"))], ids=["plain", "without keys"])
def test_other_hosts_are_refused_without_tls_and_keys(files, tmp_path):
    with pytest.raises(ConsoleError, match=r"host is 192\.0\.2\.1, which other hosts reach"):
        serve(
            Address("192.0.2.1", 0, *files),
            load_texts(None),
            SetUp([], tmp_path, ""),
            Review([]),
            endpoints=None,
            announce=print,
        )


@pytest.mark.parametrize("name", ["sessions", "recordings"])
def test_a_folder_that_is_not_there_is_refused(name):
    register_verbs()
    result = CliRunner().invoke(cli, ["console", f"--{name}", "/nowhere", "--no-browser"])
    assert str(result.exception) == f"{name} is /nowhere; there is no such file or folder"
