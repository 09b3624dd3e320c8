"""The optional parts of cinegate: which are installed, and commands that install the others where they are typed."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

PURPOSES: Final = {
    "dicom": "receives and sends DICOM over the network, and writes DICOM records",
    "mrd": "reads MRD recordings (.h5)",
    "serial": "switches the beam by the lines of a serial port",
    "gpio": "switches the beam by a GPIO line",
    "console": "shows a session in a browser, for operator and patient",
    "pdf": "makes a PDF of a page",
    "onnx": "runs a site's network as tracker (ONNX Runtime)",
    "export": "writes columns (Parquet) and Foxglove's recordings",
    "archive": "indexes session logs, and takes the identity out of DICOM files",
    "cohort": "works on many sessions in several processes or on a cluster, and reads them from object stores",
}
"""What each extra of `pyproject.toml` is for."""


def requirements(extra: str) -> list[str]:
    """Return what an extra asks for, such as `h5py>=3.12`."""
    of_extra = re.compile(rf"(.+?)\s*;\s*extra == ['\"]{re.escape(extra)}['\"]")
    try:
        every = requires("cinegate") or []
    except PackageNotFoundError:
        every = []
    return [found[1] for one in every if (found := of_extra.fullmatch(one))] or [f"cinegate[{extra}]"]


def installed(extra: str) -> str:
    """Return the packages of an extra with their versions; empty if one is not installed."""
    names = [re.split(r"[^\w.-]", one)[0] for one in requirements(extra)]
    try:
        return ", ".join(f"{name} {version(name)}" for name in names)
    except PackageNotFoundError:
        return ""


def how_to_install(extra: str) -> str:
    """Return a command that installs an extra into the environment of this interpreter."""
    return install_command(*requirements(extra))


def missing(what: str, package: str, extra: str) -> str:
    """Return the sentence for a user whose installation lacks an extra."""
    return f"{what} needs the extra {extra} ({package} is not installed); install it with: {how_to_install(extra)}"


def install_command(*packages: str) -> str:
    """Return a command that installs packages into the environment of this interpreter: with its pip, else with uv."""
    python = Path(sys.executable)
    uv = shutil.which("uv", path=python.parent) or shutil.which("uv")
    if find_spec("pip") is None and uv is not None:
        return shlex.join([uv, "pip", "install", "--python", str(python), *packages])
    command = shlex.join([str(python), "-m", "pip", "install", *packages])
    return command if find_spec("pip") else f"{shlex.quote(str(python))} -m ensurepip && {command}"
