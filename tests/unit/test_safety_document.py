"""What `docs/safety.md` says about the code is true."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.faults.document import filled
from bench.faults.hazards import breaks, fmea_csv, read_hazards
from gating.decision.reasons import LATCHING

DOCUMENT = (Path(__file__).parents[2] / "docs" / "safety.md").read_text(encoding="utf-8")


def test_its_tables_match_the_code():
    assert filled(DOCUMENT) == DOCUMENT, "run: python -m bench.faults.document docs/safety.md"


def test_every_hard_fault_is_listed_as_hard():
    hard = set(re.findall(r"\| `(\w+)` \| [^|]+ \| \*\*hard\*\*", DOCUMENT))
    assert hard == {str(reason) for reason in LATCHING}


def test_every_hazard_is_proved_and_every_proof_has_a_hazard():
    assert list(breaks(read_hazards())) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param({"faults": (), "tests": ()}, "H1 needs a fault, a test, or a gap", id="no proof"),
        pytest.param({"gap": "none"}, "H1 needs a fault, a test, or a gap", id="proof and gap"),
        pytest.param({"files": ("gating/gone.py",)}, "does not exist: gating/gone.py", id="file"),
        pytest.param({"tests": ("tests/gone.py",)}, "does not exist: tests/gone.py", id="test"),
        pytest.param({"faults": ("gone",)}, "does not exist: gone", id="unknown fault"),
        pytest.param({"faults": ("cough",)}, "without a hazard .*swallow", id="fault without hazard"),
    ],
)
def test_a_break_in_the_trace_is_found(change, sentence):
    first, *others = read_hazards()
    found = " ".join(breaks((replace(first, **change), *others)))
    assert re.search(sentence, found)


def test_a_fault_test_without_a_hazard_is_found():
    hazards = tuple(replace(one, tests=()) for one in read_hazards())
    assert "tests/faults/test_beam_process.py" in " ".join(breaks(hazards))


def test_the_sheet_multiplies_its_ranks():
    head, *rows = csv.reader(io.StringIO(fmea_csv()))
    assert len(rows) == len(read_hazards())
    for row in rows:
        s, o, d, rpn = (int(row[head.index(name)]) for name in ("S", "O", "D", "RPN"))
        after = [int(row[head.index(f"{name} after")]) for name in ("O", "D", "RPN")]
        assert (s * o * d, s * after[0] * after[1]) == (rpn, after[2])
        assert after[2] <= rpn
