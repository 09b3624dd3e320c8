"""The gating chain: links with sources, added as distributions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gating.latency.published_chain import Link, machines, published_chain, sum_chain


def link(name: str, low: float, high: float, **more) -> Link:
    return Link(**{"name": name, "kind": "uniform", "low": low, "high": high, "source": "here"} | more)


def test_every_published_link_names_its_source() -> None:
    assert {"sampling", "acquisition", "reconstruction", "transfer", "software", "beam interface"} <= {
        one.name for one in published_chain()
    }
    assert all(len(one.source) > 10 for one in published_chain())


@given(st.floats(1, 100), st.floats(1, 100))
def test_medians_of_constant_links_add_up(first: float, second: float) -> None:
    chain = [link("a", first, first), link("b", second, second)]
    assert sum_chain(8, "off", links=chain, draws=100).p50_ms == pytest.approx(first + second)


def test_independent_links_add_as_distributions_not_as_percentiles() -> None:
    chain = [link("a", 0, 100), link("b", 0, 100)]
    summed = sum_chain(8, "off", links=chain)
    assert summed.p50_ms == pytest.approx(100, abs=1)
    assert summed.p99_ms == pytest.approx(200 - np.sqrt(2 * 0.01) * 100, abs=1)


def test_links_in_frame_intervals_shrink_with_the_rate() -> None:
    chain = [link("sampling", 0, 1, per_interval=True)]
    assert sum_chain(4, "off", links=chain).p50_ms == pytest.approx(125, abs=1)
    assert sum_chain(8, "off", links=chain).p50_ms == pytest.approx(62.5, abs=1)


def test_beam_off_and_beam_on_have_their_own_links() -> None:
    chain = [link("all", 1, 1), link("off", 10, 10, beam="off"), link("on", 30, 30, beam="on")]
    assert sum_chain(8, "off", links=chain, draws=10).p50_ms == pytest.approx(11)
    assert sum_chain(8, "on", links=chain, draws=10).p50_ms == pytest.approx(31)


def test_a_measurement_takes_the_place_of_a_published_figure() -> None:
    summed = sum_chain(8, "off", measured_ms={"reconstruction": [200.0, 200.0, float("nan")]})
    share = next(one for one in summed.links if one.name == "reconstruction")
    assert (share.p50_ms, share.source) == (200.0, "measured, n = 2")


def test_beam_on_of_an_mr_linac_is_as_late_as_was_published() -> None:
    """286 to 438 ms; with the linac of a conventional machine the model said 163."""
    for rate_hz in (4, 8):
        summed = sum_chain(rate_hz, "on", machine="0.35 T MR-linac")
        assert summed.whole is not None
        assert summed.whole.low_ms <= summed.p50_ms <= summed.whole.high_ms


@pytest.mark.parametrize("machine", machines())
def test_every_class_of_machine_has_links_and_ranges(machine: str) -> None:
    for beam in ("off", "on"):
        links = [one for one in published_chain(machine) if one.beam == beam]
        assert [one.name for one in links] == [f"linac, beam {beam}"]
        whole = sum_chain(8, beam, machine=machine, draws=10).whole
        assert whole is not None
        assert 0 < whole.low_ms < whole.high_ms


def test_a_gating_interface_takes_a_second_and_a_half_to_turn_the_beam_on() -> None:
    assert 1200 < sum_chain(8, "on", machine="gating interface").p50_ms < 1600


def test_what_the_site_measured_takes_the_place_of_published_ranges() -> None:
    whole = sum_chain(8, "on", physical_ms=[300.0, 320.0]).whole
    assert whole is not None
    assert (whole.low_ms, whole.high_ms, whole.source) == (300.0, 320.0, "measured here, n = 2")


def test_a_class_of_machine_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="machine is 'sundial'"):
        sum_chain(8, "off", machine="sundial")


def test_software_is_a_small_part_of_the_published_chain_at_cine_rates() -> None:
    summed = sum_chain(8, "off")
    assert 0 < summed.software_share < 0.05
    assert sum(one.share for one in summed.links) == pytest.approx(1)


@pytest.mark.parametrize(
    ("more", "says"),
    [({"measured_ms": {"moon": [1.0]}}, "moon"), ({"measured_ms": {"software": [float("nan")]}}, "software")],
)
def test_a_measurement_that_fits_no_link_is_refused(more, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        sum_chain(8, "off", **more)


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="rate_hz is 0"):
        sum_chain(0, "off")
