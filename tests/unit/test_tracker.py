"""What the tracker promises: position, shape, honest doubt, and one sentence for everything that it cannot do."""

import re

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gating.geometry.contours import box_contour, contour_from_mask
from gating.tracking.registry import make_tracker, tracker_names
from gating.tracking.tracker import Tracker, TrackerSettings, TrackingError, TrackStatus

SHAPE = (150, 140)
TARGET = box_contour(60, 50, 20, 24)
NAMES = ["template", "opencv"]


def texture(seed, scale=2.0, shape=(240, 240)):
    field = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal(shape).astype(np.float32), (0, 0), scale)
    return field / field.std()


SCENE = 400 + 80 * texture(1)


def frame(dx=0.0, dy=0.0, noise=0.0, scene=SCENE):
    """The scene moved by (dx, dy) px, uint16."""
    move = np.array([[1, 0, dx - 40], [0, 1, dy - 40]], np.float32)
    pixels = cv2.warpAffine(scene, move, SHAPE[::-1], flags=cv2.INTER_CUBIC)
    return np.clip(pixels + noise * texture(7, 0.6, SHAPE), 0, 65535).astype(np.uint16)


def tracker(name="template", target=TARGET, pixels=None, spacing=(1.0, 1.0), **options):
    made = make_tracker(name, TrackerSettings(**options))
    made.warm_up()
    made.set_reference(frame() if pixels is None else pixels, target, spacing)
    return made


@pytest.mark.parametrize("name", NAMES)
def test_a_built_in_tracker_fulfils_the_protocol(name):
    assert isinstance(make_tracker(name, TrackerSettings()), Tracker)
    assert name in tracker_names()


def test_an_unknown_tracker_is_refused_with_the_names_that_exist():
    with pytest.raises(TrackingError, match=r"'magic' is unknown; known are .*opencv.*template"):
        make_tracker("magic", TrackerSettings())


@given(st.floats(-20, 20), st.floats(-30, 30))
@settings(max_examples=15, deadline=None)
def test_a_shift_is_found_to_a_fifth_of_a_pixel_with_confidence(dx, dy):
    result = tracker().track(frame(dx, dy), 1.0)
    assert (result.x_px, result.y_px) == pytest.approx((69.5 + dx, 61.5 + dy), abs=0.2)
    assert result.status is TrackStatus.TRACKED
    assert result.confidence > 0.9
    assert result.detail == ""


def test_the_contour_moves_with_the_target():
    result = tracker().track(frame(5.0, 12.0), 0.5)
    assert result.contour_px == pytest.approx(TARGET + np.float32([5, 12]), abs=0.4)


def test_a_breath_hold_of_45_px_between_two_frames_is_followed():
    result = tracker(spacing=(1.0, 1.0)).track(frame(0, 45), 1.0)
    assert result.y_px == pytest.approx(61.5 + 45, abs=0.3)


def test_a_stretched_target_is_outlined_stretched():
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    reference = frame()
    stretched = cv2.remap(reference.astype(np.float32), columns, 61.5 + (rows - 61.5) / 1.15, cv2.INTER_CUBIC)
    height = np.ptp(tracker(pixels=reference).track(stretched, 0.25).contour_px[:, 1])
    assert height == pytest.approx(24 * 1.15, abs=0.8)


@given(st.floats(0.2, 5.0), st.floats(0, 500))
@settings(max_examples=10, deadline=None)
def test_gain_and_offset_of_the_intensity_do_not_matter(gain, offset):
    pixels = frame(3, 6).astype(np.float32) * gain + offset
    result = tracker().track(pixels, 0.25)
    assert (result.x_px, result.y_px) == pytest.approx((72.5, 67.5), abs=0.2)


def test_an_unrelated_image_is_lost_or_doubted_with_a_sentence():
    made = tracker()
    result = made.track(frame(scene=400 + 80 * texture(99)), 0.25)
    assert result.status in (TrackStatus.LOST, TrackStatus.LOW_CONFIDENCE)
    assert result.confidence < 0.5
    assert len(result.detail) > 10


