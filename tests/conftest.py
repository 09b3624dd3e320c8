"""What every test may ask for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from threadpoolctl import threadpool_limits

settings.register_profile("any_machine", deadline=None)
settings.load_profile("any_machine")

TESTS = Path(__file__).parent
WITH_DEADLINES = ("browser", "faults")
"""Folders whose tests talk to processes within deadlines, which they would miss beside rows of the same priority."""
COLLECTED = pytest.StashKey[list[pytest.Item]]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what may not stand in the rows side by side, before anything is selected by its marks."""
    for item in items:
        if item.path.relative_to(TESTS).parts[0] in WITH_DEADLINES and item.get_closest_marker("alone") is None:
            item.add_marker("deadlines")
    config.stash[COLLECTED] = list(items)


@pytest.fixture
def collected(pytestconfig: pytest.Config) -> list[pytest.Item]:
    """Every test that was found, those too that were not selected."""
    return pytestconfig.stash[COLLECTED]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the development recordings: beside the checkout, or where CINEGATE_DATA points."""
    default = TESTS.parent / ".." / "shared" / "data"
    folder = Path(os.environ.get("CINEGATE_DATA", default)).resolve()
    if not folder.is_dir():
        pytest.skip(f"the development recordings are not at {folder} (set CINEGATE_DATA)")
    return folder


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Linear algebra in one thread: where the cores are busy, two threads of one small matrix wait for each other."""
    with threadpool_limits(1):
        yield


@pytest.fixture(autouse=True)
def ordinary_scheduling() -> Iterator[None]:
    """Restore ordinary scheduling: services that ran inside the test process may have asked for SCHED_FIFO."""
    yield
    if os.sched_getscheduler(0) != os.SCHED_OTHER:
        for entry in Path("/proc/self/task").iterdir():
            with contextlib.suppress(OSError):
                os.sched_setscheduler(int(entry.name), os.SCHED_OTHER, os.sched_param(0))
