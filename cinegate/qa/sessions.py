"""A session of the real processes on a phantom whose motion is known, and what became of it beside the truth."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from msgspec import structs

from cinegate.live import START_S, LiveSession
from cinegate.runs import run
from drivers.beam.simulated import read_delivery_record
from drivers.phantom import Phantom, PhantomSettings
from drivers.phantom.settings import Breathing
from drivers.recordings.traces import read_trace
from gating.decision.limits import stale_limit_ns
from gating.decision.reasons import GateReason
from gating.errors import CinegateError
from gating.messages import BeamStatus, GateState
from gating.qa.figures import ChainRecord, NotMeasuredError
from gating.qa.motion import Motion, make_motion
from gating.qa.procedure import PhantomSession
from gating.service.pipeline import PipelineError
from gating.service.running import find_session
from gating.session.chain_check import check_chain
from gating.session.completeness import check_completeness
from gating.session.summary_data import SessionData, read_data
from gating.settings.config import Config, EndpointSettings, GatingSettings
from gating.settings.rules import CentreRule, PredictionSettings
from gating.targets.image import TargetImage
from gating.targets.spec import TargetSpec
from gating.wire.pixels import content_hash

TARGET: Final = "target"
ACROSS_MM: Final = 10.0
"""Window across the motion, which the phantom never leaves."""
STEADY_S: Final = 0.5
"""For so long the beam must have been on before a process is disturbed."""
PAUSE_S: Final = 0.6
"""For so long the source stands still, and the recorder goes on after the engine's end."""
_STILL: Final = Breathing(inhale_si_mm=0, inhale_ap_mm=0, inhale_lr_mm=0)
_INSIDE: Final = {GateReason.IN_WINDOW: 1.0, GateReason.SETTLING: 1.0, GateReason.OFF_CENTRE: 0.0}


@dataclass(slots=True)
class Disturbances:
    """When a process was disturbed, ns on this host's monotonic clock; None: it was not."""

    source_stopped_ns: int | None = None
    engine_killed_ns: int | None = None


def run_session(session: PhantomSession, config: Config, folder: Path, *, replay: bool) -> ChainRecord:
    """Run a session to its end and return what became of it. Its log stays in the folder.

    Parameters
    ----------
    session
        The phantom, its motion and the gating window.
    config
        The site's settings.
    folder
        Where the log goes; there is one.
    replay
        Whether to repeat every decision of the log.

    Raises
    ------
    NotMeasuredError
        If a process of the session failed, or nothing was recorded; one sentence.
    OSError
        If the folder cannot be written.
    """
    motion = make_motion(session.motion)
    zero = np.zeros(len(motion.t_s))
    trace = folder / "motion.txt"
    np.savetxt(trace, np.column_stack([motion.t_s, zero, motion.si_mm, zero]), fmt="%.6f")
    settings: dict[str, Any] = {
        "rows": session.size_px,
        "columns": session.size_px,
        "pixel_spacing_mm": (session.pixel_mm, session.pixel_mm),
        "frames_per_s": session.rate_hz,
        "duration_s": motion.duration_s,
        "breathing": _STILL,
    }
    phantom = Phantom(PhantomSettings(**settings), read_trace(trace).for_phantom())
    config, disturbed = _config(session, config), Disturbances()
    options = {**settings, "trace": str(trace)}
    try:
        live = run("phantom", _target(phantom), config=config, options=options, log=folder, arm_by_itself=True)
        with live:
            try:
                _watch(live, disturbed if session.interrupt else None, time.monotonic() + START_S + motion.duration_s)
            except PipelineError:
                if disturbed.engine_killed_ns is None:
                    raise
                time.sleep(PAUSE_S)  # the engine's end is what we caused
        return _record(session, phantom, motion, config, live.log, disturbed, replay=replay)
    except CinegateError as error:
        raise NotMeasuredError(f"session {session.name}: {error}") from None


def _config(session: PhantomSession, config: Config) -> Config:
    """Return the site's settings with the session's gating window, on endpoints of its own."""
    window = CentreRule(si_mm=session.level_mm, ap_mm=ACROSS_MM, lr_mm=ACROSS_MM)
    gating = GatingSettings(rules=(window,), resume_good_frames=config.gating.resume_good_frames)
    replaced = {"gating": gating, "prediction": PredictionSettings(), "endpoints": EndpointSettings(), "sites": ()}
    kept = {key: why for key, why in config.overrides.items() if key.partition(".")[0] not in replaced}
    return structs.replace(config, **replaced, overrides=kept)


def _target(phantom: Phantom) -> TargetSpec:
    pixels = np.empty(phantom.shape, phantom.settings.dtype)
    phantom.render_into(0, pixels)
    image = TargetImage(pixels, phantom.spacing_mm, phantom.orientation, phantom.position_mm, content_hash(pixels))
    return TargetSpec(TARGET, phantom.truth(0).contour_px.astype(np.float32), image=image)


def _watch(live: LiveSession, disturbed: Disturbances | None, deadline_s: float) -> None:
    """Let a session run to its end; if it is to be disturbed, stop its source and then kill its engine, beam on."""
    on_since_s: float | None = None
    for message in live:
        now_s = time.monotonic()
        if now_s > deadline_s:
            raise NotMeasuredError("it did not end in time")
        if disturbed is None or not isinstance(message, BeamStatus):
            continue
        if message.confirmed is not GateState.ON or message.commanded is not GateState.ON:
            on_since_s = None
            continue
        on_since_s = now_s if on_since_s is None else on_since_s
        if now_s - on_since_s >= STEADY_S:
            _disturb(live, disturbed)
            on_since_s = None


