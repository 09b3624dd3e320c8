"""
Motion and gate of a recording
==============================

Gate a recorded session as the live engine would, and draw when the beam was permitted.
"""

import matplotlib.pyplot as plt
import numpy as np

import cinegate
from replay_data import session_path

frames = list(cinegate.gate(session_path("drift_cough")))
tracked = [frame for frame in frames if frame.centre_mm is not None]
time_s = np.array([frame.time_s for frame in tracked]) - frames[0].time_s
si_mm = np.array([frame.centre_mm[2] for frame in tracked])
on = np.array([frame.state == "on" for frame in tracked])

# %%
# The target sinks by 14 mm a minute, and there is a cough at 15 s. Green: the beam is permitted. The cough is held at
# once, and the target spends less and less time inside its boundary, which stays where it was drawn.

figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
axes.plot(time_s, si_mm - si_mm[0], color="black", linewidth=1)
low, high = axes.get_ylim()
axes.fill_between(time_s, low, high, where=on, step="post", color="#4daf4a", alpha=0.35, linewidth=0, label="beam on")
axes.set(xlabel="time, s", ylabel="superior, mm", ylim=(low, high), xlim=(0, time_s[-1]))
axes.legend(loc="lower left")

# %%
# Why was it held? Each frame has its reason.

reasons, counts = np.unique([str(frame.reason) for frame in frames if frame.state == "hold"], return_counts=True)
for reason, count in sorted(zip(reasons, counts, strict=True), key=lambda row: -row[1]):
    print(f"{count:4d} frames  {reason}")
