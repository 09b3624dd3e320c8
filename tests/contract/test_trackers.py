"""The trackers that come with cinegate and those of the examples, held to one contract."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import cinegate
from gating.tracking.registry import make_tracker
from gating.tracking.tracker import Tracker, TrackerSettings, TrackingError, TrackStatus
from replay_data import session_path
from tests.contract.tracker import SPACING_MM, TARGET, TrackerContract
from tests.factories import anatomy

EXAMPLES = Path(__file__).parents[2] / "examples"
SETTINGS = TrackerSettings()


class TestTemplateTracker(TrackerContract):
    @pytest.fixture
    def make(self) -> Callable[[], Tracker]:
        return lambda: make_tracker("template", SETTINGS)


class TestRigidTracker(TrackerContract):
    @pytest.fixture
    def make(self) -> Callable[[], Tracker]:
        return lambda: make_tracker("rigid", SETTINGS)


class TestOpenCvTracker(TrackerContract):
    @pytest.fixture
    def make(self) -> Callable[[], Tracker]:
        return lambda: make_tracker("opencv", SETTINGS)


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Import a module of the example packages."""
    for package in ("site_driver", "site_trackers"):
        monkeypatch.syspath_prepend(str(EXAMPLES / package / "src"))
    yield importlib.import_module
    for name in [name for name in sys.modules if name.startswith(("our_site", "our_trackers"))]:
        del sys.modules[name]


class TestTheSitesTracker(TrackerContract):
    @pytest.fixture
    def make(self, example: Callable[[str], Any]) -> Callable[[], Tracker]:
        return lambda: example("our_site.tracker").OurTracker(SETTINGS)


class TestPhaseTracker(TrackerContract):
    @pytest.fixture
    def make(self, example: Callable[[str], Any]) -> Callable[[], Tracker]:
        return lambda: example("our_trackers.phase").PhaseTracker(SETTINGS)


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network of the example, as its script writes it."""
    pytest.importorskip("onnx", reason="onnx, which writes the network, is not installed")
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    file = tmp_path_factory.mktemp("network") / "network.onnx"
    subprocess.run([sys.executable, EXAMPLES / "site_trackers" / "make_network.py", file], check=True)
    return file


class TestNetworkTracker(TrackerContract):
    @pytest.fixture
    def make(self, example: Callable[[str], Any], network: Path) -> Callable[[], Tracker]:
        return lambda: example("our_trackers.network").NetworkTracker(SETTINGS, network)


def rewritten(network: Path, folder: Path, change: Callable[[Any], None]) -> Path:
    """Return a copy of the network with a change."""
    import onnx

    model = onnx.load(network)
    change(model.graph)
    onnx.save(model, folder / "changed.onnx")
    return folder / "changed.onnx"


def rename_input(graph: Any) -> None:
    graph.input[0].name = graph.node[0].input[0] = "image"
    for node in graph.node:
        node.input[:] = ["image" if name == "frame" else name for name in node.input]


def double_the_mask(graph: Any) -> None:
    next(value for value in graph.initializer if value.name == "high").float_data[:] = [2.0]
    next(value for value in graph.initializer if value.name == "high").ClearField("raw_data")
    next(value for value in graph.initializer if value.name == "low").float_data[:] = [2.0]
    next(value for value in graph.initializer if value.name == "low").ClearField("raw_data")


def empty_the_mask(graph: Any) -> None:
    high = next(value for value in graph.initializer if value.name == "high")
    high.float_data[:] = [0.0]
    high.ClearField("raw_data")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (rename_input, "inputs are image, reference_frame, reference_mask; needed are frame, "),
        (double_the_mask, "target_mask of the network is 2 to 2; 0 to 1 is possible"),
        (empty_the_mask, "finds the target with a DSC of 0.00; 0.8 is needed"),
    ],
    ids=["names", "range", "accuracy"],
)
def test_a_network_that_cannot_be_used_is_refused(change, sentence, network, example, tmp_path) -> None:
    made = example("our_trackers.network").NetworkTracker(SETTINGS, rewritten(network, tmp_path, change))
    with pytest.raises(TrackingError, match=sentence):
        cinegate.evaluate(session_path("high_rate"), tracker=lambda _: made)


def test_a_network_over_its_budget_is_refused(network, example, monkeypatch) -> None:
    module = example("our_trackers.network")
    monkeypatch.setattr(module, "BUDGET_MS", 0.0)
    with pytest.raises(TrackingError, match=r"the network takes \d+ ms for a frame; 0 ms are allowed"):
        cinegate.evaluate(session_path("high_rate"), tracker=lambda _: module.NetworkTracker(SETTINGS, network))


def test_a_network_that_waits_for_a_busy_core_is_not_refused(network, example, monkeypatch) -> None:
    module = example("our_trackers.network")
    session = module.load_network(network)
    late = SimpleNamespace(
        run=lambda *asked: time.sleep(1.2e-3 * module.BUDGET_MS) or session.run(*asked), get_inputs=session.get_inputs
    )
    monkeypatch.setattr(module, "load_network", lambda _: late)
    made = module.NetworkTracker(SETTINGS, network)
    made.set_reference(anatomy(), TARGET, SPACING_MM)
    assert made.track(anatomy(), 0.25).status is TrackStatus.TRACKED


def test_a_file_that_is_no_network_is_refused(example, tmp_path) -> None:
    (tmp_path / "network.onnx").write_bytes(b"not a network")
    made = example("our_trackers.network").NetworkTracker(SETTINGS, tmp_path / "network.onnx")
    with pytest.raises(TrackingError, match=r"network .*network\.onnx: "):
        made.warm_up()


def test_a_network_gates_a_recording_by_its_name(network, example, monkeypatch) -> None:
    module = example("our_trackers.network")
    monkeypatch.setenv("OUR_NETWORK", str(network))
    states = [frame.state for frame in cinegate.gate(session_path("free_breathing"), tracker=module.our_network)]
    assert states.count("on") > 20
    assert states.count("hold") > 20
