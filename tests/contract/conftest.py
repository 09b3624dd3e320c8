"""Failures in inherited contracts are explained as in test modules; keys; the example package of a site, installed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from gating.wire.keys import ROLES, new_key
from gating.wire.security import secure

pytest.register_assert_rewrite("tests.contract.beam_switch")

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example package of a site's own drivers, installed without network into a folder of its own."""
    pytest.importorskip("hatchling", reason="hatchling, the example's build backend, is not installed")
    copy, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    subprocess.run(["cp", "-r", EXAMPLES / "site_driver", copy], check=True)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", target, copy / "site_driver"]
    subprocess.run(command, check=True, env=os.environ | {"PIP_ROOT_USER_ACTION": "ignore"})
    return target


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with a key for every role and for a visitor."""
    for role in (*ROLES, "visitor"):
        new_key(tmp_path / "keys", role)
    return tmp_path / "keys"


@pytest.fixture
def context() -> Iterator[zmq.Context]:
    """A context whose sockets are opened with the keys that a test sets; afterwards there are none."""
    one: zmq.Context = zmq.Context()
    yield one
    secure(None)
    one.destroy(linger=0)
