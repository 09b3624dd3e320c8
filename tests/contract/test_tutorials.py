"""The tutorials, followed word by word: every file that they show is saved, every command is run, in order.

A block of Python or TOML whose first line is a comment with a file's name is that file. `$CINEGATE` is the checkout.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TUTORIALS = sorted(path for path in (ROOT / "docs" / "tutorials").glob("*.md") if path.stem != "index")
SHOWS = {
    "commissioning": ["within its range", "physical, beam off", "known steps", "in tolerance", ".html"],
    "first_report": ["cine holds 200 images", "duty cycle", ", 0 differ"],
    "live_session": ["armed", "stop by Ada"],
    "own_driver": ["our_scanner", "frames_per_s", "your beam line confirms: beam on"],
    "own_tracker": ["OurTracker: centre error", "beam on in", "beam permitted for"],
}
LIVE = {"commissioning", "live_session", "own_driver"}
"""Those that show something only if frames are decided in time."""

PATIENT_OPERATOR = """
cinegate() {
  if [ "$1" != control ]; then command cinegate "$@"; return; fi
  for _ in $(seq 40); do command cinegate "$@" && return; sleep 0.3; done
  return 1
}
"""
"""An operator who asks again until the engine agrees, where a reader would wait for the words on the screen."""


def script_of(tutorial: Path, folder: Path) -> str:
    """Save the files of a tutorial, and return its commands as one script."""
    commands = ["set -e", PATIENT_OPERATOR]
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```", tutorial.read_text("utf-8"), re.M | re.S):
        if language == "bash":
            commands.append(block)
        elif name := re.match(r"# (\w+\.\w+)\n", block):
            (folder / name[1]).write_text(block)
    return "\n".join(commands)


def followed(tutorial: Path, folder: Path) -> str:
    """Return everything that a tutorial's commands print, or fail with it."""
    environment = os.environ | {
        "CINEGATE": str(ROOT),
        "CINEGATE_OUTPUT": str(folder / "output"),
        "XDG_RUNTIME_DIR": str(folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    said = folder / "said.txt"
    with said.open("w") as everything:
        process = subprocess.Popen(
            ["bash", "-c", script_of(tutorial, folder)],
            cwd=folder,
            env=environment,
            stdout=everything,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=240)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)  # what a failed tutorial left running
            process.wait()
    assert code == 0, said.read_text()
    return said.read_text()


@pytest.mark.parametrize(
    "tutorial",
    [pytest.param(path, id=path.stem, marks=[pytest.mark.deadlines] * (path.stem in LIVE)) for path in TUTORIALS],
)
def test_a_tutorial_can_be_followed_word_by_word(tutorial: Path, tmp_path: Path) -> None:
    printed = followed(tutorial, tmp_path)
    assert [words for words in SHOWS[tutorial.stem] if words not in printed] == []
