"""Signatures of the seals of a session log: Ed25519 (RFC 8032), with a key that only the recorder holds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gating.errors import CinegateError

SECRET_NAME: Final = "recorder.sign.key"  # noqa: S105 - the name of a file
PUBLIC_NAME: Final = "recorder.sign.pub"
KEY_HEX: Final = 64
_HEX: Final = frozenset("0123456789abcdef")


class SigningKeyProblem(CinegateError, ValueError):
    """A signing key is missing, malformed or readable by others. The text is one sentence."""


class Signer:
    """Signs the seals of one log. `public` is its public key, 64 hexadecimal digits."""

    def __init__(self, secret: Ed25519PrivateKey) -> None:
        self._secret = secret
        self.public = secret.public_key().public_bytes_raw().hex()

    def sign(self, seal: Mapping[str, str]) -> str:
        """Return the signature of a seal, in hexadecimal digits."""
        return self._secret.sign(_signed_text(seal)).hex()


def is_signed_by(public: str, seal: Mapping[str, str]) -> bool:
    """Return whether the signature in a seal is that of a public key."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(bytes.fromhex(seal.get("signature", "")), _signed_text(seal))
    except (InvalidSignature, ValueError):
        return False
    return True


def new_signing_key(folder: Path) -> Path:
    """Make the recorder's signing key (secret 0600, PEM; public 64 hexadecimal digits); return the secret's path.

    Raises
    ------
    SigningKeyProblem
        If there is one already: logs signed with it could no longer be told from forged ones.
    OSError
        If the folder cannot be written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / SECRET_NAME
    if path.exists():
        raise SigningKeyProblem(f"{path} exists; move it away first, and keep its {PUBLIC_NAME} to verify earlier logs")
    secret = Ed25519PrivateKey.generate()
    pem = secret.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    (folder / PUBLIC_NAME).write_text(f"{Signer(secret).public}\n", encoding="ascii")
    return path


def load_signer(folder: Path) -> Signer | None:
    """Return the signer whose key is in a folder; None if there is none. Raises `SigningKeyProblem` or `OSError`."""
    path = folder / SECRET_NAME
    if not path.exists():
        return None
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise SigningKeyProblem(f"{path} may be read by others (mode {mode:o}); it must be 600")
    try:
        secret = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError):
        raise SigningKeyProblem(f"{path} holds no private key in PEM form") from None
    if not isinstance(secret, Ed25519PrivateKey):
        raise SigningKeyProblem(f"{path} holds a key of another kind; Ed25519 is needed")
    return Signer(secret)


def load_public(path: Path) -> str:
    """Return a public signing key from its file or from the folder of the keys.

    Raises
    ------
    SigningKeyProblem
        If the file holds no such key.
    OSError
        If it cannot be read.
    """
    path = path / PUBLIC_NAME if path.is_dir() else path
    public = path.read_text(encoding="ascii", errors="replace").strip()
    if len(public) != KEY_HEX or not _HEX.issuperset(public):
        raise SigningKeyProblem(f"{path} holds no public signing key; {KEY_HEX} hexadecimal digits are needed")
    return public


def _signed_text(seal: Mapping[str, str]) -> bytes:
    return f"cinegate seal {seal.get('seal')} {seal.get('records')} {seal.get('digest')}".encode()
