"""`import cinegate`: quick and complete; targets, recordings and settings as a user hands them over; one error tree."""

from __future__ import annotations

import ast
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest

import cinegate
from cinegate.recordings import as_recording
from cinegate.targets import make_targets
from gating.geometry.contours import box_contour, contour_from_mask, mask_from_contour
from replay_data import session_path
from tests.factories import anatomy

BOX = (36, 36, 24, 20)
SHAPE = (96, 80)


def still_frames(count: int = 12) -> np.ndarray:
    return np.stack([anatomy(SHAPE, seed=index) for index in range(count)])


@pytest.fixture(scope="module")
def recording() -> cinegate.Recording:
    return cinegate.recording_from_arrays(still_frames(), np.arange(12) / 8, 2.0)


def run_python(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.alone
def test_importing_loads_no_heavy_library_and_is_quick() -> None:
    script = (
        "import sys, time; before = time.process_time(); import cinegate; dir(cinegate);"
        "print(time.process_time() - before);"
        "print([name for name in ('numba', 'cv2', 'zmq', 'numpy', 'scipy') if name in sys.modules])"
    )
    seconds, loaded = run_python(script).splitlines()
    assert float(seconds) < 0.2
    assert loaded == "[]"


def test_the_beam_process_starts_without_numba_and_opencv() -> None:
    script = (
        "import sys, runpy; sys.argv = ['cinegate', 'beam', '--help'];"
        "\ntry: runpy.run_module('cinegate', run_name='__main__')\nexcept SystemExit: pass"
        "\nprint([name for name in ('numba', 'cv2', 'scipy') if name in sys.modules])"
    )
    assert run_python(script).splitlines()[-1] == "[]"


def test_every_public_name_can_be_used_and_has_a_docstring() -> None:
    for name in cinegate.__all__:
        found = getattr(cinegate, name)
        assert name in dir(cinegate)
        assert name == "__version__" or found.__doc__, name


def test_editors_and_type_checkers_see_every_public_name() -> None:
    source = Path(cinegate.__file__).read_text("utf-8")
    (imports,) = (node for node in ast.parse(source).body if isinstance(node, ast.If))
    seen = [alias.name for node in imports.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted([*seen, "__version__"]) == sorted(cinegate.__all__)


@pytest.mark.parametrize("name", ["gate", "track", "evaluate", "run", "open_recording", "read_session", "report"])
def test_a_function_says_what_it_takes_gives_and_raises(name: str) -> None:
    function = getattr(cinegate, name)
    assert "return" in typing.get_type_hints(function)
    for section in ("Parameters", "Raises", "Examples"):
        assert section in function.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'cinegate' has no attribute 'gates'"):
        _ = cinegate.gates


def test_every_error_is_a_cinegate_error_and_values_are_value_errors() -> None:
    raised = [getattr(cinegate, name) for name in cinegate.__all__ if name.endswith(("Error", "Fault", "Recording"))]
    errors = [error for error in raised if isinstance(error, type) and issubclass(error, Exception)]
    assert len(errors) >= 9
    assert all(issubclass(error, cinegate.CinegateError) for error in errors)
    assert issubclass(cinegate.ConfigError, ValueError)


def test_a_box_a_contour_and_a_mask_are_one_target(recording: cinegate.Recording, tmp_path: Path) -> None:
    mask = mask_from_contour(box_contour(*BOX), SHAPE)
    np.save(tmp_path / "mask.npy", mask)
    given = [BOX, list(BOX), np.array(BOX), box_contour(*BOX), mask, mask.astype(float), tmp_path / "mask.npy"]
    for target in given:
        [spec] = make_targets(target, recording)
        np.testing.assert_array_equal(mask_from_contour(spec.contour_px, SHAPE), mask)


def test_a_recordings_own_target_is_taken_where_none_is_given() -> None:
    opened = cinegate.open_recording(session_path("free_breathing"))
    [spec] = make_targets(None, opened)
    np.testing.assert_array_equal(spec.contour_px, opened.target_contour_px)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        pytest.param(None, "arrays holds no target; a target is needed: a box", id="none"),
        pytest.param(
            (60, 36, 24, 20), "target box 60, 36, 24, 20 leaves the image of 80 columns and 96 rows", id="box outside"
        ),
        pytest.param((36, 36, 0, 20), "width and height must be above 0", id="box without width"),
        pytest.param((36, 36, float("nan"), 20), "width and height must be above 0", id="box with nan"),
        pytest.param(np.zeros(SHAPE), "target mask is empty; no pixel is above 0", id="empty mask"),
        pytest.param(np.ones((96, 96)), r"target mask is \(96, 96\); the frames are \(96, 80\)", id="mask shape"),
        pytest.param(
            np.array([[1, 1], [200, 1], [1, 20]]), "target contour leaves the image of 80 columns", id="contour outside"
        ),
        pytest.param(np.array([[1, 1], [9, 1]]), r"target contour has shape \(2, 2\); 3 or more", id="two points"),
        pytest.param(np.zeros((3, 4, 5)), r"target is an array of shape \(3, 4, 5\); a box", id="volume"),
        pytest.param((1, 2, 3), r"target is an array of shape \(3,\); a box", id="three numbers"),
        pytest.param([[1, 2], [3]], r"target is \[\[1, 2\], \[3\]\]; a box", id="ragged"),
        pytest.param({"x": 1}, r"target is {'x': 1}; a box", id="dictionary"),
    ],
    ids=[
        "none",
        "outside",
        "no_width",
        "not_a_number",
        "empty_mask",
        "other_mask",
        "contour_outside",
        "two_points",
        "volume",
        "three_numbers",
        "ragged",
        "dictionary",
    ],
)
def test_a_target_that_does_not_fit_is_refused(recording: cinegate.Recording, target: object, words: str) -> None:
    with pytest.raises(cinegate.TargetError, match=words):
        make_targets(target, recording)  # type: ignore[arg-type]


