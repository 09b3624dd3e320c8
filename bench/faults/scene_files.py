"""The settings of a scene, and the files that its processes read."""

from __future__ import annotations

import json
from pathlib import Path

from msgspec.structs import replace

from gating.config import Config, EndpointSettings, LinacSettings, RecordingSettings, to_toml


def scene_config(folder: Path) -> Config:
    """Return the default settings, with recording required and a linac whose beam follows its line at once."""
    names = EndpointSettings.__struct_fields__
    return Config(
        endpoints=EndpointSettings(**{name: f"ipc://{folder}/{name}" for name in names}),
        recording=RecordingSettings(required=True),
        linac=LinacSettings(beam_on_delay_ms=0, beam_off_delay_ms=0, jitter_ms=0),
    )


def write_files(folder: Path, config: Config, contour_px: list[list[float]]) -> None:
    """Write the target, and each process's settings: gate, beam and recorder meet at the links between them."""
    plain = {"targets": [{"name": "target", "plane": "", "contour_px": contour_px}]}
    (folder / "targets.json").write_text(json.dumps(plain))
    ends = config.endpoints
    at_beam = replace(ends, gate=f"ipc://{folder}/gate.b", beam=f"ipc://{folder}/beam.b")
    at_recorder = replace(ends, beam=at_beam.beam, recorder=f"ipc://{folder}/recorder.r")
    for role, endpoints in (("engine", ends), ("beam", at_beam), ("recorder", at_recorder)):
        (folder / f"{role}.toml").write_text(to_toml(replace(config, endpoints=endpoints)))
