"""Ways to carry the contour, side by side on the same matches: none, optical flows, affine ECC, and the direct fit.

Templates and search are the same. Each flow is followed by a robust affine fit, weighted by texture; with DIS at its
medium preset that is in essence the tracker of version 0.1. `python -m bench.compare_contours`
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any, Final, Protocol
from unittest.mock import patch

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.truth.scene import make_subject
from bench.truth.score import Scores, joined, score
from gating.evaluation.run import run_case
from gating.geometry.contours import mask_from_contour
from gating.tracking import template_tracker
from gating.tracking.carrying import beyond_image_px
from gating.tracking.contour import ContourFit, Propagation
from gating.tracking.local_contrast import Picture
from gating.tracking.sampling import score_at, work_for
from gating.tracking.template import masked_around
from gating.tracking.tracker import TrackerSettings

Grey = NDArray[np.uint8]
Image = NDArray[np.float32]
SCENES: Final = (
    "holds_organ/KS81",
    "organ/QN76",
    "free/II29",
    "rotation/ETH3L",
    "through_plane/KS81",
    "low_field/II29",
)
CONTEXT_MM, REGION_PX, OUTLIER_MM = 10.0, 96, 5.0
GREY_MEAN, GREY_STD = 90.0, 36.0
ROUNDS, STRAIN_RIDGE, TEXTURE_NOISE = 2, 0.02, 1e-4


class Flow(Protocol):
    """A dense optical flow, as OpenCV's."""

    def calc(self, one: Grey, other: Grey, flow: None) -> NDArray[np.float32]:
        """Return the motion (x, y) from one image to the other, (rows, columns, 2) px."""


class NoFlow:
    """No flow: the match alone."""

    def calc(self, one: Grey, other: Grey, flow: None) -> NDArray[np.float32]:
        """Return no motion beyond the match."""
        return np.zeros((*one.shape, 2), np.float32)


class Farneback:
    """Polynomial expansion. Source: G. Farneback, SCIA 2003, doi 10.1007/3-540-45103-X_50."""

    def calc(self, one: Grey, other: Grey, flow: None) -> NDArray[np.float32]:
        """Return a dense flow."""
        still: Any = None
        return np.asarray(cv2.calcOpticalFlowFarneback(one, other, still, 0.5, 3, 15, 5, 5, 1.1, 0), np.float32)


class AffineEcc:
    """Affine alignment. Source: G. Evangelidis, E. Psarakis, TPAMI 2008, doi 10.1109/TPAMI.2008.113."""

    def calc(self, one: Grey, other: Grey, flow: None) -> NDArray[np.float32]:
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


def dis(preset: str) -> Flow:
    """Return dense inverse search. Source: T. Kroeger et al., ECCV 2016, doi 10.1007/978-3-319-46493-0_29."""
    opencv: Any = cv2
    flow: Flow = opencv.DISOpticalFlow_create(getattr(opencv, f"DISOPTICAL_FLOW_PRESET_{preset}"))
    return flow