def test_a_target_found_far_away_is_trusted_only_after_several_frames():
    made = tracker()
    made.track(frame(scene=400 + 80 * texture(99)), 0.25)
    answers = [made.track(frame(0, 30), 0.25) for _ in range(3)]
    assert [answer.status is TrackStatus.TRACKED for answer in answers] == [False, False, True]
    assert "not yet trusted" in answers[0].detail


@pytest.mark.parametrize(("dx", "dy"), [(0, -54), (0, 78), (-64, 0), (67, 0), (-60, -52)])
def test_a_target_half_out_of_the_image_is_tracked_but_not_trusted(dx, dy):
    made = tracker(max_speed_mm_s=1000.0)
    for share in (0.4, 0.6, 0.8, 0.9, 1.0):
        result = made.track(frame(share * dx, share * dy), 0.25)
    assert (result.x_px, result.y_px) == pytest.approx((69.5 + dx, 61.5 + dy), abs=0.6)
    assert not result.confidence >= 0.8
    assert result.detail.endswith("px beyond the image")


@pytest.mark.parametrize(("dx", "dy"), [(0, -47), (0, 72), (-58, 0), (56, 0)])
def test_a_target_of_which_only_the_margin_leaves_the_image_is_trusted(dx, dy):
    made = tracker(max_speed_mm_s=1000.0)
    for share in (0.4, 0.6, 0.8, 0.9, 1.0):
        result = made.track(frame(share * dx, share * dy), 0.25)
    assert (result.x_px, result.y_px) == pytest.approx((69.5 + dx, 61.5 + dy), abs=0.3)
    assert result.status is TrackStatus.TRACKED


def test_a_look_alike_lowers_the_confidence():
    scene = SCENE.copy()
    patch = scene[80:124, 92:130].copy()
    scene[130:174, 92:130] = patch
    result = tracker(pixels=frame(scene=scene)).track(frame(0, -20, scene=scene), 0.5)
    assert not result.confidence >= 0.8


def test_a_template_is_added_only_for_a_new_appearance_and_is_counted():
    made, counts, told = tracker(), [], ""
    for seen in fading_scene():
        counts.append(made.track(seen, 0.25).templates)
        told += made.finish_frame()
    assert counts[:5] == [1] * 5
    assert counts[-1] > 1
    assert made.templates.accepted == counts[-1] - 1
    generations = [int(number) for number in re.findall(r"of generation (\d+)", told)]
    assert len(generations) == made.templates.accepted
    assert max(generations) <= 3


def fading_scene():
    """Breathing, in which the appearance changes after five frames."""
    faded = 400 + 80 * texture(55)
    shares = [0.0] * 5 + list(np.linspace(0, 0.6, 12))
    return [
        frame(0, round(6 * np.sin(index)), scene=SCENE * (1 - share) + faded * share)
        for index, share in enumerate(shares)
    ]


def test_an_accepted_template_is_reported_with_its_time_and_all_ages():
    made, told = tracker(), []
    for seen in fading_scene():
        made.track(seen, 0.25)
        told.append(made.finish_frame())
    first = next(sentence for sentence in told if sentence)
    assert re.match(r"template accepted \d+\.\d s after the reference, of generation 1; 2 in use, \d, 0 s old", first)
    assert sum(map(bool, told)) == made.templates.accepted


def test_results_do_not_depend_on_who_calls_finish_frame():
    left, settled = tracker(), tracker()
    for seen in fading_scene():
        one, other = left.track(seen, 0.25), settled.track(seen, 0.25)
        settled.finish_frame()
        settled.warm_caches()
        assert (one.x_px, one.y_px, one.confidence, one.templates) == (
            other.x_px, other.y_px, other.confidence, other.templates,
        )  # fmt: skip


