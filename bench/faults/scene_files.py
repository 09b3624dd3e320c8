"""The configuration of a scene, its stream, and the files that its processes read."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from bench.faults.pictures import PictureBook
from drivers.formats.pixels import wire_dtype_name
from gating.messages import Pacing, SourceKind, StampMeaning, StreamInfo
from gating.settings.config import (
    ClockSettings,
    Config,
    EndpointSettings,
    HealthSettings,
    LinacSettings,
    RecordingSettings,
    to_toml,
)
from gating.settings.host import LAST_CORE, HostSettings
from gating.settings.sites import SiteSettings
from gating.targets.image import TargetImage
from gating.targets.spec import TargetSpec
from gating.targets.target_file import write_targets
from gating.wire.pixels import content_hash

TARGETS: Final = "targets.json"
"""Name of the target file in the folder of a scene."""
SITES: Final = ("lung", "liver")
"""Names of the sites of a scene that has sites."""


def scene_config(folder: Path, *, sites: bool = False, engine_core: int = LAST_CORE) -> Config:
    """Return the default settings, but with recording required, a linac without delays, and little patience.

    The patient of the scene pulses, so that a still image can be told from it within seconds. The delay of the network
    counts as measured, for a source on another host.
    """
    names = EndpointSettings.__struct_fields__
    return Config(
        endpoints=EndpointSettings(**{name: f"ipc://{folder}/{name}" for name in names}),
        recording=RecordingSettings(required=True),
        health=HealthSettings(max_still_s=1.5),
        clocks=ClockSettings(network_delay_ms=0, network_delay_uncertainty_ms=5),
        host=HostSettings(engine_core=engine_core),
        linac=LinacSettings(beam_on_delay_ms=0, beam_off_delay_ms=0, jitter_ms=0),
        sites=tuple(SiteSettings(name=name, target=str(folder / f"{name}.json")) for name in SITES if sites),
    )


def scene_stream(session: str, book: PictureBook) -> StreamInfo:
    """Return the stream that the source declares."""
    pixels = book.calm[0].pixels
    return StreamInfo(
        session_id=session,
        source="fault suite phantom",
        source_kind=SourceKind.PHANTOM,
        pacing=Pacing.REAL_TIME,
        planes=("sagittal",),
        dtype=wire_dtype_name(pixels),
        shape=pixels.shape,
        pixel_spacing_mm=book.settings.pixel_spacing_mm,
        image_orientation=book.orientation,
        image_position_mm=book.position_mm,
        nominal_interval_ns=round(1e9 / book.rate_per_s),
        acquired_clock="fault suite",
        acquired_meaning=StampMeaning.START,
        description=f"phantom, seed {book.settings.seed}, {book.rate_per_s:g} frames/s",
    )


def scene_target(book: PictureBook) -> TargetSpec:
    """Return the target of a scene, drawn in the calm patient's first picture."""
    pixels = book.calm[0].pixels
    spacing_mm = book.settings.pixel_spacing_mm
    image = TargetImage(pixels, spacing_mm, book.orientation, book.position_mm, content_hash(pixels))
    return TargetSpec("target", book.contour_px, image=image)


def write_files(folder: Path, config: Config, target: TargetSpec) -> None:
    """Write the target and the settings of each process, whose endpoints are those of the links between them."""
    write_targets(folder / TARGETS, [target])
    for site in config.sites:
        write_targets(Path(site.target), [dataclasses.replace(target, name=f"target {site.name}")])
    ends = config.endpoints
    at_beam = replace(ends, gate=f"ipc://{folder}/gate.b", beam=f"ipc://{folder}/beam.b")
    at_recorder = replace(ends, beam=at_beam.beam, recorder=f"ipc://{folder}/recorder.r")
    for role, endpoints in (("engine", ends), ("beam", at_beam), ("recorder", at_recorder)):
        (folder / f"{role}.toml").write_text(to_toml(replace(config, endpoints=endpoints)))
