"""`cinegate live` and `cinegate control`: one command starts a live session, which operators find by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from cinegate.console import setup_files
from cinegate.console.setup_plan import Plan
from cinegate.settings import load_config
from cinegate.verbs import register_verbs
from cinegate.verbs.app import app
from drivers.sources.phantom import PhantomSource
from gating.service.pipeline import local_endpoints
from gating.service.running import RunningSession, running_sessions
from gating.session.summary_data import read_data
from gating.settings.config import to_toml
from tests.patience import wait_until

pytestmark = pytest.mark.deadlines

RATE = ("frames_per_s=20",)
TARGETS = Path("saved") / "targets.json"
ENGINE_STARTS_S = 600.0
"""An engine whose kernels have never been compiled takes this long on a busy machine."""


register_verbs()


def cinegate(*arguments: str) -> Result:
    """Run a verb in this process."""
    return CliRunner().invoke(app, arguments)


def on(status: dict[str, Any]) -> bool:
    """Whether the gate of a status is on."""
    return bool(status["gate"] == "on")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with what the Set up page saved for the phantom, and with a runtime folder of its own."""
    folder = tmp_path_factory.mktemp("live")
    taken = json.loads(setup_files.look("phantom", RATE, 1.0, folder))["recording"]
    phantom = PhantomSource()
    phantom.open()
    target = {"name": "GTV", "points_px": phantom.truth(0).contour_px.tolist()}
    plan = {"shown": {"recording": taken}, "frame": 0, "structures": [target], "source": "phantom", "options": RATE}
    setup_files.save(msgspec.convert(plan, Plan), "saved", False, "", "", "Other", folder, [folder])
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_RUNTIME_DIR", str(folder))
        yield folder


@dataclass
class Ended:
    """A session that an operator has armed and stopped, and what was asked, printed and recorded meanwhile."""

    running: RunningSession
    status: dict[str, Any]
    lines: list[dict[str, Any]]
    exit_code: int


@pytest.fixture(scope="module")
def ended(folder: Path) -> Ended:
    settings = replace(load_config(folder / "saved" / "config.toml"), endpoints=local_endpoints(folder))
    (folder / "site.toml").write_text(to_toml(settings))
    command = [
        sys.executable,
        "-m",
        "cinegate",
        "live",
        "phantom",
        "--config",
        str(folder / "site.toml"),
        "-o",
        *RATE,
        "--log-format",
        "json",
    ]
    command += ["--json", "--target", str(folder / TARGETS), "--log", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as live:
        try:
            assert wait_until(running_sessions)
            (running,) = running_sessions()
            armed = wait_until(
                lambda: cinegate("control", "arm", "--operator", "Other").exit_code == 0, ENGINE_STARTS_S
            )
            status: dict[str, Any] = {}
            wait_until(lambda: status.update(json.loads(cinegate("control", "status", "--json").stdout)) or on(status))
            stopped = cinegate("control", "stop", "--operator", "Other")
            _, told = live.communicate(timeout=30)
        finally:
            live.terminate()
    assert (armed, stopped.exit_code) == (True, 0), told
    lines = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    return Ended(running, status, lines, live.returncode)


def test_one_command_runs_a_session_that_an_operator_arms_and_stops(ended: Ended) -> None:
    events = {event.code: event.text for event in read_data(Path(ended.running.log)).events}
    assert (events["arm"], events["stop"], ended.exit_code) == ("arm by Other: armed", "stop by Other: armed", 0)


def test_what_was_set_up_on_the_phantom_reaches_beam_on(ended: Ended) -> None:
    assert on(ended.status)
    data = read_data(Path(ended.running.log))
    assert sum(outcome.command.reason == "in_window" for outcome in data.outcomes.values()) > 0
    assert data.confirmed_on


def test_the_endpoints_of_a_configuration_are_kept(ended: Ended, folder: Path) -> None:
    assert ended.running.config.endpoints == local_endpoints(folder)


def test_a_stop_ends_every_process_and_the_sessions_file(ended: Ended) -> None:
    assert not running_sessions()
    assert not [pid for pid in ended.running.processes.values() if Path(f"/proc/{pid}").exists()]


def test_the_status_tells_frame_gate_reason_peers_and_faults(ended: Ended) -> None:
    status = ended.status
    assert (status["engine_state"], status["source_kind"], status["session_id"]) == (
        "armed", "phantom", ended.running.session_id
    )  # fmt: skip
    assert status["frame_sequence"] >= 5
    assert status["gate"] in ("hold", "on")
    assert {peer["peer"]: peer["heard_ms_ago"] is not None for peer in status["peers"]} == {
        "source": True, "beam interface": True, "recorder": True
    }  # fmt: skip
    assert all("refused" in fault for fault in status["faults"])


@pytest.mark.parametrize(
    ("role", "sentences"),
    [
        ("source", ["frames go to ipc://", "a subscriber came, 2 in all", "frames published; "]),
        ("engine", ["hears frames at ipc://", "source is there", "arm by Other: armed", "gate hold at frame"]),
        ("beam", ["hears commands at ipc://", "obeys engine", "line confirms hold: commanded_hold"]),
        ("record", ["writes ", "engine is there", "0 frames are missing"]),
    ],
    ids=["source", "engine", "beam", "record"],
)
def test_each_process_says_where_it_is_who_came_and_what_changed(ended: Ended, role: str, sentences: list[str]) -> None:
    said = [line["text"] for line in ended.lines if line["role"] == role]
    assert [wanted for wanted in sentences if not any(wanted in text for text in said)] == []
    assert {line["session_id"] for line in ended.lines} == {ended.running.session_id}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["arm"], "arm needs --operator NAME, which goes into the log"),
        (["start", "--operator", "me"], "action is 'start'; confirm, arm, disarm"),
        (["arm", "--watch", "--operator", "me"], "--watch is for the status, not for arm"),
    ],
    ids=["no_operator", "no_action", "watch"],
)
def test_a_request_that_no_engine_could_answer_is_refused(arguments: list[str], sentence: str) -> None:
    assert sentence in str(cinegate("control", *arguments).exception)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["mrd"], "a live session needs --target FILE"),
        (["mrd", "--target", "T", "--arm-by-itself"], "mrd is a live source, and an operator must arm"),
        (["case.npz", "--target", "T"], "case.npz is no live source; sources are phantom, unity, mridian, dicom"),
        (["phantom", "--target", "T", "-o", "frames=1"], "--option of phantom: Object contains unknown field `frames`"),
        (["phantom", "--target", "T", "--operator", "me"], "--operator is for the console; give --console as well"),
    ],
    ids=["no_target", "live", "recording", "setting", "no_console"],
)
def test_what_no_session_could_use_is_refused_at_once(folder: Path, arguments: list[str], sentence: str) -> None:
    refused = cinegate("live", *[str(folder / TARGETS) if word == "T" else word for word in arguments])
    assert sentence in str(refused.exception)


def test_a_request_without_a_running_session_says_that_none_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gating.service.pipeline.ANSWER_MS", 50)
    assert "no session runs on this host" in str(cinegate("control", "arm", "--operator", "me").exception)
