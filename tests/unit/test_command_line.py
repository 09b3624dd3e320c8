"""The command line's frame: help, completion, what is said where, and where results go."""

from __future__ import annotations

import io
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import typer
from rich.console import Console
from typer.main import get_command
from typer.testing import CliRunner, Result

from cinegate.outputs import output_folder
from cinegate.tables import TRACK, Track
from cinegate.verbs import register_verbs
from cinegate.verbs.app import app
from cinegate.verbs.progress import progress
from cinegate.verbs.track import untrusted
from drivers.recordings import open_recording
from replay_data import demo_recording
from tests.unit.session_bench import write_session

register_verbs()


def cinegate(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)


def test_the_version_is_that_of_the_installed_package() -> None:
    said = cinegate("--version")
    assert (said.exit_code, said.stdout) == (0, f"cinegate {version('cinegate')}\n")


def test_a_verb_explains_itself_on_dash_h() -> None:
    said = cinegate("report", "-h")
    assert said.exit_code == 0
    assert "Summarise a session" in said.stdout


@pytest.mark.parametrize("verb", sorted(command.name for command in get_command(app).commands.values()))
def test_no_name_is_cut_in_the_help_of_a_narrow_terminal(verb: str) -> None:
    assert "…" not in cinegate(verb, "-h", COLUMNS="80", TERMINAL_WIDTH="80").stdout


def test_a_shell_completes_verbs() -> None:
    said = CliRunner().invoke(
        app, [], prog_name="cinegate",
        env={"_CINEGATE_COMPLETE": "complete_bash", "COMP_WORDS": "cinegate rep", "COMP_CWORD": "1"},
    )  # fmt: skip
    assert said.stdout.split() == ["report"]


def test_a_mistyped_verb_is_answered_with_the_nearest() -> None:
    assert "Did you mean 'report'" in cinegate("reprot").stderr


@pytest.mark.parametrize(("option", "value"), [("--transport", "pigeon"), ("--dtype", "float")])
def test_a_value_that_an_option_does_not_take_is_refused(option: str, value: str) -> None:
    said = CliRunner().invoke(app, ["bench", "--rate", "60", option, value])
    assert said.exit_code == 2
    assert f"'{value}' is not one of" in said.stderr


def test_a_file_that_is_not_there_is_named_in_one_sentence() -> None:
    command = [sys.executable, "-m", "cinegate", "qa", "daily", "--procedure", "nothing.toml"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (2, "cinegate: nothing.toml: No such file or directory\n")


def test_a_report_goes_to_standard_output_and_next_steps_to_the_other(tmp_path: Path) -> None:
    log = write_session(tmp_path / "s1.mcap")
    said = cinegate("report", log)
    assert "duty cycle" in said.stdout
    assert str(tmp_path / "s1.html") in said.stdout
    assert f"next: cinegate verify {log}" in said.stderr
    assert "next:" not in said.stdout


def test_no_result_goes_to_the_working_directory_unasked() -> None:
    commands = typer.main.get_group(app).commands.values()
    written = [(one.name, p.default) for one in commands for p in one.params if {"--out", "--log"} & set(p.opts)]
    assert len(written) > 10
    assert [(name, path) for name, path in written if path is not None and not Path(str(path)).is_absolute()] == []


def test_results_go_to_one_folder_that_the_user_may_choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CINEGATE_OUTPUT", str(tmp_path / "mine"))
    assert output_folder("track", "case.csv") == tmp_path / "mine" / "track" / "case.csv"
    assert (tmp_path / "mine" / "track").stat().st_mode & 0o777 == 0o700
    monkeypatch.delenv("CINEGATE_OUTPUT")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert output_folder("sessions") == tmp_path / "home" / "cinegate" / "sessions"


@pytest.mark.parametrize(("end", "exit_code"), [(None, 0), (KeyboardInterrupt, 130)])
def test_a_run_is_summarised_and_reported_even_if_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: type[BaseException] | None, exit_code: int
) -> None:
    def watch(session: object, *_: object, **__: object) -> None:
        write_session(session.log)  # type: ignore[attr-defined]
        if end is not None:
            raise end

    monkeypatch.setattr("cinegate.verbs.run.watch_session", watch)
    said = cinegate("run", demo_recording(), "--log", tmp_path)
    assert said.exit_code == exit_code, said.output
    (log,) = tmp_path.glob("*.mcap")
    assert f"session log: {log}" in said.stdout
    assert "duty cycle" in said.stdout
    assert log.with_suffix(".html").exists()


def track_of(*frames: tuple[str, str]) -> Track:
    """A track of frames by status and detail."""
    table = np.zeros(len(frames), TRACK)
    table["status"] = [status for status, _ in frames]
    contours = (np.empty((0, 2)),) * len(frames)
    return Track(open_recording(demo_recording()), table, contours, tuple(why for _, why in frames), ())


def test_a_track_says_why_it_was_not_trusted_and_asks_about_the_target() -> None:
    doubtful = track_of(*[("low_confidence", "edges are gone")] * 3, ("low_confidence", "noise"), ("tracked", ""))
    first, question = untrusted(doubtful)
    assert first == "not trusted: 4 of 5 frames, low confidence: edges are gone"
    assert question.startswith("does the target lie where it was meant to")


def test_a_track_that_was_trusted_raises_no_question() -> None:
    assert untrusted(track_of(*[("tracked", "")] * 3)) == []


def test_progress_on_a_terminal_says_how_long_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr("cinegate.verbs.progress.console", terminal)
    with progress("tracking", 3) as step:
        step()
        step()
    assert isinstance(terminal.file, io.StringIO)
    assert "2/3" in terminal.file.getvalue()
    assert "left" in terminal.file.getvalue()


def test_progress_leaves_no_trace_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("tracking", 1) as step:
        step()
    assert capsys.readouterr() == ("", "")