def test_a_named_target_must_lie_in_the_image_and_its_plane(recording: cinegate.Recording) -> None:
    spec = cinegate.TargetSpec("GTV", box_contour(70, 70, 20, 20))
    with pytest.raises(cinegate.TargetError, match="GTV leaves the image"):
        make_targets(spec, recording)
    spec = cinegate.TargetSpec("GTV", box_contour(*BOX), plane="coronal")
    with pytest.raises(cinegate.TargetError, match="plane of GTV is coronal; the scan is sagittal"):
        make_targets([spec], recording)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(
            {"frames": np.zeros((96, 80))},
            r"frames has shape \(96, 80\); \(frames, rows, columns\) is needed",
            id="one frame",
        ),
        pytest.param(
            {"frames": [np.zeros((9, 9)), np.zeros((8, 9))]},
            "frames is no array: its parts differ in shape",
            id="ragged frames",
        ),
        pytest.param({"times_s": np.arange(5)}, "5 time stamps for 12 frames", id="too few stamps"),
        pytest.param({"times_s": np.zeros(12)}, "time stamp 1 is 0 s after the one before", id="equal stamps"),
        pytest.param(
            {"times_s": None}, "times_s is missing; frames as arrays need times_s and spacing_mm", id="no stamps"
        ),
        pytest.param({"spacing_mm": None}, "spacing_mm is missing", id="no spacing"),
        pytest.param({"spacing_mm": -1.0}, "pixel_spacing_mm is -1, -1; above 0", id="negative spacing"),
        pytest.param(
            {"plane": "oblique"}, "plane is 'oblique'; one of sagittal, coronal, transversal", id="oblique plane"
        ),
    ],
    ids=["one_image", "ragged", "few_times", "equal_times", "no_times", "no_spacing", "negative_spacing", "oblique"],
)
def test_arrays_that_are_no_recording_are_refused(change: dict[str, object], words: str) -> None:
    given: dict[str, object] = {"frames": still_frames(), "times_s": np.arange(12) / 8, "spacing_mm": 2.0, "plane": ""}
    given |= change
    with pytest.raises(cinegate.BadRecording, match=words):
        as_recording(given.pop("frames"), **given)  # type: ignore[arg-type]


