"""Write what a reviewer asks for: `python -m bench.evidence FOLDER` gives fmea.csv and sbom.cdx.json (CycloneDX).

Run it in a checkout, for the lock file is not installed. The bill is made and checked by cyclonedx-bom, of the extra
`test`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from bench.faults.hazards import ROOT, fmea_csv

NOTICE: Final = "Research software, not a medical device. This bill of materials is no claim of conformity."


def write_evidence(folder: Path) -> None:
    """Write both files.

    Raises
    ------
    ValueError
        If the bill does not satisfy the schema of CycloneDX 1.6.
    subprocess.CalledProcessError
        If the lock file cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fmea.csv").write_text(fmea_csv(), encoding="utf-8")
    (folder / "sbom.cdx.json").write_text(bill_of_materials(), encoding="utf-8")


def bill_of_materials(lock: Path = ROOT / "requirements" / "run.txt") -> str:
    """Return the CycloneDX bill of what a running cinegate is made of, as JSON. Raises as `write_evidence`."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    command = [
        sys.executable,
        "-m",
        "cyclonedx_py",
        "requirements",
        str(lock),
        "--pyproject",
        str(ROOT / "pyproject.toml"),
    ]
    made = subprocess.run([*command, "--output-reproducible"], check=True, capture_output=True, text=True)
    bill = json.loads(made.stdout)
    bill["metadata"]["properties"] = [*bill["metadata"].get("properties", []), {"name": "notice", "value": NOTICE}]
    text = json.dumps(bill, indent=2)
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if wrong is not None:
        raise ValueError(f"the bill of materials is no CycloneDX 1.6: {wrong}")
    return text


if __name__ == "__main__":
    write_evidence(Path(sys.argv[1]))
