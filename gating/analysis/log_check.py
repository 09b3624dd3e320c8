"""What `cinegate verify` finds in a log: is it as it was written, is it whole, do its decisions follow again?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from gating.analysis.verification import Verification
from gating.session.chain_check import ChainReport, check_chain
from gating.session.completeness import Completeness, check_completeness


class LogCheck(Struct, kw_only=True):
    """The checks of one log."""

    chain: ChainReport
    record: Completeness
    replay: Verification | None = None
    """None where the decisions were not replayed."""

    @property
    def damage(self) -> str:
        """One sentence if the record is broken or lacks something inside, so that a replay would mean nothing."""
        return self.chain.broken or self.record.gap

    @property
    def finding(self) -> str:
        """The first finding, one sentence; empty if there is none."""
        differs = "" if self.replay is None else self.replay.first_difference
        return self.damage or differs or self.chain.no_end or self.record.no_end

    def document(self) -> dict[str, Any]:
        """Return everything as plain builtins, ready for JSON."""
        found = {"chain": self.chain, "record": self.record, "replay": self.replay}
        known = {name: msgspec.to_builtins(one) for name, one in found.items() if one is not None}
        return known | {"identical": not self.finding, "finding": self.finding}


def check_log(path: Path, public: str = "") -> LogCheck:
    """Check a log as a record: its chain of seals, and whether anything is missing.

    Parameters
    ----------
    path
        Path of the log.
    public
        Public key that must have signed it, see `check_chain`.

    Raises
    ------
    SessionError
        If the file is no session log.
    OSError
        If the file cannot be read.
    """
    return LogCheck(chain=check_chain(path, public), record=check_completeness(path))