class FlowFit:
    """Carries a contour by a flow and a robust affine fit to it; takes the place of `ContourFit`."""

    def __init__(
        self, flow: Flow, picture: Picture, contour_px: Image, content_px: tuple[float, float], margin_px: float,
        spacing_mm: float,
    ) -> None:  # fmt: skip
        shape = picture.smooth.shape
        self._flow, self._spacing_mm, self._contour, self._content = flow, spacing_mm, contour_px, content_px
        around = masked_around(contour_px, margin_px, shape)
        ys, xs = np.nonzero(around)
        self._places = np.ascontiguousarray(np.stack([xs, ys]), np.float32)
        self._values = np.ascontiguousarray(picture.smooth[ys, xs])
        context = CONTEXT_MM / spacing_mm
        self._corner = np.array([xs.min() - context, ys.min() - context])
        sides = np.array([np.ptp(xs), np.ptp(ys)]) + 2.0 * context + 1.0
        self._scale = min(1.0, REGION_PX / float(sides.max()))
        columns, rows = (sides * self._scale).round().astype(int).tolist()
        self._size = columns, rows
        self._mask = self._region(around.astype(np.float32), 0.0, 0.0) >= 0.5
        self._grey = self._to_grey(picture.smooth, 0.0, 0.0)
        texture = cv2.cornerMinEigenVal(self._grey, 5)
        self._at = np.argwhere(self._mask)[::4]
        self._weights = (texture / (texture + TEXTURE_NOISE) + 1e-4)[self._mask][::4]
        self._middle = np.argwhere(mask_from_contour(contour_px, shape)).mean(axis=0)[::-1]
        self._basis = self._functions(self._at[:, ::-1] / self._scale + self._corner)

    def keep(self, moved: Propagation) -> None:
        """Forget the motion: a flow begins anew."""

    def propagate(self, picture: Picture, shift_x: float, shift_y: float, likeness: float) -> Propagation:
        """Carry the contour to a frame in which the template was found, shifted by (shift_x, shift_y) px."""
        flow = self._flow.calc(self._grey, self._to_grey(picture.smooth, shift_x, shift_y), None)
        affine = self._fit(flow[self._at[:, 0], self._at[:, 1]].astype(np.float64) / self._scale)
        affine[0] += shift_x, shift_y
        contour = (self._contour + self._functions(self._contour) @ affine).astype(np.float32)
        work = work_for(self._values.size)
        work[:2] = (self._functions(self._places.T) @ affine).T
        one = score_at(picture.smooth, self._places, work, self._values)[0]
        x, y = affine[0].tolist()
        return Propagation(
            contour_px=contour, content_px=(self._content[0] + x, self._content[1] + y), score=one,
            raw_score=one, score_shifted=one,
            shift_mm=float(np.hypot(x - shift_x, y - shift_y)) * self._spacing_mm,
            strain=float(np.abs(affine[1:]).max()), bending_mm=0.0, precision_mm=0.3,
            beyond_image_px=beyond_image_px(contour, picture.smooth.shape), cost=0.0, coefficients=affine,
        )  # fmt: skip

    def _fit(self, flow: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the affine motion, px, by least squares with Cauchy weights (P. Holland, R. Welsch, 1977)."""
        weights, affine = self._weights.astype(np.float64), np.zeros((3, 2))
        for _ in range(ROUNDS + 1):
            weighted = self._basis * weights[:, None]
            length = float(np.abs(self._basis[:, 1:]).max())
            ridge = np.diag([0.0, 1.0, 1.0]) * STRAIN_RIDGE * length**2 * weights.sum()
            affine = np.linalg.solve(weighted.T @ self._basis + ridge, weighted.T @ flow)
            squares = ((flow - self._basis @ affine) ** 2).sum(axis=1)
            weights = self._weights / (1.0 + squares / (OUTLIER_MM / self._spacing_mm) ** 2)
        return np.asarray(affine, np.float64)

    def _functions(self, places: NDArray[Any]) -> NDArray[np.float64]:
        return np.column_stack([np.ones(len(places)), places - self._middle])

    def _region(self, pixels: Image, shift_x: float, shift_y: float) -> Image:
        step = 1.0 / self._scale
        to_frame = np.array([[step, 0.0, self._corner[0] + shift_x], [0.0, step, self._corner[1] + shift_y]])
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(pixels, to_frame, self._size, flags=how, borderMode=cv2.BORDER_REPLICATE))

    def _to_grey(self, pixels: Image, shift_x: float, shift_y: float) -> Grey:
        region = self._region(pixels, shift_x, shift_y)
        inside = region[self._mask]
        grey = GREY_MEAN + GREY_STD * (region - inside.mean()) / max(float(inside.std()), 1e-6)
        return np.asarray(np.clip(np.rint(grey), 0, 255), np.uint8)


def judged(make_fit: Callable[..., Any], subjects: list[Any]) -> tuple[Scores, float]:
    """Return the scores of all frames of all scenes, and the median time of one propagation in ms."""
    seconds: list[float] = []

    def timed(*orders: Any) -> Any:
        fit = make_fit(*orders)
        propagate = fit.propagate

        def propagated(*where: Any) -> Propagation:
            before = time.perf_counter()
            found: Propagation = propagate(*where)
            seconds.append(time.perf_counter() - before)
            return found

        fit.propagate = propagated
        return fit

    with patch.object(template_tracker, "ContourFit", timed):
        scores = [score(run_case(one.case, "template", TrackerSettings()), one) for one in subjects]
    return joined(scores), 1e3 * float(np.median(seconds))


def main() -> None:
    """Print a table of DSC, HD95, both centre errors and the time of the propagation alone."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare_contours", description=__doc__)
    parser.add_argument("--scene", action="append", default=[], help="scenario/person of bench.truth", metavar="S/P")
    scenes = parser.parse_args().scene or SCENES
    cv2.setNumThreads(1)
    flows = {
        "match alone": NoFlow(), "Farneback": Farneback(), "affine ECC": AffineEcc(), "DIS fast": dis("FAST"),
        "DIS medium": dis("MEDIUM"),
    }  # fmt: skip
    ways: dict[str, Callable[..., Any]] = {
        name: lambda *orders, flow=flow: FlowFit(flow, *orders) for name, flow in flows.items()
    }
    subjects = [make_subject(scenario, person, 6) for scenario, _, person in (name.partition("/") for name in scenes)]
    print("| contour by | DSC | HD95 mm | outline mm | p95 mm | content mm | p95 mm | p50 ms |")
    print("|---|---|---|---|---|---|---|---|")
    for name, way in {**ways, "direct fit": ContourFit}.items():
        scores, p50_ms = judged(way, subjects)
        centres = [
            f(one) for one in (scores.outline_mm, scores.content_mm) for f in (np.mean, lambda v: np.percentile(v, 95))
        ]
        cells = [
            f"{np.nanmean(scores.dice):.3f}",
            f"{np.nanmean(scores.hd95_mm):.1f}",
            *(f"{one:.2f}" for one in centres),
        ]
        print(f"| {name} | {' | '.join(cells)} | {p50_ms:.2f} |", flush=True)


if __name__ == "__main__":
    main()
