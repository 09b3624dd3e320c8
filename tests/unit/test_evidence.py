"""The bill of materials and the FMEA sheet that one command writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

from bench.evidence import NOTICE, write_evidence

LOCK = (Path(__file__).parents[2] / "requirements" / "run.txt").read_text(encoding="utf-8")


def test_the_bill_names_every_locked_package_and_its_hashes(tmp_path: Path) -> None:
    write_evidence(tmp_path)
    bill = json.loads((tmp_path / "sbom.cdx.json").read_text(encoding="utf-8"))
    found = {(one["name"].lower(), one["version"]) for one in bill["components"]}
    assert found == set(re.findall(r"^([\w.-]+)==([\w.+]+)", LOCK, re.MULTILINE))
    assert "hash" in json.dumps(bill["components"][0])
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "cinegate"
    assert NOTICE in [one["value"] for one in bill["metadata"]["properties"]]
    assert (tmp_path / "fmea.csv").read_text(encoding="utf-8").startswith("hazard,effect,cause,S,O,D,RPN")