def test_one_template_is_kept_alone_when_the_settings_say_so():
    made = tracker(max_templates=1)
    faded = 400 + 80 * texture(55)
    assert all(made.track(frame(scene=SCENE * (1 - a) + faded * a), 0.25).templates == 1 for a in (0, 0.2, 0.4))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("pixels", "sentence"),
    [
        pytest.param(np.full(SHAPE, np.nan), "NaN or infinite", id="nan"),
        pytest.param(np.full(SHAPE, 65535, np.uint16), "flat: every pixel is 65535", id="saturated"),
        pytest.param(np.zeros(SHAPE, np.uint8), "flat: every pixel is 0", id="empty"),
        pytest.param(
            np.zeros((20, 20)), r"the frame is \(20, 20\), the reference frame was \(150, 140\)", id="another shape"
        ),
        pytest.param(np.zeros((3, 150, 140)), "must be a 2D array", id="volume"),
        pytest.param(np.zeros(SHAPE, complex), "real numbers", id="complex"),
    ],
)
def test_an_unusable_frame_is_refused_with_a_sentence(name, pixels, sentence):
    import re

    result = tracker(name).track(pixels, 0.25)
    assert result.status is TrackStatus.REFUSED
    assert np.isnan(result.x_px)
    assert result.confidence == 0.0
    assert re.search(sentence, result.detail)


def test_the_rigid_match_moves_the_outline_by_the_shift_that_it_finds():
    result = tracker("rigid").track(frame(5.0, 12.0), 0.5)
    assert (result.x_px, result.y_px) == pytest.approx((69.5 + 5, 61.5 + 12), abs=0.2)
    assert result.contour_px == pytest.approx(TARGET + np.float32([5, 12]), abs=0.2)


def test_the_rigid_match_searches_only_where_the_target_can_have_moved():
    made = tracker("rigid", max_speed_mm_s=100.0)
    too_far_so_soon = made.track(frame(0, 30), 0.01)
    assert too_far_so_soon.status is TrackStatus.LOW_CONFIDENCE
    assert abs(too_far_so_soon.y_px - 61.5) < 8 + 100 * 0.01 + 2
    later = made.track(frame(0, 30), 0.3)
    assert later.y_px == pytest.approx(61.5 + 30, abs=0.2)


def test_the_rigid_match_refuses_a_frame_with_one_pixel_that_is_no_number():
    made = tracker("rigid", pixels=frame().astype(np.float32))
    torn = frame().astype(np.float32)
    torn[0, 0] = np.nan
    result = made.track(torn, 0.25)
    assert (result.status, result.detail) == (TrackStatus.REFUSED, "the frame holds NaN or infinite pixels")


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.float32, np.float64]),
        SHAPE,
        elements={"allow_nan": True, "allow_infinity": True},
    ),
    st.floats(allow_nan=True, allow_infinity=True),
)
@settings(max_examples=25, deadline=None)
def test_track_never_raises_and_its_confidence_is_a_probability(pixels, elapsed_s):
    with np.errstate(all="ignore"):
        result = tracker().track(pixels, elapsed_s)
    assert 0.0 <= result.confidence <= 1.0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (np.empty((0, 2)), "empty: it has 0 points"),
        (np.full((4, 2), np.nan), "NaN or infinite points"),
        (box_contour(500, 500, 10, 10), "lies outside the frame"),
        (box_contour(130, 60, 30, 20), "reaches beyond the frame"),
        (box_contour(60, 60, 2, 2), "covers 4 px"),
        (np.zeros((4, 3)), r"\(n, 2\) array"),
    ],
)
def test_a_target_that_cannot_be_tracked_is_refused_with_a_sentence(name, target, sentence):
    with pytest.raises(TrackingError, match=sentence):
        tracker(name, target=target)


def test_a_template_larger_than_the_frame_allows_is_refused():
    with pytest.raises(TrackingError, match="leaves no room to move"):
        tracker(target=box_contour(2, 2, 136, 146))


@pytest.mark.parametrize("name", NAMES)
def test_a_flat_target_is_refused(name):
    pixels = frame()
    pixels[20:110, 30:110] = 100
    with pytest.raises(TrackingError, match="flat"):
        tracker(name, pixels=pixels)


