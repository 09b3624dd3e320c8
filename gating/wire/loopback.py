"""Which addresses stay on this host."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Final

INTERFACES: Final = Path("/sys/class/net")
IFF_LOOPBACK: Final = 0x8
"""Flag of an interface, see netdevice(7)."""


def is_loopback(host: str) -> bool:
    """Whether an address, or `localhost`, is of this host alone; any other name may be resolved to anything."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_loopback_interface(name: str) -> bool:
    """Whether the kernel calls an interface of this name a loopback. Only ZeroMQ endpoints may name interfaces."""
    try:
        return bool(int((INTERFACES / name / "flags").read_text(encoding="ascii"), 16) & IFF_LOOPBACK)
    except (OSError, ValueError):
        return False
