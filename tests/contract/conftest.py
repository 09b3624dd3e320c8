"""Failures in the contract that test classes inherit are explained as in test modules; keys for tests of security."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from gating.wire.keys import ROLES, new_key
from gating.wire.sockets import secure

pytest.register_assert_rewrite("tests.contract.beam_switch")


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
