"""Write the tables of `docs/safety.md` that follow from the code: `python -m bench.faults.document docs/safety.md`."""

from __future__ import annotations

import re
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Final

from bench.faults.catalogue import read_catalogue
from bench.faults.hazards import fmea_table, hazards_table
from gating.decision.arming import TRANSITIONS
from gating.decision.reasons import CONSEQUENCES, GateReason
from gating.settings.safeguards import SAFEGUARDS

PROSE_WIDTH: Final = 100


def reasons_table() -> str:
    """Return which reasons latch and which resume by themselves."""
    rows = ["| reason | what it means | hold |", "|---|---|---|"]
    for reason, consequence in CONSEQUENCES.items():
        if reason is not GateReason.IN_WINDOW:
            hold = "**hard**: latches until a named acknowledgement" if consequence.latches else "soft"
            rows.append(f"| `{reason}` | {consequence.words} | {hold} |")
    return "\n".join(rows)


def states_table() -> str:
    """Return every transition of the engine's state."""
    rows = ["| from | event | to |", "|---|---|---|"]
    rows += [f"| {before} | {event} | {after} |" for (before, event), after in TRANSITIONS.items()]
    return "\n".join(rows)


def faults_table() -> str:
    """Return the fault catalogue."""
    rows = ["| family | fault | injected | reaction | reason | bound |", "|---|---|---|---|---|---|"]
    rows += [
        f"| {fault.family} | `{fault.id}` | {fault.injected} | {fault.reaction} | "
        f"{' or '.join(f'`{reason}`' for reason in fault.reason)} | {fault.bound} |"
        for fault in read_catalogue()
    ]
    return "\n".join(rows)


def size() -> str:
    """Return how many faults the catalogue holds, of which family."""
    of_family = Counter(fault.family for fault in read_catalogue())
    listed = ", ".join(f"{count} {family}" for family, count in sorted(of_family.items()))
    return textwrap.fill(f"The catalogue holds {of_family.total()} faults ({listed}).", PROSE_WIDTH)


def safeguards_table() -> str:
    """Return the settings that can disarm a safeguard."""
    rows = ["| setting | safe | lost beyond it | hazard | source |", "|---|---|---|---|---|"]
    rows += [f"| `{one.setting}` | {one.safe} | {one.lost} | {one.hazard} | {one.source} |" for one in SAFEGUARDS]
    return "\n".join(rows)


TABLES: Final = {
    "reasons": reasons_table,
    "states": states_table,
    "safeguards": safeguards_table,
    "hazards": hazards_table,
    "fmea": fmea_table,
    "size": size,
    "faults": faults_table,
}


def filled(text: str) -> str:
    """Return the document with new tables, each between its pair of markers."""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}: made by bench.faults.document -->", f"<!-- end of {name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        text = pattern.sub(f"{begin}\n{table()}\n{end}".replace("\\", r"\\"), text)
    return text


if __name__ == "__main__":
    document = Path(sys.argv[1])
    document.write_text(filled(document.read_text(encoding="utf-8")), encoding="utf-8")
