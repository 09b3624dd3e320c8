"""The page of a sweep: one row for each result, and each setting as a configuration that can be used."""

from __future__ import annotations

from html import unescape
from pathlib import Path
from re import DOTALL, findall

import pytest
from msgspec.structs import replace

from gating.analysis.whatif import Outcome, pareto, settings_grid, why_none, with_setting
from gating.report.whatif_page import write_whatif_page
from gating.settings.changed import changed_toml
from gating.settings.config import Config, parse_config
from gating.settings.presets import NAMES, read_preset
from tests.factories import outcome
from tests.pages import fetched_addresses

NAN = float("nan")


def rows(page: str) -> list[str]:
    return findall(r"<tr data-row=.*?</tr>", page, DOTALL)


def written(tmp_path: Path, outcomes: list[Outcome], config: Config) -> str:
    write_whatif_page(tmp_path / "whatif.html", outcomes, config)
    return (tmp_path / "whatif.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("preset", NAMES)
def test_a_chosen_setting_is_a_whole_configuration(preset: str) -> None:
    chosen = with_setting(parse_config(read_preset(preset), preset), outcome(4.0, 0.5, 2.0, "ridge").setting)
    assert parse_config(changed_toml(chosen)) == chosen


def test_a_row_holds_its_setting_as_toml(tmp_path: Path) -> None:
    one = outcome(4.0, 0.5, 2.0)
    (row,) = rows(written(tmp_path, pareto([one]), Config()))
    (toml,) = findall(r'data-row="(.*?)"', row, DOTALL)
    assert parse_config(unescape(toml)) == with_setting(Config(), one.setting)


def test_settings_with_the_same_result_share_a_row(tmp_path: Path) -> None:
    same = [outcome(3.0, 0.4, 1.5), outcome(3.0, 0.4, 1.5, "ridge"), outcome(5.0, 0.6, 2.5)]
    page = written(tmp_path, pareto(same), Config())
    assert len(rows(page)) == 2
    assert "3 mm 5 % ridge" in page


def test_of_the_same_results_only_the_first_is_on_the_front() -> None:
    same = [outcome(3.0, 0.4, 1.5), outcome(3.0, 0.4, 1.5, "ridge")]
    assert [one.pareto for one in pareto(same)] == [True, False]


def test_a_value_given_twice_is_decided_once() -> None:
    assert len(settings_grid([3, 3.0], [5], [0], ["off", "off"], [250])) == 1


def test_an_empty_result_is_explained(tmp_path: Path) -> None:
    none = pareto([outcome(3.0, 0.0, NAN), outcome(4.0, 0.0, NAN)])
    said = "none of 2 settings permits beam on case: most frames are held for low confidence"
    assert why_none(none) == {"case": said}
    assert said in written(tmp_path, none, Config())


def test_a_result_that_is_not_empty_needs_no_explanation() -> None:
    assert why_none(pareto([outcome(3.0, 0.0, NAN), outcome(4.0, 0.2, 1.0)])) == {}


def test_the_page_has_a_title_and_opens_offline(tmp_path: Path) -> None:
    page = written(tmp_path, pareto([replace(outcome(3.0, 0.4, 1.5), recording="<b>")]), Config())
    assert "<title>What if: &lt;b&gt;</title>" in page
    assert fetched_addresses(page) == []
