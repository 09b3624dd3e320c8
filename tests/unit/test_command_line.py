"""The command line's frame."""

from __future__ import annotations

from importlib.metadata import version

from typer.testing import CliRunner

from cinegate.verbs.app import app


def test_the_version_is_that_of_the_installed_package() -> None:
    said = CliRunner().invoke(app, ["--version"])
    assert (said.exit_code, said.stdout) == (0, f"cinegate {version('cinegate')}\n")
