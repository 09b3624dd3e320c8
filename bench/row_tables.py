"""A comparison's rows, printed as they are found, and kept in files on request."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def add_files(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the files."""
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)


def tell(found: Iterable[Row], markdown: Callable[[Sequence[Row]], str], arguments: argparse.Namespace) -> None:
    """Print the line of each row at once, then write the files that `arguments` name."""
    rows = []
    for row in found:
        rows.append(row)
        sys.stdout.write(markdown([row]).splitlines()[-1] + "\n")
        sys.stdout.flush()
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    if arguments.markdown is not None:
        arguments.markdown.write_text(markdown(rows), encoding="utf-8")
