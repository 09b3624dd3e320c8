"""Read a session log: frames, estimates, commands and confirmed beam as arrays. Give one, or a short one is made."""

import sys
import tempfile
from pathlib import Path

import numpy as np

import cinegate
from replay_data import session_path

if len(sys.argv) > 1:
    path = Path(sys.argv[1])
else:
    with cinegate.run(session_path("breath_hold"), speed="stepped", log=tempfile.mkdtemp()) as session:
        session.wait()
    path = session.log

log = cinegate.read_session(path)
print(
    f"{len(log.frames)} frames, {len(log.estimates)} estimates, {len(log.commands)} commands, {len(log.beam)} statuses"
)
reasons, counts = np.unique(log.estimates["reason"], return_counts=True)
print("frames by reason:", dict(zip(reasons.tolist(), counts.tolist(), strict=True)))
target = log.estimates[log.estimates["status"] == "tracked"]
for gate in ("on", "hold"):
    print(f"SI with the gate at {gate}: {target['si_mm'][target['gate'] == gate].mean():.1f} mm on average")
print(f"gate on in {100 * (log.estimates['gate'] == 'on').mean():.0f} % of the frames; report: {cinegate.report(path)}")
