"""Drivers by name: our own in a table of strings, a site's own through entry points. Nothing is imported until asked.

A site adds a driver with an entry point of the group `cinegate.sources` or `cinegate.beams` in its own package.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, cast

from drivers.errors import Unavailable
from drivers.extras import missing
from drivers.ports import BeamSwitch, CineSource


@dataclass(frozen=True, slots=True)
class _Driver:
    target: str
    """`module:Class`."""
    extra: str = ""
    """The optional dependencies of this package that it needs."""


_SOURCES: Final = {
    "replay": _Driver("drivers.sources.replay:ReplaySource"),
    "phantom": _Driver("drivers.sources.phantom:PhantomSource"),
    "unity": _Driver("drivers.sources.unity:UnitySource"),
    "mridian": _Driver("drivers.sources.mridian:MridianSource"),
    "dicom": _Driver("drivers.sources.dicom:DicomSource", "dicom"),
    "mrd": _Driver("drivers.sources.mrd:MrdSource"),
    "zeromq": _Driver("drivers.sources.zeromq:ZeromqSource"),
    "openigtlink": _Driver("drivers.sources.openigtlink:OpenigtlinkSource"),
}
_BEAMS: Final = {
    "simulated": _Driver("drivers.beam.simulated:SimulatedLinac"),
    "serial_line": _Driver("drivers.beam.serial_line:SerialLine", "serial"),
    "gpio": _Driver("drivers.beam.gpio:GpioSwitch", "gpio"),
    "zeromq": _Driver("drivers.beam.zeromq_switch:ZeromqSwitch"),
    "fanout": _Driver("drivers.beam.fanout:Fanout"),
}
_SOURCE_GROUP: Final = "cinegate.sources"
_BEAM_GROUP: Final = "cinegate.beams"


def source_names() -> list[str]:
    """Return the names of every source, ours first."""
    return _names(_SOURCES, _SOURCE_GROUP)


def beam_names() -> list[str]:
    """Return the names of every beam switch, ours first."""
    return _names(_BEAMS, _BEAM_GROUP)


def needed_extra(name: str) -> str:
    """Return the extra that a source or beam switch of ours needs; empty where it needs none."""
    own = _SOURCES.get(name) or _BEAMS.get(name)
    return own.extra if own is not None else ""


def load_source(name: str) -> Callable[..., CineSource]:
    """Return the class of a source. Raises `Unavailable`, naming what to install or which names exist."""
    return cast(Callable[..., CineSource], _load("source", name, _SOURCES, _SOURCE_GROUP))


def load_beam(name: str) -> Callable[..., BeamSwitch]:
    """Return the class of a beam switch. Raises `Unavailable`, naming what to install or which names exist."""
    return cast(Callable[..., BeamSwitch], _load("beam switch", name, _BEAMS, _BEAM_GROUP))


def _names(table: dict[str, _Driver], group: str) -> list[str]:
    return [*table, *sorted({point.name for point in entry_points(group=group)} - table.keys())]


def _load(kind: str, name: str, table: dict[str, _Driver], group: str) -> Any:
    own, installed = table.get(name), list(entry_points(group=group, name=name))
    offers = [*([own.target] if own else []), *(point.value for point in installed)]
    if not offers:
        raise Unavailable(f"{kind} {name!r} is unknown; known are {', '.join(_names(table, group))}")
    if len(offers) > 1:
        raise Unavailable(f"{kind} {name!r} is offered by {' and '.join(offers)}; one must go or be renamed")
    if own is None:
        return _import(kind, name, installed[0].load, "the package that it comes from")
    return _import(kind, name, EntryPoint(name, own.target, group).load, "cinegate", own.extra)


def _import(kind: str, name: str, load: Callable[[], Any], package: str, extra: str = "") -> Any:
    try:
        return load()
    except ModuleNotFoundError as error:
        if extra:
            raise Unavailable(missing(f"{kind} {name!r}", str(error.name), extra)) from None
        sentence = f"{kind} {name!r} needs {error.name}, which is not installed"
        raise Unavailable(f"{sentence}; install {package} again") from None
    except (ImportError, AttributeError) as error:
        raise Unavailable(f"{kind} {name!r} cannot be loaded: {error}") from None
