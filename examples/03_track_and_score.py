"""Track a recording into a table, compare it with the truth, and score the tracker with the TrackRAD2025 metrics."""

import numpy as np

import cinegate
from replay_data import session_path

path = session_path("drift_cough")
result = cinegate.track(path)
on = result.table["gate"] == "on"
print(f"columns: {', '.join(result.table.dtype.names)}")
print(f"SI motion: {np.ptp(result.table['si_mm']):.1f} mm in all, {np.ptp(result.table['si_mm'][on]):.1f} mm with beam")

truth_px = result.recording.target_track_px
found_px = np.stack([result.table["x_px"], result.table["y_px"]], axis=1)
error_mm = np.linalg.norm((found_px - truth_px) * result.recording.pixel_spacing_mm[::-1], axis=1)
print(f"centre error: median {np.median(error_mm):.2f} mm, largest {error_mm.max():.2f} mm")

outlines = np.load(path)["target_contour_px"]  # labels may be masks as well: (frames, rows, columns)
scores = cinegate.evaluate(path, labels=outlines).aggregates
for name in ("dice_similarity_coefficient", "hausdorff_distance_95", "center_distance", "relative_d98_dose"):
    print(f"{name}: {scores[name]:.3f}")
