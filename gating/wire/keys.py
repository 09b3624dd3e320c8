"""The keys of the processes, and which process may connect to which channel.

Keys are CURVE pairs (https://rfc.zeromq.org/spec/25) in files. A folder holds `<name>.key` (secret, mode 0600),
`<name>.pub`, and `allowed.toml` with the names that each channel admits. Which process binds a channel is fixed.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import tomli_w
import zmq

from gating.errors import CinegateError
from gating.settings.config import EndpointSettings
from gating.settings.toml_lines import parse_toml

SERVERS: Final = {
    "frames": "source",
    "gate": "engine",
    "telemetry": "engine",
    "control": "engine",
    "beam": "beam",
    "recorder": "recorder",
    "line": "line",
    "positions": "positions",
}
"""Channel to the process that binds it, whose key its clients expect."""
_OPTIONAL: Final = frozenset({"line", "positions"})
"""Channels of processes that a session may do without."""
ADMITTED_BY_DEFAULT: Final = {
    "frames": ("engine", "recorder", "console"),
    "gate": ("beam", "recorder", "source", "operator", "console", "positions"),
    "telemetry": ("recorder", "operator", "console", "positions"),
    "control": ("operator", "console"),
    "beam": ("engine", "recorder", "operator", "console"),
    "recorder": ("engine", "operator", "console"),
    "line": ("beam",),
    "positions": ("machine", "recorder", "operator", "console"),
}
"""Channel to the names that `cinegate keys new` admits to it."""
ROLES: Final = ("source", "engine", "beam", "recorder", "operator", "line", "console", "positions", "machine")
_NAME: Final = re.compile(r"^[a-z][a-z0-9_-]{0,31}$")
_Z85: Final = re.compile(rb"^[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}$")


class KeyProblem(CinegateError, ValueError):
    """A key is missing, malformed or readable by others. The text is one sentence."""


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys of one process: its own pair, those of the servers, and those that it admits."""

    name: str
    public: bytes
    secret: bytes = field(repr=False)
    channels: dict[str, str]
    """Endpoint to channel."""
    servers: dict[str, bytes]
    """Channel to the public key of the process that binds it."""
    admitted: dict[str, frozenset[bytes]]
    """Channel to the public keys of its clients."""

    def channel_of(self, endpoint: str) -> str:
        """Return the channel of an endpoint. Raises `KeyProblem` if the configuration does not have it."""
        if endpoint not in self.channels:
            raise KeyProblem(f"endpoint {endpoint} is not in the configuration, so no key belongs to it")
        return self.channels[endpoint]

    def server(self, channel: str) -> bytes:
        """Return the public key of the process that binds a channel. Raises `KeyProblem` if it is not known."""
        if channel not in self.servers:
            raise KeyProblem(f"{SERVERS[channel]}.pub is missing; copy the public key of {SERVERS[channel]} there")
        return self.servers[channel]

    def admits(self, channel: str, public: bytes) -> bool:
        """Whether a client with this public key may connect to a channel."""
        return public in self.admitted.get(channel, frozenset())


def new_key(folder: Path, name: str) -> Path:
    """Make a key pair, admit it to the usual channels of its name, and return the path of the secret key.

    Raises
    ------
    KeyProblem
        If the name is malformed or taken.
    OSError
        If the folder cannot be written.
    """
    _check_name(name)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{name}.key"
    if path.exists():
        raise KeyProblem(f"{path} exists; remove it first if {name} is to have a new key")
    public, secret = zmq.curve_keypair()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret + b"\n")
    (folder / f"{name}.pub").write_bytes(public + b"\n")
    for channel, names in ADMITTED_BY_DEFAULT.items():
        if name in names:
            allow(folder, name, channel)
    return path


def allow(folder: Path, name: str, channel: str) -> None:
    """Admit a name, whose `.pub` must be in the folder, to a channel. Raises `KeyProblem` or `OSError`."""
    _check_name(name)
    if channel not in SERVERS:
        raise KeyProblem(f"channel is {channel!r}; known are {', '.join(SERVERS)}")
    _read_public(folder, name)
    names = allowed(folder)
    names[channel] = sorted({*names.get(channel, []), name})
    (folder / "allowed.toml").write_text(tomli_w.dumps(dict(sorted(names.items()))), encoding="utf-8")


def allowed(folder: Path) -> dict[str, list[str]]:
    """Return the names that each channel admits. Raises `KeyProblem` if the file is malformed."""
    path = folder / "allowed.toml"
    if not path.exists():
        return {}
    try:
        plain = parse_toml(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise KeyProblem(f"{path}: {error}") from None
    for channel, names in plain.items():
        if channel not in SERVERS or not isinstance(names, list) or not all(isinstance(one, str) for one in names):
            raise KeyProblem(f"{path}: {channel} must be one of {', '.join(SERVERS)} with a list of names")
    return plain


def load_keyring(folder: Path, name: str, endpoints: EndpointSettings) -> Keyring:
    """Read the keys that the process `name` needs.

    Raises
    ------
    KeyProblem
        If a key is missing or malformed, others may read the secret one, or others may change who is admitted.
    """
    _check_name(name)
    _check_unchanged_by_others(folder)
    path = folder / f"{name}.key"
    if not path.exists():
        raise KeyProblem(f"{path} is missing; make it with `cinegate keys new {name}`")
    if path.stat().st_mode & 0o077:
        raise KeyProblem(f"{path} may be read by others (mode {path.stat().st_mode & 0o777:o}); it must be 600")
    secret = _key(path)
    admitted = {
        channel: frozenset(_read_public(folder, one) for one in names) for channel, names in allowed(folder).items()
    }
    configured = EndpointSettings.__struct_fields__
    channels = {getattr(endpoints, channel): channel for channel in configured}
    servers = {
        channel: _read_public(folder, role)
        for channel, role in SERVERS.items()
        if channel not in _OPTIONAL or (folder / f"{role}.pub").exists()
    }
    return Keyring(name, zmq.curve_public(secret), secret, channels, servers, admitted)


def _check_unchanged_by_others(folder: Path) -> None:
    """Refuse keys that other users may replace: who writes there decides who is admitted."""
    for path in (folder, *folder.glob("*.pub"), *folder.glob("allowed.toml")):
        if path.stat().st_mode & 0o022:
            raise KeyProblem(f"others may write to {path} (mode {path.stat().st_mode & 0o777:o}); they must not")


def _read_public(folder: Path, name: str) -> bytes:
    path = folder / f"{name}.pub"
    if not path.exists():
        raise KeyProblem(f"{path} is missing; copy the public key of {name} there")
    return _key(path)


def _key(path: Path) -> bytes:
    key = path.read_bytes().strip()
    if not _Z85.match(key):
        raise KeyProblem(f"{path} holds {len(key)} bytes; a CURVE key of 40 Z85 characters is needed")
    return key


def _check_name(name: str) -> None:
    if not _NAME.match(name):
        raise KeyProblem(f"name is {name!r}; up to 32 lower-case letters, digits, - and _ are allowed")
