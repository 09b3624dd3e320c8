"""A proposed couch shift, accepted over a running engine's control socket, is logged with name and reason."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from cinegate.verbs import register_verbs
from cinegate.verbs.app import app
from gating.messages import ControlRequest
from gating.service.pipeline import PipelineError, Session, ask_engine
from gating.session.log import read_raw
from gating.session.summary_data import read_data
from gating.settings.config import Config
from tests.motion import sunken, write_trace
from tests.patience import wait_until

pytestmark = pytest.mark.deadlines

register_verbs()


@pytest.fixture
def drifted(tmp_path):
    return write_trace(tmp_path / "drifted.txt", *sunken())


@pytest.fixture
def session(tmp_path_factory):
    running = Session(Config(), "s1", tmp_path_factory.mktemp("d"))
    running.start("record", str(running.folder / "s1.mcap"))
    running.start("engine", "--target-box", "30,30,20,20")
    try:
        wait_for_engine(running)
        yield running
    finally:
        running.stop()


def wait_for_engine(running):
    """Wait until the engine is ready (minutes, where its kernels must be compiled) and the recorder hears it."""
    asked = ControlRequest(session_id="s1", action="status", operator="test")

    def ready():
        try:
            return "ready" in ask_engine(running.config.endpoints.control, asked).text
        except PipelineError:
            return running.check()

    assert wait_until(ready, 600), running.output("engine")
    log = running.folder / "s1.mcap"
    assert wait_until(lambda: any(record.topic == "heartbeat" for record in read_raw(log)))


def test_the_log_says_who_accepted_which_shift_and_why(drifted, session):
    arguments = ["--accept", "--operator", "dr_who", "--why", "the liver sank", "--session", "s1"]
    config = ["--config", str(session.folder / "config.toml")]
    said = CliRunner().invoke(app, ["drift", str(drifted), *arguments, *config, "--json"])
    assert said.exit_code == 0, said.output or said.exception
    proposal = json.loads(said.stdout)
    assert proposal["accepted"].startswith("accept_shift by dr_who")
    ask_engine(session.config.endpoints.control, ControlRequest(session_id="s1", action="stop", operator="test"))
    session.processes["engine"].wait(20)
    session.stop()
    (event,) = [e for e in read_data(session.folder / "s1.mcap").events if e.code == "accept_shift"]
    assert "dr_who" in event.text
    assert proposal["text"] in event.text
    assert "because the liver sank" in event.text


def test_without_an_engine_nothing_is_accepted(drifted, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text(f'[endpoints]\ncontrol = "ipc://{tmp_path}/nobody"\n')
    arguments = ["--accept", "--operator", "dr_who", "--why", "x", "--config", str(config)]
    result = CliRunner().invoke(app, ["drift", str(drifted), *arguments])
    assert "no engine answered" in str(result.exception)
