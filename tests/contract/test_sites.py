"""Two sites in one session of real processes: the beam never goes on from one to the other by itself."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import cinegate
from drivers.sources.phantom import PhantomSource
from gating.analysis.sites import SiteDelivery, site_deliveries
from gating.analysis.verification import verify_session
from gating.messages import EngineState, GateCommand, GateState
from gating.service.pipeline import PipelineError
from gating.session.summary_data import SessionData, read_data
from gating.settings.config import Config
from gating.settings.sites import SiteSettings
from gating.targets.spec import TargetSpec
from gating.targets.target_file import write_targets
from tests.patience import wait_until

pytestmark = pytest.mark.deadlines
ENGINE_STARTS_S = 600.0


def sites(folder: Path) -> tuple[SiteSettings, ...]:
    """Two sites, at the same place of the phantom."""
    phantom = PhantomSource()
    phantom.open()
    contour = phantom.truth(0).contour_px.astype(np.float32)
    for name in ("lung", "liver"):
        write_targets(folder / f"{name}.json", [TargetSpec(f"GTV {name}", contour)])
    return (
        SiteSettings(name="lung", target=str(folder / "lung.json"), plan="P1", monitor_units=900.0),
        SiteSettings(name="liver", target=str(folder / "liver.json"), plan="P2", monitor_units=600.0),
    )


def arm(session: cinegate.LiveSession) -> None:
    """Arm as soon as the engine lets us; where its kernels must be compiled, it does not answer for minutes."""

    def armed() -> bool:
        with suppress(PipelineError):
            return session.arm("Ada").accepted
        return False

    assert wait_until(armed, ENGINE_STARTS_S)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of a session in which the beam was on at both sites, for some renewals each."""
    folder = tmp_path_factory.mktemp("sites")
    config = Config(sites=sites(folder))
    with cinegate.run("phantom", config=config, log=folder, options={"frames_per_s": 20}) as session:
        arm(session)
        beam_on = 0
        for message in session:
            beam_on += isinstance(message, GateCommand) and message.state is GateState.ON
            if beam_on == 20:
                session.site("liver", "Ada")
                arm(session)
                beam_on += 1
            if beam_on == 40:
                break
    return session.log


@pytest.fixture(scope="module")
def data(log: Path) -> SessionData:
    return read_data(log)


def commands(data: SessionData, site: str) -> list[GateCommand]:
    return [command for _, command in data.commands if data.sites[command.engine_id] == site]


def test_the_engine_of_the_next_site_holds_until_it_is_armed_anew(data: SessionData) -> None:
    assert commands(data, "lung")[-1].state is GateState.HOLD
    states = [command.engine_state for command in commands(data, "liver")]
    assert states.index(EngineState.READY) < states.index(EngineState.ARMED)
    assert all(command.state is GateState.HOLD for command in commands(data, "liver")[: states.index("armed")])
    assert [event.code for event in data.events if event.code in ("arm", "site")] == ["arm", "site", "arm"]


def test_the_beam_interface_never_sees_two_engines(data: SessionData) -> None:
    assert "two_engines" not in {status.reason for _, status in data.statuses}


def test_each_site_has_its_beam_on_time_beside_its_plan(data: SessionData) -> None:
    lung, liver = site_deliveries(data)
    assert (lung.plan, lung.monitor_units, liver.plan, liver.monitor_units) == ("P1", 900.0, "P2", 600.0)
    confirmed_s = sum(end - begin for begin, end in data.confirmed_on) / 1e9
    assert min(on_s(lung), on_s(liver)) > 0
    assert on_s(lung) + on_s(liver) == pytest.approx(confirmed_s)


def on_s(site: SiteDelivery) -> float:
    assert site.beam_on_s is not None
    return site.beam_on_s


def test_the_decisions_at_both_sites_are_verified(log: Path) -> None:
    assert verify_session(log).first_difference == ""
