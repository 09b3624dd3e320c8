"""`-o key=value`: how texts are converted, and that every driver describes its options."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from cinegate.verbs import register_verbs
from cinegate.verbs.app import CommandError, app
from cinegate.verbs.driver_options import driver_settings, setting_rows
from drivers.beam.fanout import Fanout
from drivers.registry import beam_names, load_beam, load_source, source_names
from drivers.sources.dicom import DicomSource
from drivers.sources.phantom import PhantomSource
from replay_data import session_path


def test_option_texts_become_numbers_and_switches():
    settings = driver_settings(DicomSource, "dicom", ["port=104", "arrival_time=true", "ae_title=MRL"])
    assert (settings.port, settings.arrival_time, settings.ae_title) == (104, True, "MRL")


def test_lists_and_tables_are_given_as_json():
    assert driver_settings(DicomSource, "dicom", ['calling_ae_titles=["MR1","MR2"]']).calling_ae_titles == (
        "MR1",
        "MR2",
    )
    phantom = driver_settings(PhantomSource, "phantom", ['breathing={"period_s": 6}', "pixel_spacing_mm=[2,3]"])
    assert (phantom.breathing.period_s, phantom.pixel_spacing_mm) == (6.0, (2.0, 3.0))


def test_a_text_that_looks_like_json_stays_a_text_where_one_is_needed():
    members = '[{"switch":"simulated"}]'
    assert driver_settings(Fanout, "fanout", [f"members={members}"]).members == members


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("port", "key=value is needed, got port"),
        ("prot=104", "unknown field `prot`"),
        ("port=70000", "Expected `int` <= 65535"),
        ("calling_ae_titles=[", "malformed|truncated"),
        ("calling_ae_titles=MR1", "Expected `array`"),
    ],
)
def test_an_impossible_option_is_refused_in_one_sentence(option, words):
    with pytest.raises(CommandError, match=words) as raised:
        driver_settings(DicomSource, "dicom", [option])
    assert str(raised.value).startswith("--option of dicom: ")


@pytest.mark.parametrize(
    "driver",
    [load_source(name) for name in source_names()] + [load_beam(name) for name in beam_names()],
    ids=lambda driver: driver.__name__,
)
def test_every_setting_of_every_driver_is_described(driver: Any):
    kind = getattr(driver, "Settings", None)
    rows = setting_rows(driver)
    assert [row["setting"] for row in rows] == ([] if kind is None else list(kind.__struct_fields__))
    msgspec.json.encode(rows)


def test_a_required_setting_is_told_from_one_with_a_default():
    rows = {row["setting"]: row for row in setting_rows(PhantomSource) + setting_rows(load_beam("serial_line"))}
    assert rows["port"]["needed"] is True
    assert (rows["mode"]["needed"], rows["mode"]["default"], rows["mode"]["allowed"]) == (
        False,
        "line",
        "line, heartbeat",
    )
    assert (rows["baud"]["allowed"], rows["trace"]["needed"]) == ("1200 to 1000000", False)


def test_the_command_shows_both_drivers_of_one_name():
    register_verbs()
    shown = CliRunner().invoke(app, ["drivers", "zeromq", "--json"])
    assert shown.exit_code == 0
    assert msgspec.json.decode(shown.stdout).keys() == {"source", "beam"}


@pytest.mark.parametrize(
    "asked",
    [["--speed", "2"], ["--loop"], ["--pixel-spacing-mm", "2"], ["--with", "other.npz"]],
    ids=lambda asked: asked[0],
)
def test_an_option_of_recordings_is_refused_for_a_source_by_name(asked):
    register_verbs()
    refused = CliRunner().invoke(app, ["source", "phantom", *asked])
    assert str(refused.exception).startswith(f"{asked[0]} is for recordings; phantom is set by -o")


@pytest.mark.parametrize("asked", [["--arrival-time"], ["-o", "seed=3"]], ids=lambda asked: asked[0])
def test_an_option_of_sources_is_refused_for_a_recording(asked):
    register_verbs()
    refused = CliRunner().invoke(app, ["source", str(session_path("high_rate")), *asked])
    assert str(refused.exception).startswith(f"{asked[0]} is for sources; ")
