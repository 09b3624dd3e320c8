"""`cinegate.run`: what `cinegate run` and `cinegate live` do, from Python."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cinegate.live import LiveSession, SessionPlan
from cinegate.outputs import output_folder
from cinegate.replays import replay_arguments
from cinegate.settings import Settings, load_config
from cinegate.targets import Target, make_targets, scan_targets
from drivers.errors import BadRecording, Unavailable
from drivers.recordings import Recording
from drivers.registry import source_names


def run(
    source: Recording | str | os.PathLike[str],
    target: Target | None = None,
    *,
    config: Settings | None = None,
    tracker: str | None = None,
    speed: float | str = 1,
    log: str | os.PathLike[str] | None = None,
    spacing_mm: float | None = None,
    plane: str = "",
    others: Sequence[str | os.PathLike[str]] = (),
    frames_per_s: float | None = None,
    skip_frames: int | None = None,
    position_is: str = "",
    options: Mapping[str, Any] | None = None,
    switch: str = "simulated",
    switch_options: Mapping[str, Any] | None = None,
    arm_by_itself: bool | None = None,
) -> LiveSession:
    """Prepare a session of real processes, as `cinegate run` does; `with` starts it.

    Parameters
    ----------
    source
        A recording to replay, or its path (arrays go through `save_recording`); or a source by name, see
        `cinegate drivers`.
    target
        As for `gate`. A recording may hold its own; a live source needs a target file, whose targets have images.
    config, tracker
        As for `gate`; a tracker by name, which the engine's process can find.
    speed
        Of a replay: a factor (1 is real time), "stepped" or "unpaced".
    log
        Folder for session logs. None: `sessions` in `$CINEGATE_OUTPUT`, or else in `~/cinegate`.
    spacing_mm, plane, others
        Of a recording: pixel spacing, mm, where it holds none; sagittal, coronal, transversal or all; further
        recordings of the same scan, merged by their stamps.
    frames_per_s, skip_frames, position_is
        As `open_recording` takes them; the source's process opens the recording anew.
    options, switch_options
        Settings of a source by name, and of the beam switch, as `-o` sets them.
    switch
        Beam switch by name.
    arm_by_itself
        Arm without an operator. A recording does unless it is False; a source by name does not unless it is True, which
        is for phantoms only.

    Raises
    ------
    CinegateError
        If source, target or settings cannot be used.

    Examples
    --------
    >>> with cinegate.run("case.npz", target=(60, 64, 40, 34)) as session:
    ...     for message in session:
    ...         if isinstance(message, cinegate.GateCommand) and not message.renewal:
    ...             print(message.frame_sequence, message.state, message.reason)
    >>> cinegate.report(session.log)
    """
    settings = load_config(config, tracker)
    folder = output_folder("sessions") if log is None else Path(log)
    beam = ["--switch", switch, *_options(switch_options)]
    simulated = switch == "simulated"
    name = os.fspath(source.path if isinstance(source, Recording) else source)
    if name in source_names() and name != "replay":
        plan = SessionPlan(
            name=name,
            config=settings,
            targets=[] if settings.sites else make_targets(target, None),
            log_folder=folder,
            source=[name, "--subscribers", "2", *_options(options)],
            beam=beam,
            simulated_beam=simulated,
            arm_by_itself=arm_by_itself is True,
        )
        return LiveSession(plan)
    if isinstance(source, Recording) and not source.path.exists():
        raise BadRecording(f"{name}: the recording is in no file, where a process could read it; see save_recording")
    if options:
        raise Unavailable(f"{name} is a recording; options are for sources by name: {', '.join(source_names()[1:])}")
    from drivers.recordings.scan import open_scan

    plane = source.plane if isinstance(source, Recording) else plane
    given: dict[str, Any] = {"plane": plane, "others": others, "frames_per_s": frames_per_s, "skip_frames": skip_frames}
    given["position_is"] = position_is
    scan = open_scan(name, spacing_mm, **given)
    plan = SessionPlan(
        name=scan.name,
        config=settings,
        targets=scan_targets(target, scan),
        log_folder=folder,
        source=replay_arguments(name, speed=speed, spacing_mm=spacing_mm, **given),
        beam=beam,
        simulated_beam=simulated,
        arm_by_itself=arm_by_itself is not False,
    )
    return LiveSession(plan)


def _options(settings: Mapping[str, Any] | None) -> list[str]:
    plain = {n: v if isinstance(v, str) else msgspec.json.encode(v).decode() for n, v in (settings or {}).items()}
    return [word for name, text in plain.items() for word in ("-o", f"{name}={text}")]
