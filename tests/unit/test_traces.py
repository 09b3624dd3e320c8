"""Motion traces: real files are read, and bad ones are refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drivers.errors import BadRecording
from drivers.phantom import Phantom, PhantomSettings
from drivers.recordings.traces import read_trace
from drivers.sources.phantom import PhantomSource, PhantomSourceSettings


@pytest.fixture
def traces(shared_data: Path) -> Path:
    return shared_data / "traces"


def test_a_robot_trajectory_has_its_columns_in_patient_axes(traces: Path) -> None:
    file = traces / "LiverTraj_LargeSI70s_robot.txt"
    trace, table = read_trace(file), np.loadtxt(file)
    np.testing.assert_array_equal(trace.t_s, table[:, 0])
    np.testing.assert_array_equal((trace.lr_mm, trace.si_mm, trace.ap_mm), (table[:, 1], table[:, 2], -table[:, 3]))
    assert trace.valid.all()


def test_the_liver_moves_posterior_when_it_moves_superior(traces: Path) -> None:
    for name in ("LiverTraj_LargeSI70s_robot.txt", "LiverTraj_RegularBreathing70s_robot.txt"):
        trace = read_trace(traces / name)
        assert np.corrcoef(trace.si_mm, trace.ap_mm)[0, 1] > 0.9


def test_an_rpm_trace_is_in_anterior_mm_and_marks_what_is_invalid(traces: Path) -> None:
    trace = read_trace(traces / "PT01_13112021_25hz.vxp")
    assert len(trace) == 3823
    assert (trace.ap_mm[0], trace.ap_mm[1]) == pytest.approx((-2.617, -2.622))
    assert trace.t_s[1] == pytest.approx(0.032)
    assert trace.t_s[-1] == pytest.approx(152.857)
    assert int(trace.valid.sum()) == 2764
    assert not trace.si_mm.any()


def test_external_markers_with_decimal_commas_lose_their_zero_row(traces: Path) -> None:
    trace = read_trace(traces / "201205101519-UAC-1-T-222-6.csv")
    assert len(trace) == 2220
    assert (trace.lr_mm[0], trace.si_mm[0], trace.ap_mm[0]) == (-396.9, 5.1, 85.6)
    assert (trace.lr_mm[-1], trace.t_s[-1], trace.dropped) == (-394.9, 221.95, 0)


def test_an_implausible_stamp_is_dropped_and_counted(traces: Path) -> None:
    trace = read_trace(traces / "201205181211-LAC-1-N-320-6.csv")
    assert (len(trace), trace.dropped) == (3198, 1)
    assert np.diff(trace.t_s).max() < 0.25


def test_the_cameras_axes_can_be_configured(traces: Path) -> None:
    file = traces / "201205101519-UAC-1-T-222-6.csv"
    turned, plain = read_trace(file, ("+lr", "-ap", "+si")), read_trace(file)
    np.testing.assert_array_equal(turned.ap_mm, -plain.si_mm)
    np.testing.assert_array_equal(turned.si_mm, plain.ap_mm)


def test_every_trace_moves_the_phantom(traces: Path) -> None:
    settings = PhantomSettings(rows=64, columns=64, pixel_spacing_mm=(4.0, 4.0), duration_s=2.0)
    for file in sorted(traces.iterdir()):
        trace = read_trace(file)
        phantom = Phantom(settings, trace.for_phantom())
        moved = phantom.displacement(9)
        valid_t_s = trace.t_s[trace.valid]
        at_s = phantom.stamp_ns(9) / 1e9 + valid_t_s[0]
        expected = np.interp(at_s, valid_t_s, trace.si_mm[trace.valid]) - trace.si_mm[trace.valid][0]
        assert moved.si_mm == pytest.approx(expected, abs=1e-9)


def test_the_phantom_source_reads_its_trace_when_it_is_opened(traces: Path) -> None:
    file, shape = traces / "PT01_13112021_25hz.vxp", {"rows": 64, "columns": 64, "pixel_spacing_mm": (4.0, 4.0)}
    source = PhantomSource(PhantomSourceSettings(trace=str(file), trace_scale=3.0, duration_s=2.0, **shape))
    source.open()
    expected = Phantom(PhantomSettings(duration_s=2.0, **shape), read_trace(file).for_phantom(3.0))
    for index in (0, 7, 15):
        np.testing.assert_array_equal(source.truth(index).contour_px, expected.truth(index).contour_px)
    source.close()


def test_a_missing_trace_is_reported_when_the_source_is_opened(tmp_path: Path) -> None:
    source = PhantomSource(PhantomSourceSettings(trace=str(tmp_path / "none.vxp")))
    with pytest.raises(BadRecording, match=r"none\.vxp: it cannot be read"):
        source.open()


def test_scaling_makes_a_surrogate_move_as_far_as_the_target(traces: Path) -> None:
    trace = read_trace(traces / "PT01_13112021_25hz.vxp")
    np.testing.assert_allclose(trace.for_phantom(2.5).ap_mm, 2.5 * trace.ap_mm[trace.valid])


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        pytest.param("a.txt", "0 1 2 3\n0.2 1 2 x\n", "line 2 holds 'x'; a number", id="text"),
        pytest.param("a.txt", "0 1 2 3\n0.2 1 nan 3\n", "line 2 holds 'nan'", id="nan"),
        pytest.param("a.txt", "0 1 2\n1 1 2\n", "rows have 3 values; time, LR, SI, AP", id="two axes"),
        pytest.param("a.txt", "0 1 2 3\n", "1 rows of", id="one row"),
        pytest.param("a.txt", "0 1 2 3\n0 1 2 3\n", "1 of 2 time stamps do not increase", id="repeated stamp"),
        pytest.param("a.txt", "0 1 2 3\n1 1 20000 3\n", "moves to 20000 mm; 86400 s and 10000 mm", id="too far"),
        pytest.param("a.csv", "a;b\n1;2\n", "line 1 is 'a;b'; a header with a time", id="no column known"),
        pytest.param("a.csv", "0;1;2;3\n1;1;2;3\n", "line 1 is '0;1;2;3'; a header", id="no header"),
        pytest.param("a.csv", "t;x;y\n0;1;2\n", "lr, si or ap .mm, LPS., or x, y and z", id="two of three axes"),
        pytest.param("a.csv", "t;si\n0;1\n1\n", "line 3 holds ''; a number", id="short row"),
        pytest.param("a.vxp", "[Header]\nData_layout=phase\n[Data]\n1\n", "Data_layout is 'phase'", id="no amplitude"),
        pytest.param("a.dat", "", "not a motion trace", id="unknown suffix"),
    ],
)
def test_a_damaged_trace_is_refused_with_a_sentence(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadRecording, match=sentence):
        read_trace(tmp_path / name)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("t_s;lr;si;ap\n0;0,5;1;2\n0,2;1,5;2;3\n", id="semicolons and decimal commas"),
        pytest.param("Time (ms)\tSI [mm]\tphase\tAP [mm]\tLR [cm]\n0\t1\tin\t2\t0.05\n200\t2\tex\t3\t.15\n", id="tabs"),
        pytest.param("time,lr_mm,si_mm,ap_mm,note\n0,0.5,1,2,\n0.2,1.5,2,3,cough\n", id="commas"),
        pytest.param("frame,t_s,lr,si,ap\n1,0,0.5,1,2\n2,0.2,1.5,2,3\n", id="frame numbers"),
        pytest.param("t lr si ap\n0 0,5 1 2\n0,2 1,5 2 3\n", id="blanks and decimal commas"),
        pytest.param("Timestamp;x;y;z;quality\n0;0,5;1;2;-\n200;1,5;2;3;-\n", id="camera"),
    ],
)
def test_a_table_is_read_by_the_names_of_its_columns(tmp_path: Path, text: str) -> None:
    for name in ("a.csv", "a.txt"):
        (tmp_path / name).write_text(text)
        trace = read_trace(tmp_path / name)
        np.testing.assert_allclose(trace.t_s, [0, 0.2])
        np.testing.assert_allclose((trace.lr_mm, trace.si_mm, trace.ap_mm), [(0.5, 1.5), (1, 2), (2, 3)])


def test_a_robot_trajectory_may_have_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0,0;1,5;2;3\n0,2;2,5;2;3\n")
    assert read_trace(tmp_path / "a.txt").lr_mm.tolist() == [1.5, 2.5]


def test_an_axis_that_a_table_lacks_does_not_move(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t;si\n0;1\n1;2\n")
    trace = read_trace(str(tmp_path / "a.csv"))
    assert (trace.si_mm.tolist(), trace.lr_mm.any(), trace.ap_mm.any()) == ([1, 2], False, False)


def test_a_trace_without_valid_samples_moves_nothing(tmp_path: Path) -> None:
    rows = "\n".join(f"0.1,0,{40 * index},-2,1,,0" for index in range(5))
    (tmp_path / "a.vxp").write_text(
        f"[Header]\nData_layout=amplitude,phase,timestamp,validflag,ttlin,mark,ttlout\n[Data]\n{rows}\n"
    )
    with pytest.raises(BadRecording, match="0 samples are valid"):
        read_trace(tmp_path / "a.vxp").for_phantom()
