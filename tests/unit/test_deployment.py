"""The recipes for containers and for systemd name verbs, options, files and addresses that exist."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import typer

import cinegate
from cinegate.verbs import register_verbs
from cinegate.verbs.app import app
from gating.wire.keys import SERVERS

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "examples" / "deployment"
UNITS = sorted(path.name for path in (RECIPES / "systemd").glob("*@.service"))
EXPOSURE_AT_MOST = 2.0
"""Of 10, by `systemd-analyze security`; below 2.4 it says OK, and a service without hardening has 9.6."""


def settings_of(unit: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", (RECIPES / "systemd" / unit).read_text("utf-8"), re.M))


def compose() -> dict[str, dict]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    return yaml.safe_load((RECIPES / "compose.yaml").read_text("utf-8"))["services"]


def unit_commands() -> list[str]:
    words = settings_of("session.env")
    commands = [settings_of(unit)["ExecStart"].partition("/cinegate ")[2] for unit in UNITS]
    return [re.sub(r"\$([A-Z]+)", lambda name: words[name[1]], command) for command in commands]


def assert_understood(command: str) -> None:
    """Parse a command as the command line does."""
    register_verbs()
    verb, *words = command.replace("%i", "S1").split()
    known = typer.main.get_command(app).commands[verb]
    known.make_context(verb, words)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, with the cinegate of this environment in the place of the installed one."""
    folder = tmp_path / "units"
    shutil.copytree(RECIPES / "systemd", folder)
    for path in folder.glob("*.service"):
        text = path.read_text("utf-8")
        path.write_text(text.replace("/opt/cinegate/.venv/bin/", f"{Path(sys.executable).parent}/"), "utf-8")
    return folder


def systemd_analyze(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{folder}:"}
    command = ["systemd-analyze", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_systemd_finds_no_fault_in_the_units(units: Path) -> None:
    names = [name.replace("@", "@S1") for name in (*UNITS, "cinegate@.target")]
    done = systemd_analyze(units, "verify", *names)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_is_little_exposed(units: Path, unit: str) -> None:
    said = systemd_analyze(units, "security", "--offline=yes", str(units / unit)).stdout
    assert float(re.search(r"Overall exposure level for .*: ([\d.]+)", said)[1]) <= EXPOSURE_AT_MOST


def test_every_process_of_a_session_has_a_unit() -> None:
    assert [f"cinegate-{verb}@.service" for verb in ("beam", "engine", "record", "source")] == UNITS


@pytest.mark.parametrize("command", unit_commands(), ids=lambda command: command.split()[0])
def test_a_unit_starts_what_the_command_line_understands(command: str) -> None:
    assert_understood(command)


def test_every_service_of_the_compose_file_is_understood() -> None:
    for service in compose().values():
        assert_understood(service["command"])


def test_endpoints_and_addresses_of_the_compose_file_agree() -> None:
    endpoints = cinegate.load_config(RECIPES / "session.toml").endpoints
    services = compose()
    for channel, role in SERVERS.items():
        if role in services:
            address = services[role]["networks"]["session"]["ipv4_address"]
            assert urlsplit(getattr(endpoints, channel)).hostname == address


def test_no_container_has_more_than_it_needs() -> None:
    for service in compose().values():
        assert (service["cap_drop"], service["read_only"], service["restart"]) == (["ALL"], True, "no")


def test_the_image_is_built_by_the_commands_of_the_readme() -> None:
    recipe, readme = (RECIPES / "Dockerfile").read_text("utf-8"), (ROOT / "README.md").read_text("utf-8")
    install, check = re.findall(r"^bash \.ci/install.*$", readme, re.M)
    assert f"RUN {install.partition(' && ')[0]}" in recipe
    assert f"RUN {check}" in recipe


def test_the_submission_is_the_verb_with_the_challenges_folders() -> None:
    recipe = (RECIPES / "Dockerfile").read_text("utf-8")
    stage = recipe.partition(" AS submission\n")[2]
    entry = re.search(r'^ENTRYPOINT \["cinegate", (.*)\]$', stage, re.M)[1]
    assert entry.replace('"', "").split(", ") == ["submission", "--input", "/input", "--output", "/output"]
