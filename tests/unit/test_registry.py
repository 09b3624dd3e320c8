"""Drivers by name: lazy, open to a site's own, and helpful where something is missing."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

import drivers.registry as registry
from drivers.errors import Unavailable


@pytest.fixture
def installed(monkeypatch):
    """Pretend that packages with these entry points are installed."""
    points: list[EntryPoint] = []

    def entry_points(*, group, name=None):
        return [point for point in points if point.group == group and name in (None, point.name)]

    monkeypatch.setattr(registry, "entry_points", entry_points)
    return points


@pytest.mark.parametrize("name", registry.source_names())
def test_every_source_of_ours_loads(name) -> None:
    assert callable(registry.load_source(name))


@pytest.mark.parametrize("name", registry.beam_names())
def test_every_beam_switch_of_ours_loads(name) -> None:
    assert callable(registry.load_beam(name))


def test_listing_names_imports_no_driver() -> None:
    script = (
        "import sys; from drivers.registry import source_names, beam_names; source_names(); beam_names();"
        "assert not [m for m in sys.modules if m.startswith(('drivers.sources', 'drivers.beam', 'zmq', 'cv2'))]"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_an_unknown_name_is_refused_with_the_known_ones(installed) -> None:
    with pytest.raises(Unavailable, match="source 'foo' is unknown; known are replay, phantom"):
        registry.load_source("foo")


def test_a_sites_own_driver_comes_through_an_entry_point(installed) -> None:
    installed.append(EntryPoint("ours", "collections:OrderedDict", "cinegate.sources"))
    assert registry.source_names()[-1] == "ours"
    assert registry.load_source("ours").__name__ == "OrderedDict"
    with pytest.raises(Unavailable, match="beam switch 'ours' is unknown"):
        registry.load_beam("ours")


def test_a_name_offered_twice_is_refused(installed) -> None:
    installed.append(EntryPoint("replay", "their:Replay", "cinegate.sources"))
    with pytest.raises(Unavailable, match=r"drivers\.sources\.replay:ReplaySource and their:Replay"):
        registry.load_source("replay")


def test_a_missing_extra_is_reported_with_the_command_that_installs_it(monkeypatch) -> None:
    monkeypatch.delitem(sys.modules, "drivers.sources.dicom", raising=False)
    monkeypatch.setitem(sys.modules, "pynetdicom", None)
    with pytest.raises(Unavailable, match=r"needs the extra dicom .* pip install .*'pynetdicom>="):
        registry.load_source("dicom")


def test_a_broken_driver_is_told_from_a_missing_library(installed) -> None:
    installed.append(EntryPoint("broken", "collections:NoSuchClass", "cinegate.sources"))
    with pytest.raises(Unavailable, match="cannot be loaded"):
        registry.load_source("broken")