def test_what_is_for_arrays_is_refused_for_a_recording(recording: cinegate.Recording) -> None:
    with pytest.raises(cinegate.BadRecording, match="times_s was given; it is for arrays"):
        cinegate.gate(recording, BOX, times_s=np.arange(12))
    with pytest.raises(cinegate.BadRecording, match="spacing_mm and plane are for arrays and paths"):
        cinegate.gate(recording, BOX, spacing_mm=3.0)


@pytest.mark.parametrize("plane", ["sagittal", "coronal", "transversal"])
def test_arrays_lie_as_their_plane_says(plane: str) -> None:
    assert cinegate.recording_from_arrays(still_frames(2), [0, 0.1], (2.0, 1.5), plane=plane).plane == plane


def test_a_saved_recording_is_the_same(recording: cinegate.Recording, tmp_path: Path) -> None:
    again = cinegate.open_recording(cinegate.save_recording(recording, tmp_path / "saved.npz"))
    np.testing.assert_array_equal(again.stamps_ns, recording.stamps_ns)
    for field in ("shape", "dtype", "pixel_spacing_mm", "image_orientation", "image_position_mm", "plane"):
        assert getattr(again, field) == getattr(recording, field)
    for index in range(len(recording)):
        np.testing.assert_array_equal(again.frames[index], recording.frames[index])


