"""Gate a recording: every frame's decision with its reason, as a live engine would take it."""

import cinegate
from replay_data import session_path

recording = cinegate.open_recording(session_path("free_breathing"))
print(f"{recording.name}: {len(recording)} {recording.plane} frames, target in the box {recording.target_box}")

for frame in cinegate.gate(recording, config="preset:exhale"):
    if frame.index % 20 == 0:
        lr, ap, si = frame.centre_mm or (float("nan"),) * 3
        print(f"{frame.time_s:6.2f} s  {frame.state:4}  {frame.reason:14}  SI {si:6.1f} mm  AP {ap:6.1f} mm")
