"""Debian's Orthanc, a real DICOM server, as a peer."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.patience import PATIENCE_S, reserved_ports, wait_until

PROGRAM = shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin:/usr/bin")


@dataclass(frozen=True)
class Orthanc:
    """A running server."""

    dicom: int
    http: int

    def answer(self, path: str, data: bytes | None = None) -> Any:
        """What it answers to GET, or to POST with data; None if it does not."""
        try:
            with urlopen(Request(f"http://127.0.0.1:{self.http}{path}", data), timeout=PATIENCE_S) as reply:
                return json.load(reply)
        except OSError:
            return None


@contextmanager
def orthanc(folder: Path, **settings: Any) -> Iterator[Orthanc]:
    """Start a server with its data below a folder; skip the test if it is not installed."""
    if PROGRAM is None:
        pytest.skip("Orthanc is not installed (Debian: apt-get install orthanc)")
    chosen: dict[str, Any] = {"StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db")}
    chosen |= {"RemoteAccessAllowed": False, "AuthenticationEnabled": False, "Plugins": []} | settings
    with reserved_ports(2) as (dicom, http):
        config, server = folder / "orthanc.json", Orthanc(dicom, http)
        config.write_text(json.dumps({**chosen, "DicomPort": dicom, "HttpPort": http}))
        with subprocess.Popen([PROGRAM, config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                assert wait_until(lambda: server.answer("/system"))
                yield server
            finally:
                process.kill()
