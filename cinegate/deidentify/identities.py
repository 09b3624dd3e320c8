"""Pseudonyms, made with a secret key, and the link table that leads back from them to patients."""

from __future__ import annotations

import json
import os
import secrets
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from gating.errors import CinegateError

KEY_BYTES: Final = 32
LEAST_DAYS: Final = 365
DAYS: Final = 10 * 365
"""Times go back by 1 to 11 years, and by part of a day, so that neither day nor hour is that of the treatment."""
DAY_S: Final = 86_400
SECOND_NS: Final = 1_000_000_000


class DeidentifyError(CinegateError, ValueError):
    """A copy without identity cannot be made; the text is one sentence."""


class Copied(Struct, frozen=True, kw_only=True):
    """A file and its copy."""

    original: str
    copy: str
    pseudonym: str
    at: str
    """When it was copied, ISO 8601."""


class _Table(Struct, kw_only=True, forbid_unknown_fields=True):
    key: Annotated[str, Meta(pattern=f"^[0-9a-f]{{{2 * KEY_BYTES}}}$")]
    patients: dict[str, str] = {}
    """The patient, by pseudonym."""
    files: list[Copied] = []


class Identities:
    """The secret key of a data set, and whom its pseudonyms stand for.

    The same link table gives a patient the same pseudonym and the same shift of time, whenever it is used again.

    Parameters
    ----------
    link
        The link table. It is made, readable by its owner alone, if there is none.

    Raises
    ------
    DeidentifyError
        If the file is no link table, or others may read it.
    OSError
        If it cannot be read.
    """

    def __init__(self, link: Path) -> None:
        self.link = link
        self._table = _read(link) if link.exists() else _Table(key=secrets.token_hex(KEY_BYTES))

    def patient(self, name: str) -> Patient:
        """Return the pseudonym of a patient, and note whom it stands for."""
        patient = Patient(bytes.fromhex(self._table.key), name)
        self._table.patients[patient.pseudonym] = name
        return patient

    def note(self, original: Path, copy: Path, patient: Patient) -> None:
        """Note of which file a copy was made."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        copied = Copied(original=str(original.absolute()), copy=str(copy), pseudonym=patient.pseudonym, at=at)
        self._table.files.append(copied)

    def save(self) -> None:
        """Write the table in one step, mode 0600. Raises `OSError`."""
        self.link.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        written = self.link.with_name(f".{self.link.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(msgspec.to_builtins(self._table), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        written.replace(self.link)


class Patient:
    """A patient under a pseudonym.

    Attributes
    ----------
    pseudonym : str
    shift_ns : int
        What is added to every time since 1970: a negative number of whole seconds.
    """

    def __init__(self, key: bytes, name: str) -> None:
        self._key = blake2b(name.encode(), key=key, digest_size=KEY_BYTES).digest()
        self.pseudonym = f"P-{self._digest('patient', name)[:10].hex()}"
        drawn = int.from_bytes(self._digest("shift", name)[:16], "big")
        self.shift_ns = -(LEAST_DAYS * DAY_S + drawn % (DAYS * DAY_S)) * SECOND_NS

    def token(self, kind: str, value: str) -> str:
        """Return what stands for a name or an identifier: the same for the same one, and nothing for nothing."""
        return f"{kind}-{self._digest(kind, value)[:6].hex()}" if value else ""

    def uid(self, value: str) -> str:
        """Return what stands for a DICOM UID, of the root for UUIDs (PS3.5, B.2)."""
        return f"2.25.{int.from_bytes(self._digest('uid', value)[:15], 'big')}"

    def digest(self, value: str) -> str:
        """Return a keyed hash, in hexadecimal digits."""
        return self._digest("digest", value).hex()

    def _digest(self, kind: str, value: str) -> bytes:
        return blake2b(f"{kind}\0{value}".encode(errors="surrogatepass"), key=self._key).digest()


def _read(link: Path) -> _Table:
    mode = link.stat().st_mode & 0o777
    if mode & 0o077:
        raise DeidentifyError(f"{link} may be read by others (mode {mode:o}); a link table must be 600")
    try:
        return msgspec.json.decode(link.read_bytes(), type=_Table)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DeidentifyError(f"{link} is no link table: {error}") from None
