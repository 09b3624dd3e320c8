"""
What if the margin were smaller?
================================

A smaller window leaves less motion in the beam, and the treatment takes longer. Each point is one setting, decided by
the real engine on the same tracked motion. No setting beats those on the front in both.
"""

import matplotlib.pyplot as plt

import cinegate
from cinegate.verbs.following import followed_session
from gating.analysis.whatif import pareto, settings_grid, sweep
from replay_data import session_path

config = cinegate.load_config()
tracked = followed_session(session_path("free_breathing"), config)
grid = settings_grid([2, 3, 4, 5, 7], [2, 5, 10], [0], ["off"], [250])
outcomes = [one for one in pareto(list(sweep(tracked, config, grid, "free breathing"))) if one.duty_cycle > 0]

# %%
# The beam follows each decision 250 ms after the acquisition, as on a real machine.

figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for one in outcomes:
    axes.scatter(100 * one.duty_cycle, one.residual_p95_mm, color="#d6604d" if one.pareto else "#bbbbbb")
    label = f"{one.setting.margin_mm:g} mm, {one.setting.out_percent:g} %"
    if one.pareto:
        axes.annotate(label, (100 * one.duty_cycle, one.residual_p95_mm), (4, -10), textcoords="offset points", size=7)
front = sorted((one for one in outcomes if one.pareto), key=lambda one: one.duty_cycle)
axes.step(
    [100 * one.duty_cycle for one in front], [one.residual_p95_mm for one in front], color="#d6604d", where="post"
)
axes.set(xlabel="duty cycle, %", ylabel="residual motion, 95th percentile, mm")
