"""Optical flows for the contour, side by side on the same matches: none, Farneback, ECC, and DIS at five settings.

Only the flow differs; templates, search, fit and confidence are the same.
"""

from __future__ import annotations

import time
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.semi_synthetic import make_case
from gating.evaluation.run import predicted_masks, run_case, score_case
from gating.tracking import contour
from gating.tracking.tracker import TrackerSettings

Grey = NDArray[np.uint8]
CASES = (
    "KS81_1/liver/deforming",
    "II29_1/liver/deforming",
    "KS81_1/vessels/deforming",
    "KS81_1/kidney/free_band",
    "QN76_1/vessels/low_field",
    "II29_1/small/breath_hold_45mm",
)
SECONDS = 12.0
SHOWN = ("dice_similarity_coefficient", "hausdorff_distance_95", "centre_error_mean_mm", "centre_error_p95_mm")


class NoFlow:
    """No flow: the match alone."""

    def calc(self, one: Grey, other: Grey, _: None) -> NDArray[np.float32]:
        """Return no motion beyond the match."""
        return np.zeros((*one.shape, 2), np.float32)


class Farneback:
    """Polynomial expansion. Source: G. Farneback, SCIA 2003, doi 10.1007/3-540-45103-X_50."""

    def calc(self, one: Grey, other: Grey, _: None) -> NDArray[np.float32]:
        """Return a dense flow."""
        still: Any = None
        return np.asarray(cv2.calcOpticalFlowFarneback(one, other, still, 0.5, 3, 15, 5, 5, 1.1, 0), np.float32)


class AffineEcc:
    """Affine alignment. Source: G. Evangelidis, E. Psarakis, TPAMI 2008, doi 10.1109/TPAMI.2008.113."""

    def calc(self, one: Grey, other: Grey, _: None) -> NDArray[np.float32]:
        """Return the flow of the affine motion; none if it does not converge."""
        matrix = np.eye(2, 3, dtype=np.float32)
        stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 1e-4)
        try:
            found: Any = cv2.findTransformECC(one, other, matrix, cv2.MOTION_AFFINE, stop)[1]
        except cv2.error:
            found = matrix
        rows, columns = np.mgrid[: one.shape[0], : one.shape[1]].astype(np.float32)
        x, y = (line[0] * columns + line[1] * rows + line[2] for line in np.asarray(found, np.float32))
        return np.stack([x - columns, y - rows], axis=2).astype(np.float32)


class Timed:
    """A flow whose calls are timed."""

    seconds: list[float]

    def __init__(self, flow: Any) -> None:
        self._flow = flow
        self.seconds = []

    def calc(self, one: Grey, other: Grey, start: None) -> NDArray[np.float32]:
        """Return the flow, and note its time."""
        before = time.perf_counter()
        flow: NDArray[np.float32] = self._flow.calc(one, other, start)
        self.seconds.append(time.perf_counter() - before)
        return flow


def main() -> None:
    """Print a table of DSC, HD95, centre error and time of the flow alone."""
    cv2.setNumThreads(1)
    dis: Any = cv2
    ways = {
        "match alone": NoFlow(),
        "Farneback": Farneback(),
        "affine ECC": AffineEcc(),
        "DIS ultrafast": dis.DISOpticalFlow_create(dis.DISOPTICAL_FLOW_PRESET_ULTRAFAST),
        "DIS fast": dis.DISOpticalFlow_create(dis.DISOPTICAL_FLOW_PRESET_FAST),
        "DIS medium": dis.DISOpticalFlow_create(dis.DISOPTICAL_FLOW_PRESET_MEDIUM),
        "DIS medium, fewer rounds (quick alone)": contour.make_flow(contour.QUICK),
        "DIS medium, fewer rounds (thorough alone)": contour.make_flow(contour.THOROUGH),
    }
    cases = [make_case(*name.split("/"), seed=6, seconds=SECONDS) for name in CASES]
    print("| flow | DSC | HD95 mm | centre mm | p95 mm | flow p50 ms |\n|---|---|---|---|---|---|")
    for name, way in ways.items():
        timed = Timed(way)
        figures = []
        with patch.object(contour, "make_flow", lambda _, timed=timed: timed):
            for case in cases:
                run = run_case(case, "template", TrackerSettings())
                row, _ = score_case(run, predicted_masks(run))
                figures.append([float(row[name]) for name in SHOWN])
        mean = np.mean(figures, axis=0)
        flow_ms = 1e3 * np.median(timed.seconds)
        print(f"| {name} | {mean[0]:.3f} | {mean[1]:.2f} | {mean[2]:.2f} | {mean[3]:.2f} | {flow_ms:.2f} |", flush=True)


if __name__ == "__main__":
    main()
