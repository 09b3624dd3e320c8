"""One recording with exact truth: a person's still, moved and disturbed as a scenario says, by a seed."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.truth.appearance import COARSE_PX, blurred, faint, interior, rician, saturation_band, smooth_map
from bench.truth.breathing import Motion, move
from bench.truth.deformation import Deformation, Pose
from bench.truth.people import PEOPLE, Image, Points, outline_mm, stills_of
from bench.truth.scenarios import SCENARIOS, Scenario
from bench.truth.subject import Subject
from gating.evaluation.case import Case
from gating.geometry.contours import contour_centroid, mask_from_contour

PAD_PX: Final = 64
"""Anatomy kept around the frame, so that what moves into it is known."""
AROUND_PX: Final = 20
EDGE_PX: Final = 4.0
SCALE: Final = 400.0
"""Grey values for the 99th percentile of a still."""


class Scene:
    """What is drawn once: stills on the frame's grid, the target's outline, and the fields that move and disturb."""

    def __init__(self, scenario: Scenario, person: str, rng: np.random.Generator) -> None:
        self.scenario, self._rng = scenario, rng
        outline = outline_mm(person, scenario.target, rng)
        low, high = outline.min(axis=0), outline.max(axis=0)
        scale = np.ones(2)
        if scenario.organ_mm is not None:
            scale = np.array(scenario.organ_mm) * rng.uniform(0.85, 1.0, 2) / (high - low)
        middle = np.array(scenario.shape[::-1]) / 2.0 + rng.uniform(-6, 6, 2) - (0.0, scenario.depth_mm / 2.0)
        origin = middle - scale * (low + high) / 2.0
        self.outline_px: Points = outline * scale + origin
        stills = stills_of(person)
        self.still = _placed(stills.first, scale, origin, scenario.shape)
        other = _placed(stills.farthest, scale, origin, scenario.shape)
        if scenario.stranger:
            other = _strange(person, scenario, self.outline_px, rng)
        other = _aligned(other, self.still, self.outline_px)
        mask = mask_from_contour(self.outline_px + PAD_PX, self.still.shape)
        self._inside = interior(self.still.shape, mask, min(12.0, float((high - low).min()) / 4.0))
        emptied = (1.0 - scenario.inside) * interior(self.still.shape, mask, EDGE_PX)
        self.still, self._other = (
            one + emptied * (blurred(one, COARSE_PX) - one)
            for one in (faint(self.still, scenario.texture), faint(other, scenario.texture))
        )
        self.deformation = Deformation(
            scenario.shape, self.outline_px, back_px=float(PEOPLE[person].back_mm * scale[0] + origin[0]),
            held=scenario.held, ripple_mm=scenario.ripple_mm, ripple_scale_px=scenario.ripple_scale_px,
            beat_mm=scenario.beat_mm, reach_mm=scenario.depth_mm, rng=rng,
        )  # fmt: skip
        self._shading = 1.0 + scenario.shading * smooth_map(scenario.shape, 80.0, rng)
        self._phase_shading = scenario.phase_shading * smooth_map(scenario.shape, 60.0, rng)
        row = middle[1] + rng.uniform(-0.3, 0.3) * float((high - low)[1] * scale[1])
        self._band = saturation_band(scenario.shape[0], row) if scenario.band else np.ones((1, 1), np.float32)
        around = cv2.dilate(mask.astype(np.uint8), np.ones((2 * AROUND_PX + 1,) * 2, np.uint8)) > 0
        self.noise_sigma = float(self.still[around].mean()) / scenario.snr

    def pose(self, motion: Motion, index: int) -> Pose:
        """Return the anatomy's state in one frame."""
        what, depth = self.scenario, float(motion.depth[index])
        return Pose(
            si_mm=float(motion.si_mm[index]), ap_mm=float(motion.ap_mm[index]), compression=what.compression * depth,
            expansion=what.expansion * depth, rotation_rad=float(np.radians(what.rotation_deg)) * depth, ripple=depth,
            beat=float(motion.beat[index]),
        )  # fmt: skip

    def render(self, pose: Pose, depth: float) -> NDArray[np.uint16]:
        """Return the frame of a pose, with fresh noise."""
        what = self.scenario
        columns, rows = self.deformation.frame_maps(pose)
        share = np.float32(what.through_plane * np.clip(depth, 0.0, 1.0)) * self._inside
        anatomy = self.still + share * (self._other - self.still)
        pixels = cv2.remap(anatomy, columns + PAD_PX, rows + PAD_PX, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        pixels = np.maximum(pixels, 0.0) * self._shading * (1.0 + np.float32(depth) * self._phase_shading) * self._band
        seen = rician(blurred(pixels.astype(np.float32), what.psf_mm), self.noise_sigma, what.psf_mm, self._rng)
        return np.asarray(np.clip(SCALE * seen, 0, 65535), np.uint16)


def make_subject(scenario: str, person: str, seed: int = 0) -> Subject:
    """Return one recording of a scenario of `SCENARIOS`, whole and with exact truth.

    Parameters
    ----------
    scenario, person
        Names in `SCENARIOS` and `PEOPLE`.
    seed
        The same three give the same recording, pixel for pixel.

    Raises
    ------
    ValueError
        If the motion folds at the target.
    """
    what = SCENARIOS[scenario]
    rng = np.random.default_rng([seed, *scenario.encode(), *person.encode()])
    time_s = np.arange(0.0, what.seconds, 1.0 / what.frames_per_s)
    motion = move(what.motion, time_s, what.depth_mm, what.lag_s, what.drift_mm, rng)
    scene = Scene(what, person, rng)
    content = _points_inside(scene.outline_px)
    frames = np.empty((len(time_s), *what.shape), np.uint16)
    contours, contents = [], []
    for index in range(len(time_s)):
        pose = scene.pose(motion, index)
        frames[index] = scene.render(pose, float(motion.depth[index]))
        seen = scene.deformation.carried(np.vstack([scene.outline_px, content]), pose)
        contours.append(np.ascontiguousarray(seen[: len(scene.outline_px)], np.float32))
        contents.append(seen[len(scene.outline_px) :].mean(axis=0))
    labels = np.stack([mask_from_contour(contour, what.shape) for contour in contours])
    elapsed_s = np.diff(time_s, prepend=time_s[0])
    case = Case(f"{scenario}/{person}/{seed}", frames, elapsed_s, (1.0, 1.0), contours[0], labels)
    # The mean motion of the content, put on the centre that the outline has in the first frame.
    outline_px = np.array([contour_centroid(contour) for contour in contours])
    content_px = np.array(contents) - contents[0] + outline_px[0]
    return Subject(case, scenario, person, contours, outline_px, content_px)


def _placed(still: Image, scale: NDArray[np.float64], origin: NDArray[np.float64], shape: tuple[int, int]) -> Image:
    """Return a still on the padded grid: mirrored beyond its upper and lower edge, air beyond the others."""
    rows = still.shape[0] - 1
    tall = cv2.copyMakeBorder(still, rows, rows, 0, 0, cv2.BORDER_REFLECT_101)
    x, y = origin + PAD_PX - scale * (0.0, rows)
    move_px = np.array([[scale[0], 0.0, x], [0.0, scale[1], y]])
    size = (shape[1] + 2 * PAD_PX, shape[0] + 2 * PAD_PX)
    placed = cv2.warpAffine(tall, move_px, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(np.maximum(placed, 0.0), np.float32)


def _strange(person: str, scenario: Scenario, outline_px: Points, rng: np.random.Generator) -> Image:
    """Return the still of someone else, with the like target where this one is, and as large if this one is scaled."""
    other = str(rng.choice([name for name in scenario.people if name != person]))
    theirs = outline_mm(other, scenario.target, rng)
    scale = np.ones(2) if scenario.organ_mm is None else np.ptp(outline_px, axis=0) / np.ptp(theirs, axis=0)
    origin = _middle(outline_px) - scale * _middle(theirs)
    return _placed(stills_of(other).first, scale, origin, scenario.shape)


def _middle(points: Points) -> Points:
    return np.asarray((points.min(axis=0) + points.max(axis=0)) / 2.0, np.float64)


def _aligned(other: Image, still: Image, outline_px: Points) -> Image:
    """Return another still shifted to where it is most like the first at the target."""
    low = np.floor(outline_px.min(axis=0)).astype(int) + PAD_PX
    high = np.ceil(outline_px.max(axis=0)).astype(int) + PAD_PX
    (x, y), (x1, y1) = np.clip(low - 10, 0, None), high + 10
    reach = np.minimum((16, 44), (x, y))
    region = other[y - reach[1] : y1 + reach[1], x - reach[0] : x1 + reach[0]]
    likeness = cv2.matchTemplate(region, still[y:y1, x:x1], cv2.TM_CCOEFF_NORMED)
    best = cv2.minMaxLoc(likeness)[3]
    return np.roll(other, (int(reach[1]) - best[1], int(reach[0]) - best[0]), axis=(0, 1))


def _points_inside(outline_px: Points) -> Points:
    """Return about 400 points on a grid inside an outline, (n, 2) of (x, y)."""
    step = max(float(np.sqrt(np.prod(np.ptp(outline_px, axis=0)) / 500.0)), 0.5)
    low, high = outline_px.min(axis=0), outline_px.max(axis=0)
    columns, rows = (int(np.ceil(side / step)) + 1 for side in high - low)
    inside = mask_from_contour((outline_px - low) / step, (rows, columns))
    return np.asarray(np.argwhere(inside)[:, ::-1] * step + low, np.float64)
