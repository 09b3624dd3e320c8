"""Gate plain numpy arrays: frames, their times and the pixel spacing; the target is a box, a contour or a mask."""

import numpy as np

import cinegate

rng = np.random.default_rng(0)
times_s = np.arange(80) / 8
rows, columns = np.mgrid[:96, :80]
tissue = 300 + 60 * np.sin(rows / 5) * np.cos(columns / 7)
frames = []
for time_s in times_s:  # a bright disc that breathes: 8 px up and down, every 4 s
    disc = np.hypot(rows - 48 - 8 * np.sin(2 * np.pi * time_s / 4), columns - 40) < 9
    frames.append(tissue + 400 * disc + rng.normal(0, 8, tissue.shape))

first_mask = np.hypot(rows - 48, columns - 40) < 9
decided = list(cinegate.gate(frames, first_mask, times_s=times_s, spacing_mm=2.0, plane="sagittal"))

for frame in decided[::8]:
    print(f"{frame.time_s:4.1f} s  {frame.state:4}  {frame.reason:14}  out {100 * (frame.out_fraction or 0):3.0f} %")
print(f"beam on in {sum(frame.state == 'on' for frame in decided)} of {len(decided)} frames")
