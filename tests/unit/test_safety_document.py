"""What `docs/safety.md` says about the code is true."""

from __future__ import annotations

import re
from pathlib import Path

from bench.faults.catalogue import read_catalogue
from bench.faults.document import filled
from gating.decision.reasons import LATCHING

DOCUMENT = (Path(__file__).parents[2] / "docs" / "safety.md").read_text(encoding="utf-8")


def test_its_tables_match_the_code():
    assert filled(DOCUMENT) == DOCUMENT, "run: python -m bench.faults.document docs/safety.md"


def test_every_hard_fault_is_listed_as_hard():
    hard = set(re.findall(r"\| `(\w+)` \| [^|]+ \| \*\*hard\*\*", DOCUMENT))
    assert hard == {str(reason) for reason in LATCHING}


def test_every_test_and_fault_that_a_hazard_names_exists():
    hazards = DOCUMENT[DOCUMENT.index("## Hazards") : DOCUMENT.index("## Threats")]
    named = set(re.findall(r"`([\w/.]+)`", hazards))
    faults = {fault.id for fault in read_catalogue()}
    missing = {name for name in named if name not in faults and not (Path(__file__).parents[2] / name).exists()}
    assert missing == set()