def test_a_frame_before_any_reference_is_refused():
    assert make_tracker("template", TrackerSettings()).track(frame(), 0.1).status is TrackStatus.REFUSED


def test_a_mask_with_a_hole_and_two_parts_is_tracked_as_one_target():
    mask = np.zeros(SHAPE, bool)
    mask[50:74, 60:80] = True
    mask[58:64, 66:72] = False
    mask[60:70, 84:92] = True
    result = tracker(target=contour_from_mask(mask)).track(frame(4, 9), 0.25)
    rows, columns = np.nonzero(mask)
    assert (result.x_px, result.y_px) == pytest.approx((columns.mean() + 4, rows.mean() + 9), abs=0.3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_every_pixel_type_gives_the_same_answer(dtype):
    scale = 0.3
    made = tracker(pixels=(frame() * scale).astype(dtype))
    pixels = (frame(4, -7) * scale).astype(dtype)
    pixels.flags.writeable = False
    result = made.track(pixels, 0.25)
    assert (result.x_px, result.y_px) == pytest.approx((73.5, 54.5), abs=0.25)


def test_a_still_scene_is_no_fixed_pattern() -> None:
    """Where nothing moves, frame and template differ by noise alone; its chance likeness elsewhere is no evidence."""
    from tests.factories import anatomy

    tracker = make_tracker("template", TrackerSettings())
    tracker.set_reference(anatomy(), box_contour(36, 36, 24, 24), (2.0, 2.0))
    results = [tracker.track(anatomy(seed=seed), 0.125) for seed in range(1, 60)]
    assert {result.status for result in results} == {TrackStatus.TRACKED}


def test_a_repeated_frame_does_not_make_later_noise_look_like_motion() -> None:
    from tests.factories import anatomy

    tracker = make_tracker("template", TrackerSettings())
    tracker.set_reference(anatomy(), box_contour(36, 36, 24, 24), (2.0, 2.0))
    results = [tracker.track(anatomy(seed=seed), 0.125) for seed in (*range(1, 20), 19, *range(20, 90))]
    assert {result.status for result in results} == {TrackStatus.TRACKED}


@pytest.mark.parametrize("path", [np.linspace(0, 3, 24), 2 * np.sin(np.linspace(0, 12, 48)), [0.0] * 8 + [2.5] * 16])
def test_a_small_motion_that_is_followed_is_no_fixed_pattern(path) -> None:
    made, rng = tracker(), np.random.default_rng(2)
    seen = [np.clip(frame(0, dy) + rng.normal(0, 6, SHAPE), 0, 65535) for dy in path]
    assert {made.track(pixels.astype(np.uint16), 0.25).status for pixels in seen} == {TrackStatus.TRACKED}


@pytest.mark.parametrize("forgets_at", [0, 20])
def test_a_fixed_pattern_that_holds_the_match_is_detected(forgets_at) -> None:
    """The pattern is stronger than the anatomy behind it: after one second, the match is doubted, and again later."""
    pattern, rng = 250 * texture(41, 2.0, SHAPE), np.random.default_rng(3)
    path = 8 * np.sin(np.arange(40) / 3.0)
    seen = [np.clip(frame(0, dy) + pattern + rng.normal(0, 6, SHAPE), 0, 65535).astype(np.uint16) for dy in path]
    made = tracker(pixels=seen[0])
    for pixels in seen[1:forgets_at]:
        made.track(pixels, 0.25)
    made.forget_motion()
    results = [made.track(pixels, 0.25) for pixels in seen[max(1, forgets_at) :]][3:]
    held = [abs(result.y_px - 61.5 - dy) > 3.0 for result, dy in zip(results, path[-len(results) :], strict=True)]
    assert sum(held) > len(results) / 4
    assert not any(wrong and r.status is TrackStatus.TRACKED for wrong, r in zip(held, results, strict=True))
