"""Research frames of the 1.5 T MR-linac, from the folder that they are written to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta

from drivers.formats.frame import VendorFrame
from drivers.formats.unity import read_unity
from drivers.sources.folder import FolderSettings, WatchedFolder
from drivers.sources.live import LiveSource
from gating.clocks.clock import Clock, MonotonicClock
from gating.messages import StampMeaning

SUFFIXES: Final = (".bin",)


class UnitySettings(FolderSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The folder, and what the stamps mean."""

    folder: Annotated[str, Meta(min_length=1, max_length=4096, description="Folder in which the `.bin` files appear.")]
    stamp_meaning: Annotated[
        StampMeaning, Meta(description="Moment that the vendor's acquisition time marks; the file does not say.")
    ] = StampMeaning.END


class UnitySource(LiveSource):
    """Live `.bin` frames. The stamps are the vendor's acquisition times in UTC (clock `unity-utc`).

    Parameters
    ----------
    settings
        See `UnitySettings`.
    clock
        The host's monotonic clock.
    """

    Settings = UnitySettings

    def __init__(self, settings: UnitySettings, *, clock: Clock | None = None) -> None:
        clock = clock or MonotonicClock()

        def read(path: Path) -> tuple[VendorFrame]:
            return (read_unity(path, settings.stamp_meaning).frame,)

        folder = WatchedFolder("unity", settings.folder, SUFFIXES, read, settings, clock)
        super().__init__(folder, settings, clock)
