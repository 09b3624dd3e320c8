"""Sites that are treated one after another: what an operator may ask, and what each of them received."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from cinegate.targets import site_targets
from cinegate.verbs import register_verbs
from cinegate.verbs.app import app
from gating.analysis.sites import SiteDelivery, site_deliveries
from gating.errors import TargetError
from gating.messages import EngineState, GateState, SourceKind
from gating.report.html import render
from gating.report.site_rows import site_rows
from gating.report.summary import summarise_data
from gating.session.summary_data import SessionData, read_data
from gating.settings.config import Config, ConfigError, parse_config, to_toml
from gating.settings.sites import SiteSettings
from gating.targets.spec import TargetSpec
from gating.targets.target_file import write_targets
from tests.engine_bench import BOX, CONFIG, Bench, drawn_on
from tests.factories import frame
from tests.logged_engine import LoggedEngine
from tests.unit.session_bench import session_header, write_session

register_verbs()
SITES = (
    SiteSettings(name="lung", target="lung.json", plan="P1", monitor_units=900.0),
    SiteSettings(name="liver", target="liver.json", plan="P2", monitor_units=600.0, beam_on_s=40.0),
)
WITH_SITES = msgspec.structs.replace(CONFIG, sites=SITES)


def treating_lung(**options: Any) -> Bench:
    """A bench whose engine treats the first site and has the beam on."""
    bench = Bench(WITH_SITES, site="lung", **options)
    bench.steps(8)
    return bench


class TestAnOperatorAsksForAnotherSite:
    def test_the_beam_is_held_at_once_and_the_engine_is_not_armed(self) -> None:
        bench = treating_lung()
        assert bench.engine.tick().command.state is GateState.ON
        assert bench.request("site", site="liver").accepted
        command = bench.engine.tick().command
        assert (command.state, command.engine_state) == (GateState.HOLD, EngineState.READY)

    def test_nothing_arms_by_itself_any_more(self) -> None:
        bench = treating_lung()
        bench.request("site", site="liver")
        bench.steps(8, start=8)
        assert bench.engine.state is EngineState.READY

    def test_a_confirmation_of_the_contour_is_withdrawn(self) -> None:
        bench = Bench(WITH_SITES, site="lung", arm_by_itself=False, kind=SourceKind.LIVE, targets=[drawn_on(frame(0))])
        bench.steps(8)
        assert bench.request("confirm").accepted
        assert bench.request("arm").accepted
        bench.request("site", site="liver")
        assert "nobody has confirmed where the contour is" in bench.request("arm").text

    @pytest.mark.parametrize(
        ("site", "why"),
        [("brain", "'brain' is no site of this session; its sites are lung, liver"), ("lung", "lung is the site that")],
    )
    def test_a_site_that_is_unknown_or_under_treatment_is_refused(self, site: str, why: str) -> None:
        bench = treating_lung()
        reply = bench.request("site", site=site)
        assert not reply.accepted
        assert why in reply.text
        assert bench.engine.state is EngineState.ARMED

    def test_a_session_without_sites_has_none_to_go_to(self) -> None:
        bench = Bench()
        assert "its sites are none" in bench.request("site", site="liver").text

    def test_a_latch_is_not_left_behind(self) -> None:
        bench = treating_lung()
        bench.engine.latch_internal_error("ZeroDivisionError")
        reply = bench.request("site", site="liver")
        assert not reply.accepted
        assert "acknowledge it first" in reply.text


@pytest.mark.parametrize("words", [["site"], ["arm", "liver"]], ids=["no name", "a name for another action"])
def test_the_verb_control_takes_a_name_for_site_alone(words: list[str]) -> None:
    refused = CliRunner().invoke(app, ["control", *words, "--operator", "dr_who"])
    assert "names a site, and no other action does" in str(refused.exception)


class TestConfiguration:
    def test_a_file_lists_sites_in_order(self) -> None:
        config = parse_config(to_toml(Config(sites=SITES)))
        assert config.sites == SITES

    @pytest.mark.parametrize(
        ("line", "sentence"),
        [
            ('target = "a.json"', "missing required field `name`"),
            ('name = "a"\ntarget = "a.json"\nmonitor_units = 0', "sites.0.monitor_units = 0"),
        ],
        ids=["without a name", "no monitor units"],
    )
    def test_a_site_that_cannot_be_is_refused(self, line: str, sentence: str) -> None:
        with pytest.raises(ConfigError, match=sentence):
            parse_config(f"[[sites]]\n{line}\n")

    @pytest.mark.parametrize(
        ("names", "targets", "sentence"),
        [
            (("lung", "lung"), ("GTV 1", "GTV 2"), "lung appears twice"),
            (("lung", "liver"), ("GTV", "GTV"), "sites lung and liver both have a target GTV"),
        ],
        ids=["sites", "targets"],
    )
    def test_two_of_one_name_are_refused(self, tmp_path: Path, names: Any, targets: Any, sentence: str) -> None:
        sites = []
        for number, (name, target) in enumerate(zip(names, targets, strict=True)):
            write_targets(tmp_path / f"{number}.json", [TargetSpec(target, BOX)])
            sites.append(SiteSettings(name=name, target=str(tmp_path / f"{number}.json")))
        with pytest.raises(TargetError, match=sentence):
            site_targets(sites)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SessionData:
    """A session whose first half of commands one engine gave, at lung, and whose second half another, at liver."""
    data = read_data(write_session(tmp_path_factory.mktemp("sites") / "s1.mcap"))
    half = len(data.commands) // 2
    second = [(at_ns, msgspec.structs.replace(command, engine_id="e2")) for at_ns, command in data.commands[half:]]
    header = msgspec.structs.replace(session_header(), config_toml=to_toml(Config(sites=SITES)))
    commands = [*data.commands[:half], *second]
    return replace(data, header=header, commands=commands, sites={"e1": "lung", "e2": "liver"})


class TestDeliveries:
    def test_beam_on_is_shared_out_among_the_engines_of_the_sites(self, data: SessionData) -> None:
        lung, liver = (one.beam_on_s or 0.0 for one in site_deliveries(data))
        change_ns = data.commands[len(data.commands) // 2][0]
        before_s = sum(max(0, min(end, change_ns) - begin) for begin, end in data.confirmed_on) / 1e9
        assert lung == pytest.approx(before_s)
        assert lung + liver == pytest.approx(sum(end - begin for begin, end in data.confirmed_on) / 1e9)

    def test_without_a_beam_interface_beam_on_is_not_known(self, data: SessionData) -> None:
        assert [one.beam_on_s for one in site_deliveries(replace(data, statuses=[]))] == [None, None]

    def test_a_session_without_sites_has_no_deliveries(self, data: SessionData) -> None:
        assert site_deliveries(replace(data, header=session_header())) == []

    def test_the_report_shows_every_site_and_the_totals(self, data: SessionData) -> None:
        page = render(data, summarise_data(data))
        assert "<h2>Sites</h2>" in page
        assert "1500 MU" in page

    def test_a_total_of_which_a_part_is_unknown_is_a_dash(self) -> None:
        known, unknown = (
            SiteDelivery(site=name, plan="", monitor_units=units, planned_beam_on_s=None, beam_on_s=1.0, engines=1)
            for name, units in (("a", 100.0), ("b", None))
        )
        assert [row[2] for row in site_rows([known, unknown])] == ["100 MU", "–", "–"]
        assert site_rows([known, unknown])[-1][3] == "2.0 s"


def test_the_site_after_a_change_of_geometry_is_verified(tmp_path: Path) -> None:
    session = LoggedEngine(tmp_path / "s1.mcap")
    session.declare()
    session.frames(0, 8)
    session.log(session.engine.stop())
    session.begin("e2", TargetSpec("GTV liver", BOX))
    finer = {"pixel_spacing_mm": (1.5, 1.5)}
    session.declare(**finer)
    session.frames(16, 8, **finer)
    found = session.verified()
    assert (found.first_difference, found.frames) == ("", 16)
