"""The table of bad input in docs/drivers.md, walked row by row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ismrmrd", reason="the ismrmrd package is not installed")
pytest.importorskip("pyigtl", reason="the pyigtl package is not installed")

from tests import mrd_peer
from tests.contract import bridge_peer, openigtlink_peer
from tests.mrd_client import connect, synthetic_cine

DOCUMENT = Path(__file__).parents[2] / "docs" / "drivers.md"
ROWS = re.findall(r"^\| `(mrd|openigtlink|zeromq)` \| ([^|]+) \| ([^|]+) \|$", DOCUMENT.read_text("utf-8").split(
    "## Bad input from network peers")[1], re.M)  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "mrd": mrd_peer.BAD,
    "openigtlink": openigtlink_peer.BAD,
    "zeromq": bridge_peer.BAD,
}


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[bridge_peer.Bridge]:
    made = bridge_peer.Bridge(f"ipc://{tmp_path}/peer")
    made.start()
    yield made
    made.close()


def test_the_table_holds_every_case_that_is_tried() -> None:
    assert {(source, name) for source, name, _ in ROWS} == {(s, name) for s, cases in CASES.items() for name in cases}


@pytest.mark.parametrize(("source", "name", "says"), [row for row in ROWS if row[0] != "zeromq"])
def test_the_operator_reads_what_the_table_says(source: str, name: str, says: str) -> None:
    module: Any = mrd_peer if source == "mrd" else openigtlink_peer
    session, cine = module.opening(), synthetic_cine(20)
    try:
        with connect(session.port) as client:
            module.started(session, client, *([cine] if source == "mrd" else []))
            client.sendall(CASES[source][name][0](*([cine] if source == "mrd" else [])))
            assert says in session.notice()
    finally:
        session.source.close()


@pytest.mark.parametrize(("source", "name", "says"), [row for row in ROWS if row[0] == "zeromq"])
def test_the_operator_of_a_bridge_reads_what_the_table_says(
    bridge: bridge_peer.Bridge, source: str, name: str, says: str
) -> None:
    bridge.frame(0)
    assert len(bridge_peer.read(bridge.source, 1)) == 1
    CASES[source][name][0](bridge)
    bridge.frame(9)
    assert bridge_peer.read(bridge.source, 1)
    assert any(says in notice for notice in bridge.source.take_notices())
