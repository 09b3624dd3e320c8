"""Who may reach the sockets of this process, and who may connect to them: set once, before the first is opened."""

from __future__ import annotations

import os
import shutil
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import zmq

from gating.settings.config import Config
from gating.settings.private_folder import check_private
from gating.wire.authenticator import Authenticator
from gating.wire.keys import Keyring, load_keyring
from gating.wire.loopback import is_loopback, is_loopback_interface


@dataclass(slots=True)
class _Security:
    """How this process opens its sockets; set once, before the first."""

    keyring: Keyring | None = None
    open_network_allowed: bool = False
    owner: str = ""
    authenticators: weakref.WeakKeyDictionary[zmq.Context[Any], Authenticator] = field(
        default_factory=weakref.WeakKeyDictionary
    )


_security: Final = _Security()


def secure(keyring: Keyring | None, *, open_network_allowed: bool = False, owner: str = "") -> None:
    """Set how all later sockets are opened.

    Parameters
    ----------
    keyring
        Their keys; None: without keys.
    open_network_allowed
        Whether sockets without keys may be bound to addresses that other hosts reach.
    owner
        User who becomes the owner of `ipc://` sockets, and of folders made for them, if root binds them.
    """
    _security.keyring, _security.open_network_allowed, _security.owner = keyring, open_network_allowed, owner


def secure_process(config: Config, role: str) -> None:
    """Set how this process opens its sockets, according to `[security]`. Raises `KeyProblem`."""
    security = config.security
    keyring = load_keyring(Path(security.keys).expanduser(), role, config.endpoints) if security.keys else None
    secure(keyring, open_network_allowed=security.allow_open_network, owner=config.host.run_as)


def give_to_owner(path: Path) -> None:
    """Give a file or folder that root made to the user for whom it is."""
    if _security.owner and os.geteuid() == 0:
        try:
            shutil.chown(path, _security.owner)
        except LookupError:
            raise PermissionError(f"host.run_as is {_security.owner!r}; there is no such user") from None


def private_path(endpoint: str) -> Path | None:
    """Return the path of an `ipc://` endpoint, whose folder is private; None for any other endpoint."""
    if not endpoint.startswith("ipc://"):
        return None
    if endpoint.startswith("ipc://@"):
        raise PermissionError(
            f"endpoint {endpoint} is in no folder, so any user of this host could take it; use a path"
        )
    path = Path(endpoint.removeprefix("ipc://"))
    if not path.parent.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        give_to_owner(path.parent)
    check_private(path.parent, owner=_security.owner)
    return path


def has_keys() -> bool:
    """Whether the sockets of this process check who connects."""
    return _security.keyring is not None


def check_listening(host: str) -> None:
    """Refuse to listen on an address that other hosts reach, for a protocol that cannot check who connects.

    This is the rule for every listening socket that is not one of cinegate's own channels.

    Raises
    ------
    PermissionError
        If the address is not of this host alone, and `security.allow_open_network` is false.
    """
    if not (_security.open_network_allowed or is_loopback(host)):
        raise PermissionError(
            f"address {host or '0.0.0.0'} listens beyond this host, to peers that nothing can check; "  # noqa: S104 - a word of the sentence
            "set security.allow_open_network = true if the network is trusted"
        )


def check_exposure(endpoint: str) -> None:
    """Refuse an endpoint that other hosts reach if nothing checks who connects."""
    if _security.keyring is not None or _security.open_network_allowed or not endpoint.startswith("tcp://"):
        return
    host = endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    if not (is_loopback(host) or is_loopback_interface(host)):
        raise PermissionError(
            f"endpoint {endpoint} listens beyond this host without keys; set security.keys, "
            "or security.allow_open_network = true and its override"
        )


def check_obeyed(endpoint: str, who: str) -> None:
    """Refuse to move a machine or a line by what an endpoint says that anybody could take or repeat.

    On a loopback TCP port another user of this host can speak, and old messages of a peer are as good as new ones to
    whoever asks it nothing.

    Raises
    ------
    PermissionError
        If there are no keys, and the endpoint is no `ipc://` one, whose folder is private; `who` begins the sentence.
    """
    if not (has_keys() or endpoint.startswith("ipc://")):
        raise PermissionError(
            f"{who} would obey anybody at {endpoint}; set security.keys, or use ipc:// in a private folder"
        )


def authenticate(context: zmq.Context[Any], socket: zmq.Socket[bytes], endpoint: str, channel: str) -> None:
    """Let a socket that is to be bound admit nobody but the keys of its channel, where keys are in use."""
    keyring = _security.keyring
    if keyring is None:
        return
    channel = channel or keyring.channel_of(endpoint)
    authenticator = _security.authenticators.get(context)
    if authenticator is None:
        authenticator = _security.authenticators[context] = Authenticator(context, keyring)
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, keyring.secret)
    socket.setsockopt(zmq.ZAP_DOMAIN, channel.encode())
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    authenticator.watch(socket, channel)


def use_keys(socket: zmq.Socket[bytes], endpoint: str, channel: str = "") -> None:
    """Let a socket that is to be connected show this process's key, and demand the server's, where keys are in use."""
    keyring = _security.keyring
    if keyring is None:
        return
    server = keyring.server(channel or keyring.channel_of(endpoint))
    socket.setsockopt(zmq.CURVE_SECRETKEY, keyring.secret)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, keyring.public)
    socket.setsockopt(zmq.CURVE_SERVERKEY, server)
