"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the development recordings: beside the checkout, or where CINEGATE_DATA points."""
    default = Path(__file__).parents[1] / ".." / "shared" / "data"
    folder = Path(os.environ.get("CINEGATE_DATA", default)).resolve()
    if not folder.is_dir():
        pytest.skip(f"the development recordings are not at {folder} (set CINEGATE_DATA)")
    return folder
