"""Synthetic patients: their planted errors, and what the analysis finds of them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from cinegate.cases import read_cases
from cinegate.synthetic_cohort import make_cohort
from drivers.errors import BadRecording, Unavailable
from drivers.phantom.population import Population, read_population, sessions_of
from gating.analysis.definitions import free_mm
from gating.analysis.motion import motion_from_session
from gating.analysis.population import population_errors
from gating.analysis.verification import verify_session
from gating.session.completeness import check_completeness

SHORT = Population(patients=1, fractions=1, duration_s=8.0)


def drawn(fractions, systematic_mm=2.0, random_mm=1.5, seed=3):
    """Errors of patients with so many fractions each."""
    random = np.random.default_rng(seed)
    whose = [f"P{number}" for number, count in enumerate(fractions) for _ in range(count)]
    offsets = np.repeat(random.normal(0.5, systematic_mm, len(fractions)), fractions)
    return whose, offsets + random.normal(0, random_mm, len(whose))


@pytest.mark.parametrize("fractions", [[5] * 4000, [1, 2, 3, 9] * 1000])
def test_both_errors_are_found_without_bias(fractions):
    found = population_errors(*drawn(fractions))
    assert found.systematic_mm == pytest.approx(2.0, abs=3 * found.systematic_se_mm)
    assert found.random_mm == pytest.approx(1.5, abs=3 * found.random_se_mm)
    assert found.mean_mm == pytest.approx(0.5, abs=0.15)


def test_the_standard_errors_are_those_of_repeated_draws():
    found = [population_errors(*drawn([5] * 100, seed=seed)) for seed in range(200)]
    for name in ("systematic", "random"):
        spread = np.std([getattr(one, f"{name}_mm") for one in found])
        assert spread == pytest.approx(getattr(found[0], f"{name}_se_mm"), rel=0.25)


def test_one_fraction_each_tells_neither_error():
    found = population_errors(["P1", "P2", "P3"], [0.1, 0.7, -0.4])
    assert math.isnan(found.systematic_mm)
    assert math.isnan(found.random_mm)
    assert found.mean_mm == pytest.approx(0.4 / 3)


def test_unknown_errors_and_patients_are_left_out():
    found = population_errors(["P1", "P1", "P2", "P2", "", "P2"], [1, 2, 3, 4, 99, math.nan])
    assert (found.patients, found.sessions) == (2, 4)


def test_a_patient_is_the_same_in_a_larger_population():
    few, many = (sessions_of(Population(patients=count), 2) for count in (3, 1000))
    assert few == many


def test_a_motion_has_the_planted_mean_and_begins_in_the_plan():
    for session in sessions_of(Population(), 2):
        trace = session.trace()
        assert (trace.ap_mm.mean(), trace.si_mm.mean()) == pytest.approx(session.mean_mm, abs=1e-9)
        assert (trace.ap_mm[0], trace.si_mm[0]) == (0, 0)


def test_a_population_out_of_bounds_is_named(tmp_path):
    file = tmp_path / "population.toml"
    file.write_text("random_si_mm = 99\n")
    with pytest.raises(Unavailable, match=r"population\.toml: Expected `float` <= 10\.0 - at `\$\.random_si_mm`"):
        read_population(file, {})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort") / "made"
    return folder, make_cohort(SHORT, folder, processes=1)


def test_a_log_is_whole_and_its_decisions_follow_from_its_frames(made):
    (log,) = made[1].files
    said, found = check_completeness(log), verify_session(log)
    assert (said.gap, said.no_end, found.differences) == ("", "", 0)
    assert found.frames == 32


def test_the_logged_motion_has_the_planted_mean(made):
    (log,) = made[1].files
    (session,) = sessions_of(SHORT, 0)
    (motion,) = motion_from_session(log)
    assert free_mm(motion).mean(axis=0)[1:] == pytest.approx(session.mean_mm, abs=0.4)


def test_the_beam_is_a_simulated_one_that_obeys_late(made):
    (motion,) = motion_from_session(made[1].files[0])
    first_on_s = motion.t_s[motion.gate_on][0]
    assert motion.beam_known_by == "confirmed"
    assert motion.beam_s[0, 0] > first_on_s


def test_truth_and_labels_stand_beside_the_logs(made):
    folder, cohort = made
    truth = json.loads((folder / "truth.json").read_text())
    (session,) = sessions_of(SHORT, 0)
    assert truth["sessions"][0]["mean_si_mm"] == session.mean_mm[1]
    assert truth["sessions"][0]["file"] == cohort.files[0].name
    assert (folder / "labels.csv").read_text().splitlines()[1] == f"{cohort.files[0].name},P00001,,1"


def test_a_folder_with_files_is_refused(made):
    with pytest.raises(BadRecording, match="it is not empty"):
        make_cohort(SHORT, made[0])


def test_a_cohort_of_recordings_is_one_of_labelled_cases(tmp_path):
    make_cohort(SHORT, tmp_path / "made", "trackrad", processes=1)
    (case,) = read_cases(tmp_path / "made")
    assert case.name == "P00001-F01"
