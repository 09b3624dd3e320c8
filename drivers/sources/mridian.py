"""Frames of the 0.35 T MR-linac, from the folder in which its `.dat` streams grow."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta

from drivers.errors import BadFrame, Unavailable
from drivers.formats.frame import VendorFrame, checked_frame
from drivers.formats.mridian_dat import UNSTEADY_FRAMES, DatFrame, parse_frames
from drivers.formats.pixels import wire_pixels
from drivers.formats.stream import FileParser
from drivers.recordings.given import ORIENTATIONS
from drivers.recordings.recording import SAGITTAL
from drivers.sources.folder import FolderSettings, WatchedFolder
from drivers.sources.live import LiveSource
from gating.clocks.clock import Clock, MonotonicClock
from gating.messages import StampMeaning, StreamInfo

SUFFIXES: Final = (".dat",)


class MridianSettings(FolderSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The folder, and what the format does not say: `plane` names the one that is imaged, by default sagittal."""

    folder: Annotated[str, Meta(min_length=1, max_length=4096, description="Folder in which the `.dat` files grow.")]
    skip_frames: Annotated[
        int, Meta(ge=0, le=1000, description="Frames to leave out at the start of a file, before steady state.")
    ] = UNSTEADY_FRAMES


class MridianSource(LiveSource):
    """Live `.dat` frames. They hold no stamps: `arrival_time` must be set, and every message then says so.

    Parameters
    ----------
    settings
        See `MridianSettings`.
    clock
        The host's monotonic clock.
    """

    Settings = MridianSettings

    def __init__(self, settings: MridianSettings, *, clock: Clock | None = None) -> None:
        clock = clock or MonotonicClock()
        self._arrival_time = settings.arrival_time
        streams = _Streams(settings)
        folder = WatchedFolder("mridian", settings.folder, SUFFIXES, streams.read, settings, clock, growing=True)
        super().__init__(folder, settings, clock)

    def open(self) -> StreamInfo:
        """Start, and wait for the first frames. Raises `Unavailable`, also unless `arrival_time` is set."""
        if not self._arrival_time:
            raise Unavailable("mridian: arrival_time is false; .dat frames hold no stamps, so it must be true")
        return super().open()


class _Streams:
    """How far each file has been read."""

    def __init__(self, settings: MridianSettings) -> None:
        self._orientation = ORIENTATIONS.get(settings.plane, SAGITTAL)
        self._skip = settings.skip_frames
        self._parsers: dict[Path, FileParser] = {}
        self._counts: Counter[Path] = Counter()

    def read(self, path: Path) -> list[VendorFrame]:
        """Return the frames that are new in a file, but those before steady state. Raises `BadFrame`."""
        parser = self._parsers.setdefault(path, FileParser(parse_frames()))
        frames = []
        try:
            with path.open("rb") as file:
                for frame in parser.messages(file):
                    self._counts[path] += 1
                    if self._counts[path] > self._skip:
                        frames.append(self._checked(path, frame))
        except OSError as error:
            raise BadFrame(f"it cannot be read: {error.strerror}") from None
        return frames

    def _checked(self, path: Path, frame: DatFrame) -> VendorFrame:
        return checked_frame(
            wire_pixels(frame.pixels),
            frame.geometry(self._orientation),
            acquired_ns=0,
            clock="none",
            meaning=StampMeaning.ARRIVAL,
            name=f"{self._counts[path]} of {path.name[:60]}",
            series=path.name,
        )
