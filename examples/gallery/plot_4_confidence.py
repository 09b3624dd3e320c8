"""
Confidence and error
====================

The beam depends on the tracker's confidence: the probability that the centre is within 2 mm of the truth. The bundled
sessions are phantoms, so the truth is known, and the promise can be checked.
"""

import matplotlib.pyplot as plt
import numpy as np

import cinegate
from replay_data import session_path

SESSIONS = ("free_breathing", "drift_cough", "breath_hold", "target_lost")
TRACKERS = ("template", "opencv")

found = {}
for tracker in TRACKERS:
    confidence, error_mm = [], []
    for name in SESSIONS:
        result = cinegate.track(session_path(name), tracker=tracker)
        away_px = np.stack([result.table["x_px"], result.table["y_px"]], axis=1) - result.recording.target_track_px
        visible = np.load(session_path(name))["target_visible"]
        error_mm.append(np.linalg.norm(away_px * result.recording.pixel_spacing_mm[::-1], axis=1)[visible])
        confidence.append(result.table["confidence"][visible])
    found[tracker] = np.concatenate(confidence), np.concatenate(error_mm)

# %%
# Right of the dashed line (0.8) the beam may be on; above 2 mm the result is wrong. The upper right is the dangerous
# corner. The plain correlation of OpenCV calls its score a confidence; ours is fitted to known errors.

figure, panels = plt.subplots(1, 2, figsize=(8, 3.6), sharey=True, layout="constrained")
for axes, tracker in zip(panels, TRACKERS, strict=True):
    confidence, error_mm = found[tracker]
    wrong = (confidence >= 0.8) & (error_mm > 2)
    axes.scatter(confidence, error_mm, s=6, color=np.where(wrong, "#b2182b", "#777777"))
    axes.axvline(0.8, color="black", linewidth=0.8, linestyle="--")
    axes.axhline(2, color="black", linewidth=0.8, linestyle="--")
    axes.set(title=f"{tracker}: {wrong.sum()} confident and wrong", xlabel="confidence", yscale="log", ylim=(0.01, 60))
panels[0].set_ylabel("centre error, mm")
