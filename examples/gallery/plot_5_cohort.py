"""
A cohort
========

Would more patients gain from a narrower window, or only some? Twenty made-up patients breathe with depths and periods
as published for the liver (12 mm along the body in the median, 5 to 17, doi:10.1002/acm2.12292). The engine decides for
each of them under two margins.
"""

import matplotlib.pyplot as plt
import numpy as np

import cinegate
from gating.analysis.replay_tracking import track_motion
from gating.analysis.whatif import settings_grid, sweep

rng = np.random.default_rng(7)
config = cinegate.load_config()
wide, narrow = settings_grid([3, 7], [5], [0], ["off"], [250])[::-1]


def patient(depth_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Return times, s, and displacements, LPS mm: a minute of cos^4 breaths (doi:10.1118/1.598577) of uneven length."""
    t_s = np.arange(0, 60, 0.25)
    phase = np.cumsum(0.25 / rng.normal(4.0, 0.5, len(t_s)))
    down = depth_mm * (1 - np.cos(np.pi * phase) ** 4)
    return t_s, np.stack([0 * down, -0.3 * down, -down], axis=1)


depths_mm = np.sort(np.clip(rng.normal(12, 3.5, 20), 5, 17))
results = []
for number, depth_mm in enumerate(depths_mm):
    name = f"patient {number + 1}"
    results.append(list(sweep(track_motion(*patient(depth_mm), name=name), config, [wide, narrow], name)))

# %%
# Each arrow is a patient, from the wide margin to the narrow one. What a narrow window gains in residual motion, and
# what it costs in time, depends on how deeply the patient breathes.

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
colours = plt.get_cmap("viridis")((depths_mm - 5) / 12)
for (before, after), colour in zip(results, colours, strict=True):
    start, end = ((100 * one.duty_cycle, one.residual_p95_mm) for one in (before, after))
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": colour})
    axes.plot(*zip(start, end, strict=True), ".", color=colour)
scale = plt.cm.ScalarMappable(plt.Normalize(5, 17), "viridis")
figure.colorbar(scale, ax=axes, label="depth of breathing, mm")
axes.set(xlabel="duty cycle, %", ylabel="residual motion, 95th percentile, mm")
