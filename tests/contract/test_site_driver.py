"""The example of a site's own drivers: installed as a package, found by name, and held to the contracts."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.beam.simulated import line_level
from drivers.ports import CineSource
from gating.messages import GateState
from tests.contract.beam_switch import BeamSwitchContract, Bench
from tests.contract.reading import read

pytestmark = pytest.mark.deadlines

ROOT = Path(__file__).parents[2]


@pytest.fixture
def package(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(installed))
    importlib.invalidate_caches()
    yield importlib.import_module("our_site")
    for name in [name for name in sys.modules if name.startswith("our_site")]:
        del sys.modules[name]


def test_cinegate_lists_the_sites_drivers_without_importing_them(installed: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cinegate", "drivers", "--json"],
        env=os.environ | {"PYTHONPATH": f"{installed}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert "our_scanner" in json.dumps(json.loads(done.stdout)["sources"])
    assert "our_linac" in json.dumps(json.loads(done.stdout)["beams"])


def test_the_sites_source_is_found_by_name_and_delivers(package: Any) -> None:
    from drivers.registry import load_source

    driver: Any = load_source("our_scanner")
    source = driver(driver.Settings(frames_per_s=50))
    assert isinstance(source, CineSource)
    stamps, frames = read(source, source.open(), 5)
    source.close()
    assert [stamp.acquired_ns for stamp in stamps] == sorted({stamp.acquired_ns for stamp in stamps})
    assert all(before.tobytes() != after.tobytes() for before, after in itertools.pairwise(frames))


class TestTheSitesBeamSwitch(BeamSwitchContract):
    @pytest.fixture
    def bench(self, package: Any, installed: Path, tmp_path: Path) -> Bench:
        from drivers.registry import load_beam

        record = tmp_path / "our-linac"
        record.touch()
        driver: Any = load_beam("our_linac")
        switch = driver(driver.Settings(record=str(record)))
        elsewhere = (
            f"import sys, time; sys.path.insert(0, {str(installed)!r});"
            "from our_site.linac import OurLinac, OurLinacSettings; from gating.messages import GateState;"
            f"switch = OurLinac(OurLinacSettings(record={str(record)!r})); switch.open();"
            "switch.set_beam(GateState.ON); print('on', flush=True); time.sleep(30)"
        )

        def seen() -> GateState:
            return GateState.ON if switch.line is GateState.ON else line_level(record)

        return Bench(switch, seen, lambda: None, elsewhere)
