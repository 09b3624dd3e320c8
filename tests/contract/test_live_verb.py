"""`cinegate live` and `cinegate control`: one command starts a live session, which operators find by itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from cinegate.verbs import register_verbs
from cinegate.verbs.app import app
from drivers.sources.phantom import PhantomSource
from gating.service.running import running_sessions
from gating.session.summary_data import read_data
from gating.targets.spec import TargetSpec
from gating.targets.target_file import write_targets
from tests.patience import wait_until

ENGINE_STARTS_S = 180.0
"""An engine whose kernels have never been compiled takes this long on a busy machine."""


register_verbs()


def cinegate(*arguments: str) -> Result:
    """Run a verb in this process."""
    return CliRunner().invoke(app, arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a target file for the phantom, and with a runtime folder of its own."""
    folder = tmp_path_factory.mktemp("live")
    phantom = PhantomSource()
    phantom.open()
    write_targets(folder / "targets.json", [TargetSpec("GTV", phantom.truth(0).contour_px.astype(np.float32))])
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_RUNTIME_DIR", str(folder))
        yield folder


def test_one_command_runs_a_session_that_an_operator_arms_and_stops(folder: Path) -> None:
    command = [sys.executable, "-m", "cinegate", "live", "phantom", "-o", "frames_per_s=20", "--json"]
    command += ["--target", str(folder / "targets.json"), "--log", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as live:
        assert wait_until(running_sessions)
        (running,) = running_sessions()
        armed = wait_until(lambda: cinegate("control", "arm", "--operator", "Other").exit_code == 0, ENGINE_STARTS_S)
        stopped = cinegate("control", "stop", "--operator", "Other")
        _, told = live.communicate(timeout=30)
    assert (armed, stopped.exit_code, live.returncode) == (True, 0, 0), told
    assert not running_sessions()
    assert not [pid for pid in running.processes.values() if Path(f"/proc/{pid}").exists()]
    events = {event.code: event.text for event in read_data(Path(running.log)).events}
    assert (events["arm"], events["stop"]) == ("arm by Other: armed", "stop by Other: armed")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["mrd"], "a live session needs --target FILE"),
        (["mrd", "--target", "T", "--arm-by-itself"], "mrd is a live source, and an operator must arm"),
        (["case.npz", "--target", "T"], "case.npz is no live source; sources are phantom, unity, dicom"),
        (["phantom", "--target", "T", "-o", "frames=1"], "--option of phantom: Object contains unknown field `frames`"),
        (["phantom", "--target", "T", "--operator", "me"], "--operator is for the console; give --console as well"),
    ],
    ids=["no target", "live by itself", "recording", "unknown setting", "operator without console"],
)
def test_what_no_session_could_use_is_refused_at_once(folder: Path, arguments: list[str], sentence: str) -> None:
    refused = cinegate("live", *[str(folder / "targets.json") if word == "T" else word for word in arguments])
    assert sentence in str(refused.exception)


def test_a_request_without_a_running_session_says_that_none_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gating.service.pipeline.ANSWER_MS", 50)
    assert "no session runs on this host" in str(cinegate("control", "arm", "--operator", "me").exception)
