"""Where results go that nobody gave a place: one folder of the user's, never the working directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

VARIABLE: Final = "CINEGATE_OUTPUT"


def output_place(*parts: str) -> Path:
    """Return the path of results without a place of their own, in `$CINEGATE_OUTPUT` or else `~/cinegate`."""
    return Path(os.environ.get(VARIABLE) or "~/cinegate").expanduser().joinpath(*parts)


def output_folder(*parts: str) -> Path:
    """Return such a path; its folder is made, readable by its owner alone.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    place = output_place(*parts)
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return place