def _disturb(live: LiveSession, disturbed: Disturbances) -> None:
    running = find_session(live.session_id)
    assert running is not None, "a session that runs is announced"
    if disturbed.source_stopped_ns is None:
        disturbed.source_stopped_ns = time.monotonic_ns()
        _pause(running.processes["source"])
    elif disturbed.engine_killed_ns is None:
        disturbed.engine_killed_ns = time.monotonic_ns()
        os.kill(running.processes["engine"], signal.SIGKILL)


def _pause(process_id: int) -> None:
    os.kill(process_id, signal.SIGSTOP)
    try:
        time.sleep(PAUSE_S)
    finally:
        os.kill(process_id, signal.SIGCONT)


def _record(
    session: PhantomSession,
    phantom: Phantom,
    motion: Motion,
    config: Config,
    log: Path,
    disturbed: Disturbances,
    *,
    replay: bool,
) -> ChainRecord:
    data = read_data(log)
    estimates = {one.frame_sequence: one for found in data.estimates.values() for one in found}
    if len(data.frames) < 3 or not estimates:
        raise NotMeasuredError(f"{len(data.frames)} frames were recorded, {len(estimates)} tracked")
    numbers = sorted(data.frames)
    acquired_ns = [data.frames[number].acquired_on_publish_clock_ns for number in numbers]
    begin_ns = acquired_ns[0] - phantom.stamp_ns(numbers[0])
    began_px, spacing_mm = np.array(phantom.truth(0).centre_px), np.array(phantom.spacing_mm[::-1])
    truth_px = np.array([phantom.truth(number).centre_px for number in numbers])
    seen = [estimates.get(number) for number in numbers]
    seen_px = np.array([(e.x_px, e.y_px) if e and e.status == "tracked" else (np.nan, np.nan) for e in seen])
    sent_ns = [data.outcomes[n].at_ns if n in data.outcomes else np.nan for n in numbers]
    delivered = read_delivery_record(log.with_suffix(".delivery.csv"))
    uncertain_ns = max(frame.age_uncertainty_ns for frame in data.frames.values())
    record = ChainRecord(
        t_s=(np.array(acquired_ns, np.float64) - begin_ns) / 1e9,
        truth_mm=(truth_px - began_px) * spacing_mm,
        seen_mm=(seen_px - began_px) * spacing_mm,
        known_s=(np.array(sent_ns, np.float64) - begin_ns) / 1e9,
        inside=np.array([np.nan if e is None else _INSIDE.get(GateReason(e.reason), np.nan) for e in seen]),
        beam=tuple(((change.t_ns - begin_ns) / 1e9, change.beam_on) for change in delivered),
        windows=motion.windows,
        level_mm=session.level_mm,
        interval_s=1 / session.rate_hz,
        frames_expected=phantom.settings.frame_count or 0,
        resume_frames=config.gating.resume_good_frames,
        stages_ms=data.stages_ms,
        stamp_uncertainty_ms=uncertain_ns / 1e6,
        log_findings=_log_findings(log, whole=not session.interrupt),
        replay_differences=_replay_differences(log) if replay else None,
    )
    return _with_excesses(record, data, config, disturbed)


def _log_findings(log: Path, *, whole: bool) -> tuple[str, ...]:
    """Return what is wrong with a log; the end of a killed engine is missing from it, and not its fault."""
    chain, record = check_chain(log), check_completeness(log)
    return tuple(filter(None, (chain.broken, chain.no_end, record.gap, record.no_end if whole else "")))


def _replay_differences(log: Path) -> int:
    from gating.analysis.verification import verify_session

    return verify_session(log).differences


def _with_excesses(record: ChainRecord, data: SessionData, config: Config, disturbed: Disturbances) -> ChainRecord:
    """Return the record with how much longer than lease and stale limit the line stayed on; negative if it did not."""
    stopped_ns, killed_ns = disturbed.source_stopped_ns, disturbed.engine_killed_ns
    if stopped_ns is not None and (off_ns := _line_off_ns(data, stopped_ns)) is not None and data.stream is not None:
        stream = data.stream
        limit_ns = stale_limit_ns(stream.nominal_interval_ns, len(stream.planes), stream.speed, config.safety)
        newest_ns = max(f.acquired_on_publish_clock_ns for f in data.frames.values() if f.published_ns <= stopped_ns)
        record = replace(record, stale_excess_ms=(off_ns - newest_ns - limit_ns) / 1e6)
    if killed_ns is not None and (off_ns := _line_off_ns(data, killed_ns)) is not None:
        record = replace(record, lease_excess_ms=(off_ns - killed_ns) / 1e6 - config.safety.lease_ms)
    return record


def _line_off_ns(data: SessionData, since_ns: int) -> int | None:
    """Return when the line was driven to hold after a time; None if it was held already or never again."""
    for _, status in data.statuses:
        if status.commanded is GateState.HOLD and status.sent_ns >= since_ns:
            return status.applied_ns if status.applied_ns >= since_ns else None
    return None
