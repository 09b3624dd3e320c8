"""
From the anatomy to the beam
============================

The software takes about a millisecond. What does the whole chain take, from the anatomy to the end of the beam?
"""

import matplotlib.pyplot as plt
import numpy as np

from gating.latency.published_chain import published_chain, sum_chain

RATE_HZ = 8.0
DRAWS = 20_000

links = [link for link in published_chain() if link.beam in ("off", "both")]
rng = np.random.default_rng(0)
samples = {link.name: link.draw(1e3 / RATE_HZ, rng, DRAWS) for link in links}
total = np.sum(list(samples.values()), axis=0)

# %%
# Each link of the chain with its published or measured figure, at 8 frames/s. The model draws from each and adds them
# up. Most of it is the image: how long it takes to acquire, and how old it is when the next one comes.

figure, (above, below) = plt.subplots(2, 1, figsize=(8, 5), height_ratios=(2, 3), layout="constrained")
above.hist(total, bins=120, color="#2166ac")
above.axvline(np.median(total), color="black", linewidth=1)
above.set(xlabel="beam-off latency, ms", yticks=[], title=f"median {np.median(total):.0f} ms")
below.boxplot(list(samples.values()), orientation="horizontal", whis=(1, 99), showfliers=False)
below.set_yticks(range(1, len(samples) + 1), list(samples))
below.set(xlabel="ms; boxes hold half of the draws, whiskers 98 %")

# %%
# The software's share of the mean, and the odds to stay within the 500 ms of AAPM TG-76:

summary = sum_chain(RATE_HZ, "off", draws=DRAWS)
print(f"software {summary.software_share:.1%}, within 500 ms {summary.within_tg76:.1%}")