def test_settings_are_a_config_a_file_or_a_preset(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('tracker = "rigid"\n')
    assert cinegate.load_config() == cinegate.Config()
    assert cinegate.load_config(tmp_path / "own.toml").tracker == "rigid"
    assert cinegate.load_config("exhale") == cinegate.load_config("preset:exhale") != cinegate.Config()
    assert cinegate.load_config(cinegate.Config(), "opencv").tracker == "opencv"


@pytest.mark.parametrize(
    ("config", "words"),
    [("nowhere.toml", "configuration nowhere.toml cannot be read: No such file"), ("preset:deep", "preset is 'deep'")],
    ids=["file", "preset"],
)
def test_settings_that_are_not_there_are_named(config: str, words: str) -> None:
    with pytest.raises(cinegate.ConfigError, match=words):
        cinegate.load_config(config)


def test_a_gated_frame_says_where_the_target_is(recording: cinegate.Recording) -> None:
    frames = list(cinegate.gate(recording, BOX))
    assert [frame.index for frame in frames] == list(range(12))
    assert frames[-1].state is cinegate.GateState.ON
    assert frames[-1].reason == cinegate.GateReason.IN_WINDOW
    assert frames[-1].centre_px == pytest.approx((47.5, 45.5), abs=0.5)
    assert frames[-1].centre_mm == pytest.approx((0.0, 95.0, -91.0), abs=1.0)
    assert frames[-1].time_s == 11 / 8


def test_a_frame_that_cannot_be_looked_at_is_held_and_not_a_number() -> None:
    frames = still_frames().astype(np.float32)
    frames[6, 10, 10] = np.nan
    result = cinegate.track(frames, BOX, times_s=np.arange(12) / 8, spacing_mm=2.0)
    row = result.table[6]
    assert (row["gate"], row["reason"], row["status"]) == ("hold", "frame_refused", "refused")
    assert np.isnan(row["x_px"])
    assert "NaN" in result.details[6]
    np.testing.assert_array_equal(result.masks()[6], result.masks()[5])


def test_a_target_that_cannot_be_learned_holds_every_frame(recording: cinegate.Recording) -> None:
    frames = list(cinegate.gate(recording, (5, 5, 4, 2)))
    assert {frame.state for frame in frames} == {cinegate.GateState.HOLD}
    assert frames[-1].reason == "target_unusable"
    assert frames[-1].centre_mm is None
    with pytest.raises(cinegate.TrackingError, match="the target of arrays cannot be learned: the target covers 8 px"):
        cinegate.track(recording, (5, 5, 4, 2))


def test_a_table_has_one_target(recording: cinegate.Recording) -> None:
    two = [cinegate.TargetSpec(name, box_contour(*BOX)) for name in ("GTV", "OAR")]
    assert all(len(frame.estimates) in (0, 2) for frame in cinegate.gate(recording, two))
    with pytest.raises(cinegate.TargetError, match="targets: 2 given; a table has one"):
        cinegate.track(recording, two)


def test_a_table_becomes_a_data_frame(recording: cinegate.Recording) -> None:
    pandas = pytest.importorskip("pandas", exc_type=ImportError)
    result = cinegate.track(recording, BOX)
    table = result.to_dataframe()
    assert isinstance(table, pandas.DataFrame)
    assert list(table.columns) == list(result.table.dtype.names or ())
    np.testing.assert_array_equal(table["x_px"], result.table["x_px"])


def test_without_pandas_it_says_what_to_install(recording: cinegate.Recording, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(cinegate.Unavailable, match=r"needs pandas, .* -m pip install pandas"):
        cinegate.track(recording, BOX).to_dataframe()


def test_the_columns_of_text_hold_every_reason() -> None:
    from cinegate.sessions import COMMANDS, ESTIMATES
    from cinegate.tables import TRACK

    longest = max(map(len, cinegate.GateReason))
    assert all(dtype["reason"].itemsize >= 4 * longest for dtype in (TRACK, ESTIMATES, COMMANDS))


def test_masks_outlines_and_label_files_score_alike(recording: cinegate.Recording, tmp_path: Path) -> None:
    from gating.evaluation.masks import write_masks

    mask = mask_from_contour(box_contour(*BOX), SHAPE)
    masks = np.stack([mask] * len(recording))
    write_masks(tmp_path / "labels.mha", masks, (2.0, 2.0))
    given = [masks, [contour_from_mask(mask)] * len(recording), tmp_path / "labels.mha"]
    found = [cinegate.evaluate(recording, labels=labels).aggregates for labels in given]
    assert found[0]["dice_similarity_coefficient"] > 0.95
    for scores in found[1:]:
        assert scores["dice_similarity_coefficient"] == found[0]["dice_similarity_coefficient"]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        pytest.param(None, "arrays holds no target track; labels are needed", id="none"),
        pytest.param(np.ones((5, *SHAPE), bool), r"labels: 5 of \(96, 80\); 12 of \(96, 80\)", id="too few"),
        pytest.param(np.ones((12, 96, 96), bool), r"labels: 12 of \(96, 96\); 12 of \(96, 80\)", id="shape"),
        pytest.param([], r"labels: 0 of \(96, 80\); 12", id="empty"),
    ],
    ids=["none", "few", "other_shape", "empty"],
)
def test_labels_that_do_not_fit_are_refused(recording: cinegate.Recording, labels: object, words: str) -> None:
    with pytest.raises(cinegate.BadRecording, match=words):
        cinegate.evaluate(recording, BOX, labels=labels)  # type: ignore[arg-type]


def test_a_session_that_is_not_running_says_how_to_start_it() -> None:
    session = cinegate.run(session_path("free_breathing"))
    with pytest.raises(cinegate.PipelineError, match=r"is not running; start it with: with cinegate\.run"):
        session.arm("physicist")
    assert not session.log.exists()


def test_a_session_of_arrays_or_at_no_speed_is_refused(recording: cinegate.Recording) -> None:
    with pytest.raises(cinegate.BadRecording, match="the recording is in no file"):
        cinegate.run(recording, BOX)
    with pytest.raises(cinegate.ConfigError, match=r"speed is 'fast'; a factor of 0\.01"):
        cinegate.run(session_path("free_breathing"), speed="fast")
    with pytest.raises(cinegate.TargetError, match="a target is needed"):
        cinegate.run("phantom")


def test_a_log_that_is_not_there_is_named() -> None:
    for read in (cinegate.read_session, cinegate.report):
        with pytest.raises(cinegate.SessionError, match=r"nowhere\.mcap: there is no such file"):
            read("nowhere.mcap")
