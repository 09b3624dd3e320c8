"""Optional parts: which are installed, and the commands that install the others."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from cinegate.verbs.app import CommandError
from cinegate.verbs.console import console_verb
from cinegate.verbs.doctor import optional_parts
from cinegate.verbs.settings import drivers
from drivers import extras
from drivers.beam.gpio import GpioSettings, GpioSwitch
from drivers.beam.serial_line import SerialLineSettings, pyserial_port
from drivers.errors import Unavailable
from drivers.recordings.mrd import read_mrd
from drivers.registry import load_source


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "version", version)


def test_every_extra_for_running_has_a_purpose_and_requirements() -> None:
    assert [extras.requirements(extra)[0].split(">=")[0] for extra in extras.PURPOSES] == [
        "highdicom",
        "h5py",
        "pyserial",
        "gpiod",
        "starlette",
        "matplotlib",
        "onnxruntime",
        "foxglove-sdk",
        "dicom-anonymizer",
        "bokeh",
    ]


def test_an_installed_extra_is_named_with_its_version() -> None:
    assert extras.installed("mrd").startswith("h5py 3.")


def test_the_command_installs_the_extras_needs_with_this_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda _: object())
    command = shlex.split(extras.how_to_install("mrd"))
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert command[4].startswith("h5py>=")


def test_an_environment_without_pip_is_given_a_command_of_uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    uv = tmp_path / "uv"
    uv.touch(0o755)
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    command = shlex.split(extras.how_to_install("serial"))
    assert command[:-1] == [str(uv), "pip", "install", "--python", str(tmp_path / "python")]


def test_an_environment_with_neither_gets_pip_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert extras.install_command("gpiod").startswith(f"{tmp_path}/python -m ensurepip && {tmp_path}/python -m pip")


@pytest.mark.parametrize(
    ("extra", "package", "ask"),
    [
        ("console", "uvicorn", console_verb),
        ("dicom", "pynetdicom", lambda: load_source("dicom")),
        ("mrd", "h5py", lambda: read_mrd(Path("a.h5"))),
        ("serial", "serial", lambda: pyserial_port(SerialLineSettings(port="/dev/none"))),
        ("gpio", "gpiod", lambda: GpioSwitch(GpioSettings(chip="c", line=1, read_back_line=2)).open()),
    ],
    ids=["console", "dicom", "mrd", "serial", "gpio"],
)
def test_one_sentence_names_the_extra_that_is_missing(
    extra: str, package: str, ask: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(("cinegate.console", "drivers.sources.dicom"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises((Unavailable, CommandError), match=f"needs the extra {extra} .*; install it with: "):
        ask()


@pytest.mark.usefixtures("nothing_installed")
def test_doctor_says_of_each_missing_part_how_to_install_it() -> None:
    for finding in optional_parts():
        assert finding.verdict == "optional"
        assert finding.found.endswith("not installed")
        assert "pip install" in finding.advice


def test_doctor_says_which_parts_are_installed() -> None:
    assert all(finding.verdict == "good" and not finding.advice for finding in optional_parts())


@pytest.mark.usefixtures("nothing_installed")
def test_drivers_are_marked_whose_extra_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    drivers(name="", as_json=True)
    missing = json.loads(capsys.readouterr().out)["missing"]
    assert {kind: list(names) for kind, names in missing.items()} == {
        "sources": ["dicom"],
        "recordings": ["mrd"],
        "beams": ["serial_line", "gpio"],
    }
    drivers(name="", as_json=False)
    shown = capsys.readouterr().out
    assert "dicom (not installed)" in shown
    assert "pynetdicom>=" in shown
