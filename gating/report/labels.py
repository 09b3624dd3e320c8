"""What the user says of a session, and the block in which the report is signed.

The log holds no patient's name. Labels are the user's, and should be pseudonyms.
"""

from __future__ import annotations

from html import escape
from typing import Final

from msgspec import Struct

from gating.pages.page import UNKNOWN, sign_off_section

LONGEST: Final = 64
_ROLES: Final = ("medical physicist", "radiation oncologist", "radiographer")


class Labels(Struct, frozen=True, kw_only=True):
    """Whose session it was, of which plan and fraction; empty where it is not given.

    Raises
    ------
    ValueError
        If a label is longer than 64 characters.
    """

    patient: str = ""
    plan: str = ""
    fraction: str = ""

    def __post_init__(self) -> None:
        for name, text in self.rows():
            if len(text) > LONGEST:
                raise ValueError(f"{name} has {len(text)} characters; at most {LONGEST} are allowed")

    def rows(self) -> list[tuple[str, str]]:
        """Return (what, label) of every label."""
        return [("patient", self.patient), ("plan", self.plan), ("fraction", self.fraction)]


def label_line(labels: Labels) -> str:
    """Return the labels as one line of HTML; a dash for those that are not given."""
    return " &middot; ".join(f"{what} <b>{escape(text) or UNKNOWN}</b>" for what, text in labels.rows())


def sign_off(labels: Labels, session_id: str, config_hash: str, log_name: str) -> str:
    """Return the block to be signed, on paper or in a PDF, with what identifies the session that it is about."""
    about = f"session {escape(session_id)}, settings {escape(config_hash) or UNKNOWN}, log {escape(log_name)}"
    return sign_off_section(f"{label_line(labels)}; {about}", _ROLES)
